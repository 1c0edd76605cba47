"""Users who do not want forwarded mail."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from antispam.journey.services import Services
from antispam.learning.people import address_list
from antispam.mail import findings as base
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.authors import from_our_users
from antispam.mail.connection import Connection
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.remedies import Remedy, remedy_option, verdict_for
from antispam.mail.verdicts import Verdict
from antispam.protocols.encoded_words import decoded
from antispam.protocols.word_lists import as_shown
from antispam.settings import CheckSettings, option, section
from antispam.settings.values import listed
from antispam.text import from_wire

NAME = "block_forward"
OTHERWISE = "`[defang] block_forward` lists the users who do not want forwarded mail."

# Prefixes that mail programs put before the subject: fwd and [fw from upstream, fw from Outlook, the others from other
# languages.
_PREFIXES = ("fwd:", "[fw", "fw:", "wg:", "tr:", "tr :", "rv:", "转发:", "轉寄:", "転送:")


@section("block_forward")
class Settings(CheckSettings):
    """[block_forward]: users who do not want forwarded mail."""

    block_forward: tuple[str, ...] = option(
        (), "users who do not want forwarded mail: addresses, @domains, or file:PATH", section="defang", parse=listed
    )
    answer: Remedy = remedy_option(
        Remedy.REJECT, "what happens to such mail for them: ignore, quarantine, tempfail or reject"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding(base.Finding):
    """A forwarded message to a user who does not want it."""

    check: ClassVar[str] = NAME
    subject: str = ""


def applies(settings: Settings) -> bool:
    return bool(settings.block_forward)


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> Finding | None:
    """None for other recipients and other mail."""
    assert message is not None
    assert recipient is not None
    haters = services.settings[Settings].block_forward
    if from_our_users(message):
        return None
    if NAME not in message.memo:  # computed once for all recipients
        message.memo[NAME] = (_forwarded(message), address_list(haters))
    subject, listed_ones = message.memo[NAME]
    return Finding(subject=subject) if subject and recipient.address in listed_ones else None


def _forwarded(message: Message) -> str:
    """The subject that marks a forwarded message, "" for none."""
    subjects = (as_shown(decoded(header.text).text) for header in message.shown(b"Subject"))
    return next((from_wire(one, 200) for one in subjects if one.lower().startswith(_PREFIXES)), "")


def decide(finding: Finding, findings: Findings, settings: Settings, policy: AccessMap | AccessTable) -> Verdict:
    text = (
        "The recipient does not want forwarded mail. Please write a message of your own,\n"
        "quote no more of the other one than you need, and use another subject."
    )
    return verdict_for(settings.answer, text, f"forwarded: {finding.subject}")
