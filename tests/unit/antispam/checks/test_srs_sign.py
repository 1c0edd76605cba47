"""The envelope sender of our own mail."""

from __future__ import annotations

from typing import Any

import pytest

from antispam.checks.srs_sign import Finding, Settings, act, collect, content, decide
from antispam.mail.access_map import EMPTY
from antispam.mail.connection import Connection
from antispam.mail.draft import ChangeSender, Draft
from antispam.mail.evidence import AuthFinding, ClientClass, ConnectionFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Body, Message, Recipient
from antispam.mail.verdicts import CONTINUE, Action
from support.checking import services_of

CONFIG = "secret = shhhh!\nses = example.com\nsign = example.net\nnosrs = braindead.example"
OURS = ConnectionFinding(client=ClientClass.INTERNAL)


def message(sender: str, *findings: Any, to: str = "bob@example.org") -> Message:
    return Message("m", sender, 0.0, Body(1000), recipients=[Recipient(to)], findings=Findings(None, findings))


def found(sent: Message, config: str = CONFIG) -> Finding | None:
    return collect(Connection("c"), sent, sent.recipients[0], services_of(Settings, "srs", config))


@pytest.mark.parametrize(
    ("sender", "beginning"), [("ann@example.com", "SES="), ("Ann@Example.com", "SES="), ("ann@example.net", "SRS0=")]
)
@pytest.mark.parametrize("client", [OURS, AuthFinding(login="ann")])
def test_a_sender_of_ours_is_signed(sender: str, beginning: str, client: Any) -> None:
    sent = message(sender, client)
    finding = found(sent)
    assert finding is not None
    assert finding.signed.startswith(beginning)
    draft = Draft(sent)
    act(finding, CONTINUE, draft, services_of(Settings, "srs", CONFIG))
    assert draft.edits() == [ChangeSender(finding.signed)]


@pytest.mark.parametrize(
    "sent",
    [
        message("ann@example.com"),
        message("ann@example.org", OURS),
        message("", OURS),
        message("ann", OURS),
        message("SES=x=ann@example.com", OURS),
        message("SRS0=a=b=c=d@example.net", OURS),
        message("ann@example.com", OURS, to="x@braindead.example"),
    ],
)
def test_who_is_not_signed(sent: Message) -> None:
    assert found(sent) is None


def test_it_is_off_without_a_secret() -> None:
    assert found(message("ann@example.com", OURS), "ses = example.com") is None


def test_it_changes_nothing_else() -> None:
    assert decide(Finding(), Findings(), Settings(), EMPTY).action is Action.CONTINUE


def test_a_recipient_of_nosrs_costs_nobody_else_the_signature() -> None:
    """Each such group gets a message of its own; all others get one, though SES signs differently each time."""
    sent = message("ann@example.com", OURS)
    sent.recipients += [Recipient("x@braindead.example"), Recipient("carol@example.org")]
    services = services_of(Settings, "srs", CONFIG)
    bob, odd, carol = (collect(Connection("c"), sent, one, services) for one in sent.recipients)
    assert bob is not None
    assert carol is not None
    assert content(bob) == content(carol)
    assert odd is None
