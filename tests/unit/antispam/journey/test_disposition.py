"""One reply and one body for recipients who want different things."""

from __future__ import annotations

import pytest

from antispam.journey.disposition import disposition_of
from antispam.mail.connection import Connection
from antispam.mail.decisions import Decision
from antispam.mail.findings import Findings
from antispam.mail.message import Body, Message, Recipient
from antispam.mail.subject import Subject
from antispam.mail.verdicts import CONTINUE, accept, discard, hold, quarantine, reject, tempfail

NO, KEEP, DROP, LATER, HOLD = (
    reject("No.", "no"),
    quarantine("spam"),
    discard("trap"),
    tempfail("Later.", "locked"),
    hold("?"),
)


def disposition(*verdicts, message=()):
    """What becomes of a message to as many recipients, a, b, c ..., as there are verdicts."""
    it = Message("ref", "x@example.org", 0.0, Body(100))
    it.decisions += [Decision("m", verdict) for verdict in message]
    for name, verdict in zip("abcdef", verdicts, strict=False):
        it.recipients.append(Recipient(name, (), f"<{name}>", Findings(it.findings), [Decision("r", verdict)]))
    found = disposition_of(Subject(Connection("c"), it))
    return (
        found.decision and found.decision.verdict,
        "".join(one.address for one in found.delivered),
        "".join(one.address for one, _ in found.quarantined),
    )


@pytest.mark.parametrize(
    ("verdicts", "spoken", "delivered", "kept"),
    [
        ((CONTINUE, CONTINUE), None, "ab", ""),
        ((NO, NO), NO, "", ""),
        ((KEEP, KEEP), KEEP, "", "ab"),
        ((DROP, DROP), DROP, "", ""),
        ((HOLD, HOLD), HOLD, "ab", ""),
        ((CONTINUE, KEEP), None, "a", "b"),
        ((CONTINUE, NO), None, "a", "b"),  # a bounce would hit whoever's address was forged
        ((CONTINUE, DROP), None, "a", ""),
        ((CONTINUE, HOLD), None, "a", "b"),  # the MTA can't hold it for one of them
        ((KEEP, NO), KEEP, "", "ab"),
        ((KEEP, DROP), KEEP, "", "a"),
        ((NO, DROP), NO, "", ""),
        ((HOLD, DROP), HOLD, "a", ""),
        ((CONTINUE, KEEP, LATER), LATER, "", ""),  # or somebody would get it twice
        ((NO, LATER), LATER, "", ""),
        ((CONTINUE, KEEP, NO), None, "a", "bc"),
    ],
)
def test_each_recipient_gets_what_he_wants_as_far_as_one_transaction_goes(verdicts, spoken, delivered, kept):
    assert disposition(*verdicts) == (spoken, delivered, kept)


def test_what_holds_for_the_message_holds_for_everybody():
    assert disposition(CONTINUE, KEEP, message=[NO]) == (NO, "", "")
    assert disposition(CONTINUE, NO, message=[KEEP]) == (KEEP, "", "ab")


def test_an_accepted_message_is_everybody_s():
    assert disposition(CONTINUE, KEEP, NO, message=[accept("friend")]) == (None, "abc", "")
