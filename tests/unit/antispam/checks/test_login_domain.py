"""Which domains one who authenticated may use in MAIL FROM."""

from __future__ import annotations

import pytest

from antispam.checks import login_domain, sender_domain
from antispam.mail.access_map import EMPTY, parse_text
from antispam.mail.connection import Connection
from antispam.mail.evidence import AuthFinding, ClientClass, ConnectionFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Auth, Body, Message
from antispam.mail.verdicts import Action, Verdict
from support.checking import services_of

OURS = "internal_domains = example.com"


def verdict(
    sender: str,
    *,
    access: str = "",
    config: str = OURS,
    login: str = "joe",
    client: ClientClass = ClientClass.EXTERNAL,
    ip: str = "203.0.113.9",
) -> Verdict | None:
    """What becomes of it, by both rows."""
    services = services_of(sender_domain.Settings, "milter", config, access=parse_text(access) if access else EMPTY)
    known = [ConnectionFinding(client=client), AuthFinding(login=login, sender=sender)]
    message = Message("m", sender, 0.0, Body(1000), auth=Auth(login), findings=Findings(None, known))
    connection = Connection("c", ip=ip)
    found = sender_domain.collect(connection, message, None, services)
    if found is None:
        return None
    assert sender_domain.decide(found, message.findings, sender_domain.Settings(), EMPTY).action is Action.CONTINUE
    message.findings.add(found)
    finding = login_domain.collect(connection, message, None, services)
    return finding and login_domain.decide(finding, message.findings, login_domain.Settings(), EMPTY)


@pytest.mark.parametrize("client", [ClientClass.EXTERNAL, ClientClass.INTERNAL])
@pytest.mark.parametrize(
    ("sender", "access", "refused"),
    [
        ("joe@example.com", "", False),
        ("ann@Example.com", "", False),
        ("joe@gmail.example", "", True),
        ("", "", False),
        ("joe@gmail.example", "SMTP-Auth:joe@gmail.example OK", False),
        ("joe@gmail.example", "SMTP-Auth:ann@gmail.example OK", True),
        ("joe@gmail.example", "SMTP-Auth: OK", False),
    ],
)
def test_a_login_uses_our_domains_and_what_the_access_map_lets_it(
    sender: str, access: str, refused: bool, client: ClientClass
) -> None:
    found = verdict(sender, access=access, client=client)
    assert (found is not None and found.action is Action.REJECT) is refused


def test_what_the_access_map_forbids_is_refused_by_the_check_of_logins() -> None:
    assert verdict("joe@gmail.example", access="SMTP-Auth:gmail.example REJECT") is None


def test_a_webmail_on_this_machine_is_no_exception() -> None:
    found = verdict("joe@gmail.example", client=ClientClass.INTERNAL, ip="127.0.0.1")
    assert found is not None
    assert found.reply_lines() == (
        "The login joe may not send as joe@gmail.example, which is not one of our addresses.",
        "Please use your own address as the sender, or ask your mail administrator to allow this one.",
    )


def test_without_domains_of_ours_a_login_may_use_any() -> None:
    assert verdict("joe@gmail.example", config="internal_mta = 192.168.0.25") is None
    assert verdict("joe@gmail.example", config="") is None


def test_nobody_else_is_asked_about() -> None:
    assert verdict("joe@gmail.example", login="") is None
