"""The test suite of RFC 7208 (openspf.org, as pyspf's source archive carries it), run against check_host."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from antispam.deadline import Deadline
from antispam.resolver import Answer, DNSTemporaryError, RdType
from antispam.spf_protocol import SpfOptions, SpfResult, check_host
from support.dns import ScriptedResolver
from support.sources import unpacked_sdist


class SuiteResolver(ScriptedResolver):
    """Zones in the suite's notation: SPF records stand for TXT where a name has no TXT; the word TIMEOUT makes every type
    without a record time out."""

    def __init__(self, zonedata: Mapping[str, list[Any]]) -> None:
        super().__init__({name: _zone(records) for name, records in zonedata.items()})
        self.silent = {name.lower() for name, records in zonedata.items() if "TIMEOUT" in records}

    def lookup(self, name: str, rdtype: RdType, deadline: Deadline) -> Answer:
        answer = super().lookup(name, rdtype, deadline)
        if not answer.found and (name.lower() in self.silent or name.startswith("error.")):
            raise DNSTemporaryError("time-out")
        return answer


def _zone(records: list[Any]) -> dict[str, Any]:
    zone: dict[str, Any] = {}
    explicit = any("TXT" in record for record in records if isinstance(record, dict))
    for record in records:
        for rdtype, value in record.items() if isinstance(record, dict) else ():
            if rdtype == "SPF" and explicit:
                continue
            rdtype = "TXT" if rdtype == "SPF" else rdtype
            if value == "TIMEOUT":
                zone[rdtype] = value
            elif value != "NONE":
                zone.setdefault(rdtype, []).append(_record(rdtype, value))
    return zone


def _record(rdtype: str, value: Any) -> Any:
    if rdtype == "TXT":
        return "".join([value] if isinstance(value, str) else value)
    return (value[0], value[1]) if rdtype == "MX" else value


@pytest.fixture(scope="module")
def suite() -> list[dict[str, Any]]:
    try:
        folder = unpacked_sdist("pyspf", "2.0.14")
    except subprocess.CalledProcessError:
        pytest.skip("needs a package registry, to fetch pyspf's source archive")
    with open(folder / "test" / "rfc7208-tests.yml", "rb") as stream:
        return list(yaml.load_all(stream, Loader=yaml.CSafeLoader))


def cases(suite: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any], SpfResult]]:
    for scenario in suite:
        for name, case in scenario["tests"].items():
            resolver = SuiteResolver(scenario["zonedata"])
            outcome = check_host(
                case["host"],
                "mailfrom",
                case["mailfrom"],
                case["helo"],
                resolver,
                Deadline.after(20),
                SpfOptions(explain=True),
            )
            yield f"{scenario['description']}: {name}", case, outcome


def test_every_result_is_one_that_the_suite_allows(suite: list[dict[str, Any]]) -> None:
    checked, wrong = 0, []
    for name, case, outcome in cases(suite):
        checked += 1
        if outcome.result not in ([case["result"]] if isinstance(case["result"], str) else case["result"]):
            wrong.append(f"{name}: {outcome.result} ({outcome.problem}) instead of {case['result']}")
    assert wrong == []
    assert checked > 200


def test_every_explanation_is_the_one_of_the_suite(suite: list[dict[str, Any]]) -> None:
    """Apart from runs of spaces, which a reply does not keep."""
    wrong = []
    for name, case, outcome in cases(suite):
        expected = " ".join(case.get("explanation", "DEFAULT").split())
        if "explanation" in case and (outcome.explanation or "DEFAULT") != expected:
            wrong.append(f"{name}: {outcome.explanation!r} instead of {expected!r}")
    assert wrong == []
