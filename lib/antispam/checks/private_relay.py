"""Domains that only our own clients may send to, so that spammers cannot use us as a relay to them."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from antispam.journey.services import Services
from antispam.mail import findings as base
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.connection import Connection
from antispam.mail.evidence import AuthFinding, ClientClass, ConnectionFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.verdicts import CONTINUE, Verdict, reject
from antispam.net.addresses import host_list, parse_mailbox
from antispam.settings import CheckSettings, option, section
from antispam.text import from_wire

NAME = "private_relay"
OTHERWISE = "`[milter] private_relay` lists the domains to which outsiders may not send through this server."


@section("private_relay")
class Settings(CheckSettings):
    """[private_relay]: domains for our own senders only. The list is in [milter], as upstream."""

    private_relay: tuple[str, ...] = option(
        (),
        "domains to which only internal and authenticated clients may send: example.com, *.example.com",
        section="milter",
        check=host_list,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding(base.Finding):
    """A recipient in such a domain, and whether the client is one of ours."""

    check: ClassVar[str] = NAME
    domain: str = ""
    ours: bool = False


def applies(settings: Settings) -> bool:
    return bool(settings.private_relay)


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> Finding | None:
    """None for a recipient in any other domain."""
    settings = services.settings[Settings]
    assert message is not None
    assert recipient is not None
    domain = parse_mailbox(recipient.address).domain
    if domain not in host_list(settings.private_relay):
        return None
    client, auth = message.findings.get(ConnectionFinding), message.findings.get(AuthFinding)
    internal = client is not None and client.client is ClientClass.INTERNAL
    return Finding(domain=from_wire(domain, 255), ours=internal or (auth is not None and bool(auth.login)))


def decide(finding: Finding, findings: Findings, settings: Settings, policy: AccessMap | AccessTable) -> Verdict:
    if finding.ours:
        return CONTINUE
    text = (
        f"Mail to {finding.domain} is relayed for our own users only.\n"
        f"Please send it directly to the mail servers of {finding.domain}."
    )
    return reject(text, f"relaying to {finding.domain} from outside")
