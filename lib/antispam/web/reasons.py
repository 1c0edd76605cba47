"""Why a message was kept, in sentences for those who got it: what the check found, and what spoke for and against it.

The reason in the log is for administrators. The texts are messages of the catalogue.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from antispam.journey.account import Score
from antispam.mail.score import Counted
from antispam.web.answers import marked

_MOST = 5  # sentences for each side

_UNKNOWN = marked("The mail filter wants a person to look at it.")
_WHY = {
    "spam_action": marked("The mail filter takes it for spam."),
    "dspam": marked("The mail filter takes it for spam."),
    "header_screen": marked("The mail filter takes it for spam."),
    "fingerprints": marked("It is nearly the same as mail that other people reported as spam."),
    "antivirus": marked("The virus scanner found something dangerous in it."),
    "attachments": marked("It has an attachment that can be dangerous to open."),
    "own_lists": marked("You have blocked its sender."),
    "sender_lists": marked("Its sender is on the list of blocked senders here."),
    "blacklisted": marked("Its sender is on the list of blocked senders here."),
    "banned": marked("It came from a mail server that is blocked here."),
    "dnsbl": marked("It came from a mail server with a bad name."),
    "dnsbl_client": marked("It came from a mail server with a bad name."),
    "reputation": marked("Its sender has sent much spam so far."),
    "reputation_signed": marked("Its sender has sent much spam so far."),
    "spf": marked("It came from a mail server that its sender does not use. The sender may be forged."),
    "spf_fail": marked("It came from a mail server that its sender does not use. The sender may be forged."),
    "dmarc": marked("Nothing proves that it is from whom it seems to be. The sender may be forged."),
    "dkim": marked("Its signature is not valid. It may have been changed on its way."),
    "author_domain": marked("Nothing proves that it is from whom it seems to be. The sender may be forged."),
    "impersonation": marked("It pretends to be from somebody here."),
    "sender_domain": marked("It pretends to be from somebody here."),
    "words": marked("It has words in its subject or in the sender's name that are not wanted here."),
    "languages": marked("It is written in letters that are not wanted here."),
    "header_oddities": marked("It was not written by a usual mail program."),
    "block_forward": marked("It is forwarded mail, which you do not want."),
    "rules": marked("A rule of your administrator applies to it."),
    "helo": marked("It came from a mail server that gave a wrong name."),
    "callback": marked("Its sender's address does not exist."),
}


_DISCREET = {"KNOWN_CORRESPONDENT": marked("Somebody here wrote to this sender before.")}


def why(check: str) -> str:
    """Why the check of this name kept a message: a sentence, a message of the catalogue."""
    return _WHY.get(check, _UNKNOWN)


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
