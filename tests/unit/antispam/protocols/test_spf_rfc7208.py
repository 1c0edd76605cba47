"""The test suite of RFC 7208 (openspf.org, as pyspf's source archive carries it), run against check_host."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from antispam.deadline import Deadline
from antispam.protocols.spf import SpfOptions, SpfResult, check_host
from support.spf_suite import SuiteResolver, scenarios


@pytest.fixture(scope="module")
def suite() -> list[dict[str, Any]]:
    return scenarios()


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
                Deadline.after(60),
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
