"""Signing the envelope sender of our own mail, so that genuine bounces can be recognised."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from typing import ClassVar

from antispam.checks._shared.srs import UNUSABLE, SrsSettings, signature_of
from antispam.journey.services import Services
from antispam.mail import findings as base
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.authors import from_our_users
from antispam.mail.connection import Connection
from antispam.mail.draft import Draft
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.verdicts import CONTINUE, Verdict
from antispam.text import from_wire

NAME = "srs_sign"
Settings = SrsSettings


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding(base.Finding):
    """The signed sender, for one recipient."""

    check: ClassVar[str] = NAME
    signed: str = ""


def applies(settings: Settings) -> bool:
    return settings.signs


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> Finding | None:
    """None for a sender that does not change, and for recipients in nosrs."""
    assert message is not None
    assert recipient is not None
    if not from_our_users(message):
        return None
    try:
        signature = signature_of(services.settings[Settings], services.clock)
        if signature is None or signature.leaves_alone(recipient.address):
            return None
        if NAME not in message.memo:  # all recipients share one signature, and so one message
            message.memo[NAME] = signature.signed(message.mail_from)
        signed: str = message.memo[NAME]
    except UNUSABLE as error:
        return Finding(error=f"srs: {error}")
    # A sender that cannot be encoded is not signed: bounces would go to another address.
    return Finding(signed=signed) if signed and from_wire(signed, 1100) == signed else None


def content(finding: Finding) -> Hashable:
    """Recipients in nosrs get a separate message."""
    return finding.signed


def decide(finding: Finding, findings: Findings, settings: SrsSettings, policy: AccessMap | AccessTable) -> Verdict:
    return CONTINUE


def act(finding: Finding, verdict: Verdict, draft: Draft, services: Services) -> None:
    draft.change_sender(finding.signed)
