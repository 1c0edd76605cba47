"""Did the client say HELO at all before MAIL FROM (RFC 5321 section 4.1.4)?"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from antispam.journey.services import Services
from antispam.mail import findings as base
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.connection import Connection
from antispam.mail.evidence import ClientClass, ConnectionFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.remedies import Remedy, remedy_option, verdict_for
from antispam.mail.verdicts import CONTINUE, Verdict
from antispam.settings import CheckSettings, section

NAME = "greeting"
OTHERWISE = "`[helo] missing = ignore` accepts clients that send no HELO."


@section("helo")
class Settings(CheckSettings):
    """[helo]: shares mode and on_error with the rules for the name itself."""

    missing: Remedy = remedy_option(Remedy.REJECT, "no HELO at all before MAIL FROM")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding(base.Finding):
    """helos  how many times the client said HELO or EHLO on this connection; twice is usual with STARTTLS"""

    check: ClassVar[str] = NAME
    helos: int = 0


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> Finding | None:
    """None if the MTA has no client address: mail through a local pipe has no SMTP dialogue."""
    return Finding(helos=connection.helos) if connection.ip else None


def decide(finding: Finding, findings: Findings, settings: Settings, policy: AccessMap | AccessTable) -> Verdict:
    client = findings.get(ConnectionFinding)
    if finding.helos or (client is not None and client.client is not ClientClass.EXTERNAL):
        return CONTINUE
    text = (
        "Your mail server did not send HELO or EHLO before MAIL FROM, as SMTP (RFC 5321) requires.\n"
        "Please ask its administrator to correct or update its software."
    )
    return verdict_for(settings.missing, text, "no HELO")
