"""Mail from a blacklisted sender, refused at its end so that the screener can learn it as spam."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from antispam.checks._shared.bans import BanSettings, refusal_of_listed
from antispam.checks._shared.taught_by_refusal import learn_refused
from antispam.journey.services import Services
from antispam.mail import findings as base
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.connection import Connection
from antispam.mail.evidence import SenderListFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.verdicts import Verdict

NAME = "blacklisted"
OTHERWISE = "`bms lists` shows and changes the blacklist."
Settings = BanSettings


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding(base.Finding):
    """The listed sender, and the reason."""

    check: ClassVar[str] = NAME
    sender: str = ""
    reason: str = ""


def applies(settings: Settings) -> bool:
    return settings.learn


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> Finding | None:
    """None for everybody else. Without [bans] learn, such a sender was refused earlier."""
    assert message is not None
    listed = message.findings.get(SenderListFinding)
    if listed is None or not listed.blacklisted or not services.settings[Settings].learn:
        return None
    return Finding(sender=listed.sender, reason=listed.blacklisted)


def decide(finding: Finding, findings: Findings, settings: BanSettings, policy: AccessMap | AccessTable) -> Verdict:
    return refusal_of_listed("The sender", finding.sender, finding.reason)


def concluded(
    finding: Finding, connection: Connection, message: Message | None, verdict: Verdict, services: Services
) -> None:
    """Train the screener with the refused message. Raises StoreError."""
    if message is not None and verdict.action.refuses:
        learn_refused(connection, message, services)
