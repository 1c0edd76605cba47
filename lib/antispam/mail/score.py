"""The score of a message: the named tests that it meets, and the sum of their points. Positive means spam.

antispam.mail.score_table defines the tests and their points; a check's points() returns those that a message meets.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import NamedTuple

_MAX_EVIDENCE = 300  # characters that are kept with each message


@dataclasses.dataclass(frozen=True, slots=True)
class Test:
    """A test that messages may meet.

    name    in capitals: "SPF_FAIL"
    points  its contribution to the score; negative points favour the message. For a test whose points vary, the maximum
    check   the name of the check that runs it
    why     the reason for these points, in one sentence for administrators
    """

    name: str
    points: float
    check: str
    why: str


class Hit(NamedTuple):
    """A test that this message meets.

    test      its name
    evidence  one sentence with the facts; text from mail or DNS must have gone through text.from_wire
    points    only for a test whose points vary (the learner's opinion); None stands for those of the table
    """

    test: str
    evidence: str
    points: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Counted:
    """A test that this message meets, with the points that it gets here."""

    test: str
    points: float
    evidence: str = ""


def counted(hits: Iterable[Hit], tests: Mapping[str, Test], changes: Mapping[str, float]) -> tuple[Counted, ...]:
    """The hits with their points: each test once, with its strongest evidence, highest points first.

    changes  the administrator's points by test name. A test whose points vary is scaled to them
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
    """The score, rounded to one decimal place."""
    return round(sum(one.points for one in tests), 1)


def told(points: float, tests: Iterable[Counted]) -> str:
    """A score as text, with its tests: "7.3 (SPF_FAIL=1.5, BAYES_SPAM=5.8)"."""
    parts = ", ".join(f"{one.test}={one.points:g}" for one in tests)
    return f"{points:.1f} ({parts})" if parts else f"{points:.1f}"
