"""Signs of a false author: names of brands, names with other addresses, and replies that go elsewhere."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from antispam.checks._shared.signs import SignsFinding, hits
from antispam.journey.services import Services
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.authors import authors, from_our_users, proved_domains, shown_name
from antispam.mail.connection import Connection
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.score import Hit
from antispam.mail.verdicts import Action, Verdict
from antispam.net.addresses import Mailbox
from antispam.protocols.address_fields import mailboxes
from antispam.protocols.signs import people
from antispam.protocols.signs.lists import brands
from antispam.settings import CheckSettings, option, section

NAME = "author_signs"
_MOST = 20  # mailboxes of a field


def _check(described: tuple[str, ...]) -> None:
    """Raises ValueError for an invalid brand."""
    brands(described)


@section("author_signs")
class Settings(CheckSettings):
    """[author_signs]: signs in author, name and Reply-To. They only give points (docs/score.md)."""

    brands: tuple[str, ...] = option(
        (),
        "further brands that fraud is sent in the name of, besides those that are shipped: NAME: DOMAIN DOMAIN, more lines for "
        "more brands. Mail whose author has such a name must come from such a domain",
        check=_check,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding(SignsFinding):
    """The signs in the author of a message."""

    check: ClassVar[str] = NAME


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> Finding | None:
    """None if there are none, and for mail of our own users."""
    assert message is not None
    found = authors(message)
    if from_our_users(message) or not found:
        return None
    subject = message.first_decoded(b"subject")
    named = (b"to", b"cc") if people.compares_recipients(found[0], subject) else ()
    who = people.Identity(
        author=found[0],
        name=shown_name(message).strip(' "'),
        subject=subject,
        replies=_mailboxes(message, b"reply-to"),
        proved=frozenset(proved_domains(message)),
        recipients=frozenset(str(one).lower() for name in named for one in _mailboxes(message, name))
        | {one.address.lower() for one in message.accepted_recipients[:_MOST]},
    )
    signs = tuple(people.signs(who, brands(services.settings[Settings].brands)))
    return Finding(signs=signs) if signs else None


def _mailboxes(message: Message, name: bytes) -> tuple[Mailbox, ...]:
    found = [one for header in message.shown(name) for one in mailboxes(header.value)]
    return tuple(found[:_MOST])


def decide(finding: Finding, findings: Findings, settings: Settings, policy: AccessMap | AccessTable) -> Verdict:
    """The signs only give points."""
    return Verdict(Action.CONTINUE, reason=finding.told)


def points(finding: Finding, findings: Findings, settings: Settings) -> tuple[Hit, ...]:
    """Every sign is a test."""
    return hits(finding.signs)
