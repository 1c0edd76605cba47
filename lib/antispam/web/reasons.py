"""What spoke for and against a kept message, in sentences for those who did not get it; kept_because.py says why it was."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from antispam.journey.account import Score
from antispam.mail.score import Counted
from antispam.web.answers import marked

_MOST = 5  # sentences for each side

_DISCREET = {"KNOWN_CORRESPONDENT": marked("Somebody here wrote to this sender before.")}


def evidence_of(scores: Iterable[Score], translate: Callable[[str], str]) -> tuple[list[str], list[str]]:
    """What speaks against a message and what speaks for it, the weightiest first, as sentences. What mail wrote stands in them:
    they are no messages of the catalogue."""
    tests = sorted((test for score in scores for test in score.tests), key=lambda test: -abs(test.points))
    against = dict.fromkeys(_said(test, translate) for test in tests if test.points > 0)
    in_favour = dict.fromkeys(_said(test, translate) for test in tests if test.points < 0)
    return list(against)[:_MOST], list(in_favour)[:_MOST]


def _said(test: Counted, translate: Callable[[str], str]) -> str:
    """The evidence, where it names no other user: whom they write to is their own business."""
    return translate(_DISCREET[test.test]) if test.test in _DISCREET else test.evidence or test.test
