"""Hiding a message's internal path from some recipients: some sites refuse mail that shows private addresses.

The fields are kept, because MTAs count them to find loops; everything in them except the date is removed.
"""

from __future__ import annotations

import dataclasses
import email.utils
from collections.abc import Hashable
from typing import ClassVar

from antispam.journey.services import Services
from antispam.mail import findings as base
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.authors import from_our_users
from antispam.mail.connection import Connection
from antispam.mail.draft import Draft
from antispam.mail.findings import Findings
from antispam.mail.message import Header, Message, Recipient
from antispam.mail.verdicts import Action, Verdict
from antispam.net.addresses import host_list, parse_mailbox
from antispam.settings import CheckSettings, option, section

NAME = "scrub"
OTHERWISE = "`[scrub] reject_virus_from` and `hide_path` name the domains."

_TELLTALE = (b"x-originating-ip", b"x-sender-ip", b"x-client-ip")


@section("scrub")
class Settings(CheckSettings):
    """[scrub]: what our mail shows to the outside."""

    hide_path: tuple[str, ...] = option(
        (),
        "recipients' domains, example.org or *.example.org, that do not see the path of our users' mail before it "
        "reached this server: the details are removed from Received fields",
        check=host_list,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding(base.Finding):
    """A recipient from whom the path is hidden, and the number of affected fields."""

    check: ClassVar[str] = NAME
    fields: int = 0


def applies(settings: Settings) -> bool:
    return bool(settings.hide_path)


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> Finding | None:
    """None for other recipients, for mail from outside, and if there is nothing to hide."""
    domains = services.settings[Settings].hide_path
    assert message is not None
    assert recipient is not None
    if parse_mailbox(recipient.address).domain not in host_list(domains) or not from_our_users(message):
        return None
    if NAME not in message.memo:  # computed once for all recipients
        message.memo[NAME] = len(_fields(message))
    count = message.memo[NAME]
    return Finding(fields=count) if count else None


def _fields(message: Message) -> list[Header]:
    return [header for header in message.headers if header.key == b"received" or header.key in _TELLTALE]


def decide(finding: Finding, findings: Findings, settings: Settings, policy: AccessMap | AccessTable) -> Verdict:
    return Verdict(Action.CONTINUE, reason=f"{finding.fields} fields hidden")


def content(finding: Finding) -> Hashable:
    """All recipients from whom the path is hidden get the same message."""
    return NAME


def act(finding: Finding, verdict: Verdict, draft: Draft, services: Services) -> None:
    for header in _fields(draft.message):
        draft.change_header(header, hidden(header) if header.key == b"received" else None)


def hidden(received: Header) -> str:
    """A Received field (RFC 5321 section 4.4) reduced to its date; "" without a date. Never raises."""
    date = received.text.rpartition(";")[2].strip()
    try:
        when = email.utils.parsedate_to_datetime(date)
        stamp = email.utils.format_datetime(when)
    except (ValueError, TypeError, OverflowError, IndexError):
        return "from hidden.invalid by hidden.invalid"
    return f"from hidden.invalid by hidden.invalid; {stamp}"
