"""Tests wait for events, and long; what must be quick may be so at the second attempt."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from support.patience import quickest, took
from support.places import REPOSITORY

TESTS = REPOSITORY / "tests"
# `sink.wait(1)` waits for one message. What is shorter than a second is a pause, or is meant to be too short; ten minutes are
# for what must not end by itself.
_SHORT = r"(?:[1-9]|[1-9]\d|1\d\d)(?:\.\d+)?"
SHORT_WAITS = re.compile(
    rf"(?<!sink)\.(?:wait|join)\({_SHORT}\)|wait_until\(.*, {_SHORT}\)$|Barrier\(.*timeout={_SHORT}\)"
)


def _waits() -> Iterator[str]:
    for path in TESTS.rglob("*.py"):
        if path.relative_to(TESTS).parts[0] not in ("bench", "fuzz", "upstream"):
            for line in path.read_text().splitlines():
                if "wait" in line or ".join(" in line or "Barrier" in line:
                    yield f"{path.relative_to(TESTS)}: {line.strip()}"


def test_nobody_waits_for_others_less_than_patiently() -> None:
    """A wait of ten seconds fails on a busy machine; support.patience.PATIENCE costs no more where all goes well."""
    assert [wait for wait in _waits() if SHORT_WAITS.search(wait)] == []


def test_one_slow_attempt_is_forgiven() -> None:
    assert quickest(iter([9.0, 1.0, 5.0]).__next__, limit=2.0) == 1.0


def test_what_is_always_slow_is_not() -> None:
    assert quickest(lambda: 9.0, limit=2.0) == 9.0


def test_an_exception_is_not_a_slow_attempt() -> None:
    with pytest.raises(ZeroDivisionError):
        quickest(lambda: 1 / 0, limit=2.0)


def test_it_is_measured_by_the_clock_that_is_given() -> None:
    times = iter([10.0, 13.5])
    assert took(lambda: None, times.__next__) == 3.5
