"""The evidence for and against a quarantined message, in sentences for its recipients; kept_because.py gives the
reason.
"""

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
    """The evidence against and for a message, the weightiest first, as sentences in this language. They may quote the
    mail.
    """
    tests = sorted((test for score in scores for test in score.tests), key=lambda test: -abs(test.points))
    against = dict.fromkeys(_said(test, language) for test in tests if test.points > 0)
    in_favour = dict.fromkeys(_said(test, language) for test in tests if test.points < 0)
    return list(against)[:_MOST], list(in_favour)[:_MOST]


def _said(test: Counted, language: str) -> str:
    """The evidence, unless it names another user: other users' correspondence is private."""
    if test.test in _DISCREET:
        return texts(language).gettext(_DISCREET[test.test])
    return said_in(language, test.evidence) or test.test
