"""Our domains in MAIL FROM."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antispam.checks.sender_domain import Fault, Finding, Settings, collect, decide
from antispam.mail.access_map import EMPTY
from antispam.mail.connection import Connection
from antispam.mail.evidence import ClientClass, ConnectionFinding, SpfFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Body, Message
from antispam.mail.verdicts import Action
from antispam.protocols.spf import Result, SpfResult
from support.checking import services_of

CONFIG = """
internal_domains = example.com, *.example.com
internal_mta = 192.168.0.25
"""


def spf(result: Result) -> SpfResult:
    return SpfResult(result, "mailfrom", "example.com", "203.0.113.9", "ann@example.com", "mail.example.org")


INTERNAL, RELAY = ClientClass.INTERNAL, ClientClass.TRUSTED_RELAY


def found(sender: str, ip: str, *findings: Any, config: str = CONFIG) -> Finding | None:
    message = Message("m", sender, 0.0, Body(1000), findings=Findings(None, findings))
    return collect(Connection("c", ip=ip), message, None, services_of(Settings, "milter", config))


def fault(sender: str, ip: str, *findings: Any, config: str = CONFIG) -> Fault | None:
    finding = found(sender, ip, *findings, config=config)
    assert finding is not None
    return finding.fault


def client(kind: ClientClass) -> ConnectionFinding:
    return ConnectionFinding(client=kind)


@pytest.mark.parametrize(
    ("sender", "expected"),
    [
        ("ann@example.com", Fault.FORGED),
        ("ann@EXAMPLE.com", Fault.FORGED),
        ("ann@mail.example.com", Fault.FORGED),
        ("ann@example.org", None),
        ("ann@notexample.com", None),
        ("", None),
    ],
)
def test_nobody_outside_uses_our_domains(sender: str, expected: Fault | None) -> None:
    assert fault(sender, "203.0.113.9", client(ClientClass.EXTERNAL)) is expected


def test_a_client_of_which_nothing_is_known_is_outside() -> None:
    assert fault("ann@example.com", "203.0.113.9") is Fault.FORGED


@pytest.mark.parametrize(
    ("finding", "expected"),
    [
        (SpfFinding(mailfrom=spf(Result.PASS)), None),
        (SpfFinding(forwarder="forwarder.example"), None),
        (SpfFinding(mailfrom=spf(Result.SOFTFAIL)), Fault.FORGED),
        (SpfFinding(mailfrom=spf(Result.NONE)), Fault.FORGED),
    ],
)
def test_our_own_spf_record_may_permit_a_client_outside(finding: SpfFinding, expected: Fault | None) -> None:
    assert fault("ann@example.com", "203.0.113.9", client(ClientClass.EXTERNAL), finding) is expected


@pytest.mark.parametrize(
    ("sender", "ip", "expected"),
    [
        ("ann@example.com", "192.168.0.7", None),
        ("ann@example.org", "192.168.0.7", Fault.FOREIGN),
        ("", "192.168.0.7", Fault.BOUNCE),
        ("ann@example.org", "192.168.0.25", None),
        ("", "192.168.0.25", None),
        ("ann@example.org", "127.0.0.1", None),
        ("", "127.0.0.1", None),
        ("", "::1", None),
        ("", "", None),
    ],
)
def test_what_our_own_machines_may_use(sender: str, ip: str, expected: Fault | None) -> None:
    assert fault(sender, ip, client(INTERNAL)) is expected


def test_a_relay_passes_on_what_others_sent() -> None:
    assert fault("ann@example.com", "198.51.100.1", client(RELAY)) is None


def test_without_a_list_of_mail_servers_every_internal_client_may_bounce() -> None:
    assert fault("", "192.168.0.7", client(INTERNAL), config="internal_domains = example.com") is None


def test_without_lists_nothing_is_asked() -> None:
    assert found("ann@example.com", "203.0.113.9", config="") is None


@pytest.mark.parametrize(
    ("fault", "demerits", "words"),
    [
        (Fault.FORGED, 1, "SMTP AUTH"),
        (Fault.FOREIGN, 0, "use your own address"),
        (Fault.BOUNCE, 0, "read receipts"),
    ],
)
def test_a_refusal_says_what_to_do(fault: Fault, demerits: int, words: str) -> None:
    verdict = decide(Finding(fault=fault, sender="ann@example.com", ip="203.0.113.9"), Findings(), Settings(), EMPTY)
    assert (verdict.action, verdict.code, verdict.demerits) == (Action.REJECT, 550, demerits)
    assert words in verdict.text


def test_an_honest_sender_is_let_through() -> None:
    assert decide(Finding(), Findings(), Settings(), EMPTY).action is Action.CONTINUE


@given(sender=st.text(max_size=400), ip=st.text(max_size=40))
def test_no_sender_raises(sender: str, ip: str) -> None:
    finding = found(sender, ip, client(INTERNAL))
    assert finding is not None
    decide(finding, Findings(), Settings(), EMPTY)
