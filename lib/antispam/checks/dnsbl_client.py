"""Is the client on a list that is trusted to refuse it? The other lists are queried in advance, for the score."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from antispam.checks._shared.dnsbl.asking import Listed, ask, ask_ahead
from antispam.checks._shared.dnsbl.settings import About, DnsblSettings
from antispam.checks._shared.dnsbl.subjects import client_subjects
from antispam.journey.services import Services
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.connection import Connection
from antispam.mail.evidence import ClientClass, ConnectionFinding
from antispam.mail.findings import Finding as BaseFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.verdicts import CONTINUE, Verdict, reject
from antispam.net.addresses import parse_ip
from antispam.protocols.dnsbl import read_answer

NAME = "dnsbl_client"
Settings = DnsblSettings


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding(BaseFinding):
    """The lists with `refuse` that have the client."""

    check: ClassVar[str] = NAME
    listed: tuple[Listed, ...] = ()


def applies(settings: DnsblSettings) -> bool:
    return any(About.CLIENT in one.zone.about for one in settings.lists)


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> Finding | None:
    """None for our own clients, and for clients on no list that refuses. The other lists are queried without waiting."""
    client = connection.findings.get(ConnectionFinding)
    if client is None or client.client is not ClientClass.EXTERNAL:
        return None
    settings = services.settings[DnsblSettings]
    lists = [one for one in settings.lists if About.CLIENT in one.zone.about]
    subjects = tuple(client_subjects(parse_ip(connection.ip)))
    ask_ahead([one for one in lists if not one.zone.refuse], subjects, services)
    found = ask([one for one in lists if one.zone.refuse], subjects, services)
    return Finding(listed=found.listed) if found.listed else None


def decide(finding: Finding, findings: Findings, settings: DnsblSettings, policy: AccessMap | AccessTable) -> Verdict:
    for one in finding.listed:
        known = settings.by_name.get(one.list)
        if known is None or not known.zone.refuse:
            continue
        tests = [code.test for code in read_answer(one.answers, known.codes).codes if code.points > 0]
        if tests:
            text = (
                f"Your mail server {one.subject} is on the block list {known.domain}.\n"
                "Please ask its administrator to have it removed from that list."
            )
            return reject(text, f"{one.subject} is on {known.domain} ({', '.join(tests)})")
    return CONTINUE
