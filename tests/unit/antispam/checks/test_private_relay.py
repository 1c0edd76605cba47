"""Domains to which only our own clients may send."""

from __future__ import annotations

from typing import Any

import pytest

from antispam.checks.private_relay import Finding, Settings, collect, decide
from antispam.mail.access_map import EMPTY
from antispam.mail.connection import Connection
from antispam.mail.evidence import AuthFinding, ClientClass, ConnectionFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Body, Message, Recipient
from antispam.mail.verdicts import Action
from support.checking import services_of

CONFIG = "private_relay = aol.example, *.yahoo.example"


def found(to: str, *findings: Any) -> Finding | None:
    message = Message("m", "x@example.org", 0.0, Body(1000), findings=Findings(None, findings))
    return collect(Connection("c", ip="203.0.113.9"), message, Recipient(to), services_of(Settings, "milter", CONFIG))


@pytest.mark.parametrize("to", ["ann@example.com", "ann@yahoo.example", "postmaster", "", "ann@aol.example.org"])
def test_other_domains_are_not_asked_about(to: str) -> None:
    assert found(to) is None


@pytest.mark.parametrize("to", ["ann@aol.example", "ann@AOL.Example", "ann@mail.yahoo.example"])
@pytest.mark.parametrize(
    ("finding", "ours"),
    [
        (ConnectionFinding(client=ClientClass.INTERNAL), True),
        (ConnectionFinding(client=ClientClass.TRUSTED_RELAY), False),
        (ConnectionFinding(client=ClientClass.EXTERNAL), False),
        (AuthFinding(login="ann"), True),
        (AuthFinding(), False),
    ],
)
def test_only_our_own_may_send_there(to: str, finding: Any, ours: bool) -> None:
    answer = found(to, finding)
    assert answer is not None
    assert answer.ours is ours


@pytest.mark.parametrize(("ours", "action"), [(True, Action.CONTINUE), (False, Action.REJECT)])
def test_a_stranger_is_told_where_to_send(ours: bool, action: Action) -> None:
    verdict = decide(Finding(domain="aol.example", ours=ours), Findings(), Settings(), EMPTY)
    assert verdict.action is action
    assert ours or "directly to the mail servers of aol.example" in verdict.text
