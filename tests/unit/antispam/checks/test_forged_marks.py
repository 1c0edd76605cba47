"""What only we may write is removed from outside mail, whoever else is asked or not."""

from __future__ import annotations

import pytest

from antispam.checks.forged_marks import Settings, act, collect, decide
from antispam.deadline import Deadline
from antispam.journey.services import Services
from antispam.mail.access_map import EMPTY
from antispam.mail.connection import Connection
from antispam.mail.draft import Draft
from antispam.mail.evidence import AuthFinding, ClientClass, ConnectionFinding, OwnMailFinding
from antispam.mail.findings import Finding, Findings
from antispam.mail.learned_evidence import OpinionFinding
from antispam.mail.message import Body, Header, Message
from antispam.mail.own_fields import is_ours
from antispam.mail.verdicts import CONTINUE, Action
from antispam.settings import SettingsError, load_text
from support.dns import ScriptedResolver

MARKS = [
    (b"X-Spam-Flag", b" NO"),
    (b"x-spam", b" Yes"),
    (b"X-SPAM-Report ", b" fine"),
    (b"X-DSPAM-Signature", b" forged"),
    (b"X-DSpam-Recipients", b" x"),
    (b"X-GOSSiP", b" a,100,100"),
    (b"Received-SPF", b" pass"),
    (b"X-BMS-Pass", b" 1.0"),
]
HONEST = [(b"From", b" a@x.example"), (b"X-Spammer", b" no"), (b"X-Spam\xc3\xa9", b" x"), (b"Subject", b" hi")]
OUTSIDE = ConnectionFinding(client=ClientClass.EXTERNAL)
RELAY = ConnectionFinding(client=ClientClass.TRUSTED_RELAY)
INSIDE = ConnectionFinding(client=ClientClass.INTERNAL)


def left(*known: Finding, config: str = "") -> list[bytes]:
    """The names of the fields that leave of a message with all of them."""
    settings = load_text(f"[forged_marks]\n{config}", [Settings])
    services = Services(
        settings=settings,
        resolver=ScriptedResolver({}),
        store=None,
        access=EMPTY,
        clock=lambda: 0.0,
        deadline=Deadline.after(60),
    )
    message = Message("ref", "", 0.0, Body(10), findings=Findings())
    message.headers += [Header(name, value) for name, value in (*MARKS, *HONEST)]
    for one in known:
        message.findings.add(one)
    found = collect(Connection("c"), message, None, services)
    draft = Draft(message)
    if found is not None:
        verdict = decide(found, message.findings, settings[Settings], EMPTY)
        assert verdict.action is Action.CONTINUE
        assert str(found.count) in verdict.reason
        act(found, CONTINUE, draft, services)
    return [header.name for header in draft.headers]


NAMES = [name for name, _ in MARKS]
KEPT = [name for name, _ in HONEST]


@pytest.mark.parametrize(
    "known",
    [
        (),
        (OUTSIDE,),
        (RELAY,),
        (OUTSIDE, OpinionFinding(error="the store is down")),
        (OUTSIDE, OwnMailFinding()),
        (INSIDE, OwnMailFinding(outbox_id=1, kind="release")),
        (INSIDE, OwnMailFinding(outbox_id=1, kind="answer")),
    ],
)
def test_marks_from_outside_go_whatever_else_is_known(known: tuple[Finding, ...]) -> None:
    assert left(*known) == KEPT


@pytest.mark.parametrize("known", [(INSIDE,), (OUTSIDE, AuthFinding(login="ann"))])
def test_marks_of_our_own_network_stay_unless_we_judge_the_message_again(known: tuple[Finding, ...]) -> None:
    assert left(*known) == NAMES + KEPT
    assert left(*known, OpinionFinding()) == KEPT


@pytest.mark.parametrize("known", [OwnMailFinding(outbox_id=1, kind="copy", unmodified=True), OwnMailFinding()])
def test_nobodys_pass_travels_on(known: OwnMailFinding) -> None:
    assert left(INSIDE, known) == [*NAMES[:-1], *KEPT]


def test_fields_of_another_filter_can_be_taken_out_of_the_list() -> None:
    assert left(OUTSIDE, config="fields = X-DSPAM-*, Received-SPF") == [*NAMES[:3], b"X-GOSSiP", *KEPT]


@pytest.mark.parametrize("fields", ["X Spam", "X-*-Flag", "X-Spam:", "é", "*"])
def test_what_is_no_name_is_refused(fields: str) -> None:
    with pytest.raises(SettingsError):
        left(config=f"fields = {fields}")


def test_a_message_without_marks_has_no_finding() -> None:
    assert not any(is_ours(name) for name in KEPT)
