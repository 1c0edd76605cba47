"""Domains to which mail goes out from our own clients only: nobody shall forward his spam to them by way of us."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from antispam import findings as base
from antispam.accessmap import AccessMap, AccessTable
from antispam.addresses import host_list, parse_mailbox
from antispam.connection import Connection
from antispam.evidence import AuthFinding, ClientClass, ConnectionFinding
from antispam.findings import Findings
from antispam.message import Message, Recipient
from antispam.services import Services
from antispam.settings import CheckSettings, option, section
from antispam.text import from_wire
from antispam.verdicts import CONTINUE, Verdict, reject

NAME = "private_relay"


@section("private_relay")
class Settings(CheckSettings):
    """[private_relay]: domains for our own senders only. The list stands in [milter], where upstream has it."""

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
        f"Mail to {finding.domain} is passed on for our own users only.\n"
        f"Please send it to the mail servers of {finding.domain} directly."
    )
    return reject(text, f"relaying to {finding.domain} from outside")
