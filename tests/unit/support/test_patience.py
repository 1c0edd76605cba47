"""Tests wait for events, and long; what must be quick may be so at the second attempt."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.patience import quickest, took
from support.places import REPOSITORY

TESTS = REPOSITORY / "tests"
# `sink.wait(1)` waits for one message. What is shorter than a second is a pause, or is meant to be too short; minutes are for
# what must not end by itself, or for programs that fetch and build others.
_SHORT = r"(?:[1-9]|[1-9]\d|[12]\d\d)(?:\.\d+)?"
SHORT_WAITS = re.compile(
    rf"(?<!sink)\.(?:wait|wait_idle|join)\({_SHORT}\)"
    rf"|\b(?:wait_until|wait_for)\(.*, {_SHORT}\)$"
    rf"|\.settimeout\({_SHORT}\)"
    rf"|\b(?:timeout|busy_timeout)={_SHORT}\b"
    rf"|\b(?:seconds|timeout|patience): float = {_SHORT}\b"
    rf"|\bdns\.query\.\w+\(.*, {_SHORT}\)"
    r"|\bhttpx2\.Client\((?!.*timeout=)"  # 5 s by default
)
# Limits of what is tested, which are meant to be reached or never used; dkimpy wants the argument of `dnsfunc`.
LIMITS = re.compile(
    r"send_dsn\(|runmilter\(|pool=2, busy_timeout=5.0|slow, timeout=1.0|verify, zones, connect"
    r"|lambda name, timeout=5:"
)


def _lines() -> Iterator[str]:
    for path in TESTS.rglob("*.py"):
        if path.relative_to(TESTS).parts[0] not in ("bench", "fuzz", "upstream") and path != Path(__file__):
            for line in path.read_text().splitlines():
                if any(
                    word in line for word in ("wait", "join(", "timeout", "seconds", "patience", "query", "Client(")
                ):
                    yield f"{path.relative_to(TESTS)}: {line.strip()}"


def test_nobody_waits_for_others_less_than_patiently() -> None:
    """A wait of ten seconds fails on a busy machine; support.patience.PATIENCE costs no more where all goes well."""
    assert [line for line in _lines() if SHORT_WAITS.search(line) and not LIMITS.search(line)] == []


@pytest.mark.parametrize(
    "line",
    [
        "thread.join(10)",
        "mta.wait_idle(120)",
        'wait_until(ready, "it answers", 10)',
        "await asyncio.wait_for(reader.read(), 10)",
        "sock.settimeout(1.0)",
        "Barrier(3, timeout=30.0)",
        "subprocess.run(command, check=True, timeout=60)",
        "Store(url, busy_timeout=30.0)",
        'dns.query.udp(query, "127.0.0.1", 5)',
        "httpx2.Client(base_url=link)",
        "def put(path: Path, seconds: float = 5.0) -> None:",
    ],
)
def test_a_short_wait_is_seen(line: str) -> None:
    assert SHORT_WAITS.search(line)


@pytest.mark.parametrize(
    "line",
    [
        "sink.wait(1)",
        "stop.wait(0.05)",
        "threading.Event().wait(600)",
        "process.wait(PATIENCE)",
        "sock.settimeout(ATTEMPT)",
        "subprocess.run(build, timeout=1200)",
        'wait_until(lambda: search(store, Search(name=ref), 1) != [], "the history has it")',
        "resolver(servers, clock, query_timeout=3)",
    ],
)
def test_a_pause_a_count_and_a_long_wait_are_allowed(line: str) -> None:
    assert not SHORT_WAITS.search(line)


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
