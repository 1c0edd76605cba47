"""The access map's entries for senders that pass SPF, applied to our own clients.

SPF is not checked for internal mail, so SPF-Pass entries do not apply to it. With internal_policy they do.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from antispam.journey.services import Services
from antispam.mail import findings as base
from antispam.mail.access_map import AccessMap, AccessTable, apply_entry
from antispam.mail.authors import from_our_users
from antispam.mail.connection import Connection
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.verdicts import CONTINUE, Verdict, reject
from antispam.net.addresses import parse_mailbox
from antispam.settings import CheckSettings, option, section
from antispam.text import from_wire

NAME = "internal_policy"
OTHERWISE = "An `SPF-Pass:` entry of the access map allows your own clients to use a sender domain."


@section("scrub")
class Settings(CheckSettings):
    """[scrub]: shares mode and on_error with the hiding of paths."""

    internal_policy: bool = option(
        False,
        "apply the access map's entries for senders that pass SPF (SPF-Pass:) to internal and authenticated mail",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding(base.Finding):
    """The envelope sender of one of our own clients."""

    check: ClassVar[str] = NAME
    sender: str = ""


def applies(settings: Settings) -> bool:
    return settings.internal_policy


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> Finding | None:
    """None for mail from outside, and for the null sender."""
    assert message is not None
    wanted = services.settings[Settings].internal_policy and from_our_users(message)
    return Finding(sender=from_wire(message.mail_from, 1000)) if wanted and message.mail_from else None


def decide(finding: Finding, findings: Findings, settings: Settings, policy: AccessMap | AccessTable) -> Verdict:
    sender = parse_mailbox(finding.sender)
    entry = policy.policy("spf-pass", sender)
    if entry is None:
        return CONTINUE
    text = (
        f"Mail from {sender.domain} is not accepted from inside: our own computers may not use that sender.\n"
        "Please use your own address as the sender, or ask your mail administrator to allow this one."
    )
    return apply_entry(
        entry, reject(text, f"internal MAIL FROM <{finding.sender}>, access map {entry.key} {entry.action}")
    )
