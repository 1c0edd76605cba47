"""What spoke for and against a kept message, in sentences for those who did not get it; kept_because.py says why it was."""

from __future__ import annotations

from collections.abc import Iterable

from antispam.journey.account import Score
from antispam.learning.languages import texts
from antispam.mail.score import Counted
from antispam.web.answers import marked
from antispam.web.said import said_in

_MOST = 5  # sentences for each side

_DISCREET = {"KNOWN_CORRESPONDENT": marked("Somebody here wrote to this sender before.")}


def evidence_of(scores: Iterable[Score], language: str) -> tuple[list[str], list[str]]:
    """What speaks against a message and what speaks for it, the weightiest first, as sentences in this language. What mail
    wrote stands in them."""
    tests = sorted((test for score in scores for test in score.tests), key=lambda test: -abs(test.points))
    against = dict.fromkeys(_said(test, language) for test in tests if test.points > 0)
    in_favour = dict.fromkeys(_said(test, language) for test in tests if test.points < 0)
    return list(against)[:_MOST], list(in_favour)[:_MOST]


def _said(test: Counted, language: str) -> str:
    """The evidence, where it names no other user: whom they write to is their own business."""
    if test.test in _DISCREET:
        return texts(language).gettext(_DISCREET[test.test])
    return said_in(language, test.evidence) or test.test
