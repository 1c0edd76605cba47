"""Whom our users write to is waited for: his answer shall get through."""

from __future__ import annotations

import dataclasses
import itertools
from typing import ClassVar

from antispam import findings as base
from antispam.accessmap import AccessMap, AccessTable
from antispam.addresses import parse_mailbox
from antispam.authors import of_our_users
from antispam.connection import Connection
from antispam.findings import Findings
from antispam.learning.answers import should_answer
from antispam.learning.people import address_list
from antispam.message import Message, Recipient
from antispam.services import Services
from antispam.settings import CheckSettings, OnError, option, section
from antispam.settings.values import duration, listed
from antispam.store.lists import BadName, Kind, add
from antispam.text import from_wire
from antispam.verdicts import Action, Verdict

NAME = "auto_whitelist"

MAX_RECIPIENTS = 100  # of one message; whoever writes to more waits for no answers


@section("auto_whitelist")
class Settings(CheckSettings):
    """[auto_whitelist]: whose correspondents get through. The list stands in [dspam], where upstream has it."""

    on_error: OnError = option(
        OnError.ACCEPT, "when the store can't answer: accept (nobody is noted), tempfail or reject"
    )
    whitelist_senders: tuple[str, ...] = option(
        (),
        "our users, as addresses, domains (@example.com) or file:PATH: whom they write to is put on the whitelist. The mail of "
        "its senders, where SPF or DKIM prove them, is neither greylisted nor called spam",
        section="dspam",
        parse=listed,
    )
    keep: float = option(
        60 * 86400.0, "how long somebody stays on the whitelist after he was last written to", parse=duration("d")
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding(base.Finding):
    """Whom one of our users writes to.

    automatic  the message is an answer of a program, or to a list: nobody waits for an answer
    """

    check: ClassVar[str] = NAME
    recipients: tuple[str, ...] = ()
    automatic: bool = False


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> Finding | None:
    """None for every other sender."""
    assert message is not None
    senders = services.settings[Settings].whitelist_senders
    if not senders or not of_our_users(message) or message.mail_from not in address_list(senders):
        return None
    addresses = (one.address for one in message.accepted_recipients)
    # Without a name before the @ it would be the whole domain.
    others = (
        address
        for address in addresses
        if (mailbox := parse_mailbox(address)).domain and mailbox.local and address not in address_list(senders)
    )
    fields = [(header.name, header.value) for header in message.headers]
    return Finding(
        recipients=tuple(from_wire(one, 320) for one in itertools.islice(others, MAX_RECIPIENTS)),
        automatic=not should_answer(message.mail_from, fields),
    )


def decide(finding: Finding, findings: Findings, settings: Settings, policy: AccessMap | AccessTable) -> Verdict:
    """It changes nothing for the message itself."""
    return Verdict(Action.CONTINUE, reason="automatic: nobody is whitelisted" if finding.automatic else "")


def afterwards(finding: Finding, message: Message, services: Services) -> None:
    """The message is on its way: expect answers. Raises StoreError."""
    if finding.automatic or services.store is None:
        return
    now, keep = services.clock(), services.settings[Settings].keep
    for address in finding.recipients:
        try:
            add(
                services.store,
                Kind.WHITELIST,
                address,
                reason=f"{from_wire(message.mail_from, 320)} wrote to it",
                by=NAME,
                now=now,
                expires_at=now + keep,
                deadline=services.deadline,
            )
        except BadName:
            continue
