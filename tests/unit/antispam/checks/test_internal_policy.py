"""The access map's SPF-Pass entries, for our own clients."""

from __future__ import annotations

import pytest

from antispam.checks.internal_policy import Finding, Settings, collect, decide
from antispam.mail.access_map import parse_text
from antispam.mail.connection import Connection
from antispam.mail.evidence import AuthFinding, ClientClass, ConnectionFinding
from antispam.mail.findings import Finding as BaseFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Body, Message
from antispam.mail.verdicts import Action
from support.checking import services_of

INTERNAL = ConnectionFinding(client=ClientClass.INTERNAL)


def found(
    sender: str = "ann@example.com", *known: BaseFinding, config: str = "internal_policy = yes"
) -> Finding | None:
    message = Message("m", sender, 0.0, Body(100), findings=Findings(None, known))
    return collect(Connection("c"), message, None, services_of(Settings, "scrub", config))


@pytest.mark.parametrize(
    ("known", "asked"),
    [
        ((INTERNAL,), True),
        ((ConnectionFinding(), AuthFinding(login="ann")), True),
        ((ConnectionFinding(),), False),
        ((ConnectionFinding(client=ClientClass.TRUSTED_RELAY),), False),
    ],
)
def test_our_own_senders_are_asked_about(known: tuple[BaseFinding, ...], asked: bool) -> None:
    assert (found("ann@example.com", *known) is not None) is asked


def test_it_is_off_by_default_and_the_null_sender_is_nobody() -> None:
    assert found("ann@example.com", INTERNAL, config="") is None
    assert found("", INTERNAL) is None


@pytest.mark.parametrize(
    ("entry", "action"),
    [
        ("SPF-Pass:example.com REJECT", Action.REJECT),
        ("SPF-Pass:ann@example.com OK\nSPF-Pass: REJECT", Action.CONTINUE),
        ("SPF-Pass: REJECT", Action.REJECT),
        ("SPF-Pass:example.org REJECT", Action.CONTINUE),
        ("SPF-Fail:example.com REJECT", Action.CONTINUE),
        ("SPF-Pass:example.com QUARANTINE", Action.QUARANTINE),
        ("SPF-Pass:example.com TEMPFAIL", Action.TEMPFAIL),
    ],
)
def test_the_entry_for_the_sender_is_obeyed(entry: str, action: Action) -> None:
    verdict = decide(Finding(sender="ann@example.com"), Findings(), Settings(), parse_text(entry))
    assert verdict.action is action


def test_the_refusal_tells_what_can_be_done() -> None:
    verdict = decide(Finding(sender="ann@example.com"), Findings(), Settings(), parse_text("SPF-Pass: REJECT"))
    assert verdict.reply_lines() == (
        "Mail from example.com is not accepted from inside: our own computers may not use that sender.",
        "Please use your own address as the sender, or ask your mail administrator to allow this one.",
    )
    assert verdict.reason == "internal MAIL FROM <ann@example.com>, access map spf-pass: REJECT"
