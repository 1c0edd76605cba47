"""One score, in the open: named tests, what a message met of them, and what that adds up to. Positive is spam.

The tests and their points stand in antispam.mail.score_table; a check says in its points() which of them a message meets.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

_MAX_EVIDENCE = 300  # characters that are kept with each message


@dataclasses.dataclass(frozen=True, slots=True)
class Test:
    """A test that messages may meet.

    name    in capitals: "SPF_FAIL"
    points  what it adds to the score; less than 0 speaks for the message. For a test whose points vary, the most it gives
    check   the name of the check that finds it
    why     the reason for these points, one sentence for administrators
    """

    name: str
    points: float
    check: str
    why: str


@dataclasses.dataclass(frozen=True, slots=True)
class Hit:
    """A test that this message meets.

    test      its name
    evidence  one sentence with the facts; what mail or DNS wrote in it went through text.from_wire
    points    only for a test whose points vary (the learner's opinion); None gives those of the table
    """

    test: str
    evidence: str
    points: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Counted:
    """A test that this message meets, with what it counts here."""

    test: str
    points: float
    evidence: str = ""


def counted(hits: Iterable[Hit], tests: Mapping[str, Test], changes: Mapping[str, float]) -> tuple[Counted, ...]:
    """What each hit counts: each test once, with its strongest evidence, those with the most points first.

    changes  the administrator's points by the name of the test. A test whose points vary is scaled to them
    """
    found: dict[str, Counted] = {}
    for hit in hits:
        one = Counted(hit.test, round(_points(hit, tests.get(hit.test), changes), 2), hit.evidence[:_MAX_EVIDENCE])
        before = found.get(hit.test)
        if before is None or abs(one.points) > abs(before.points):
            found[hit.test] = one
    return tuple(sorted(found.values(), key=lambda one: (-abs(one.points), one.test)))


def _points(hit: Hit, test: Test | None, changes: Mapping[str, float]) -> float:
    usual = test.points if test is not None else 0.0
    changed = changes.get(hit.test, usual)
    if hit.points is None:
        return changed
    return hit.points * changed / usual if usual else hit.points


def total(tests: Iterable[Counted]) -> float:
    """The score, as it is written: with one decimal place."""
    return round(sum(one.points for one in tests), 1)


def told(points: float, tests: Iterable[Counted]) -> str:
    """A score in words, with the tests that it consists of: "7.3 (SPF_FAIL=1.5, BAYES_SPAM=5.8)"."""
    parts = ", ".join(f"{one.test}={one.points:g}" for one in tests)
    return f"{points:.1f} ({parts})" if parts else f"{points:.1f}"
