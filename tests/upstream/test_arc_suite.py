"""The public ARC test suite (ValiMail) on our verifier.

It is fetched when the test runs, checked against its known digest and kept in .cache/; none of it is in this repository, and CI
leaves it out.
"""

from __future__ import annotations

import hashlib
import urllib.request
from collections.abc import Sequence
from typing import Any

import pytest
import yaml

from antispam.mail.message import split_message
from antispam.protocols.arc import verify_chain
from support.places import CACHE

COMMIT = "f137dcb9d6d5baeef1310024ce9ccca94a9a92c8"
URL = f"https://raw.githubusercontent.com/ValiMail/arc_test_suite/{COMMIT}/tests/arc-draft-validation-tests.yml"
FILE = CACHE / "arc-test-suite" / "arc-draft-validation-tests.yml"
DIGEST = "629d8a36f685602d2cee08126fae9f00d357141f79c95ecb9d1a61bc5b0c40e4"
NOW = 1_500_000_000
pytestmark = pytest.mark.fetched


@pytest.fixture(scope="module")
def suite() -> list[Any]:
    if not FILE.exists():
        try:
            with urllib.request.urlopen(URL, timeout=20) as answer:
                content = answer.read(1 << 20)
        except OSError as error:
            pytest.skip(f"the ARC test suite cannot be fetched from GitHub: {error}")
        FILE.parent.mkdir(parents=True, exist_ok=True)
        FILE.write_bytes(content)
    content = FILE.read_bytes()
    assert hashlib.sha256(content).hexdigest() == DIGEST
    return [scenario for scenario in yaml.safe_load_all(content) if scenario]


def test_every_case_of_the_suite_has_the_result_that_it_names(suite: list[Any]) -> None:
    """Of a chain that an earlier server declared broken the suite names no result: RFC 8617 section 5.2 says fail."""
    wrong, run = {}, 0
    for scenario in suite:
        records = {name: [text.encode()] for name, text in (scenario.get("txt-records") or {}).items()}

        def lookup(name: str, records: dict[str, list[bytes]] = records) -> Sequence[bytes]:
            return records.get(name, [])

        for name, case in scenario["tests"].items():
            headers, body = split_message(case["message"].encode())
            chain = verify_chain(headers, body, lookup, now=NOW)
            run += 1
            if chain.result != ((case["cv"] or "").strip().lower() or "fail"):
                wrong[name] = chain
    assert (run, wrong) == (171, {})
