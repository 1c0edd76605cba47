"""The rule for clients that say no HELO."""

from __future__ import annotations

import pytest

from antispam.checks import greeting
from antispam.deadline import Deadline
from antispam.journey.services import Services
from antispam.mail.access_map import EMPTY, AccessMap
from antispam.mail.connection import Connection
from antispam.mail.evidence import ClientClass, ConnectionFinding
from antispam.mail.findings import Findings
from antispam.mail.verdicts import Action
from antispam.settings import default_settings
from support.dns import ScriptedResolver

SERVICES = Services(
    settings=default_settings([greeting.Settings]),
    resolver=ScriptedResolver({}),
    store=None,
    access=AccessMap(),
    clock=lambda: 0.0,
    deadline=Deadline(1.0, clock=lambda: 0.0),  # never over, however long the run lasts
)


def greet(helos: int, client: ClientClass = ClientClass.EXTERNAL, ip: str = "203.0.113.9") -> Action | None:
    finding = greeting.collect(Connection("c", ip=ip, helos=helos), None, None, SERVICES)
    if finding is None:
        return None
    found = Findings(None, [ConnectionFinding(client=client)])
    return greeting.decide(finding, found, greeting.Settings(), EMPTY).action


def test_a_stranger_who_says_no_helo_is_refused() -> None:
    assert greet(0) is Action.REJECT


@pytest.mark.parametrize("helos", [1, 2])
def test_one_or_two_helos_are_normal(helos: int) -> None:
    assert greet(helos) is Action.CONTINUE


def test_a_client_inside_may_forget_to_say_helo() -> None:
    assert greet(0, ClientClass.INTERNAL) is Action.CONTINUE


def test_a_local_pipe_has_no_helo() -> None:
    assert greet(0, ip="") is None
