"""Does the recipient exist? For domains whose users are listed in the configuration because the MTA relays all their
mail.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from antispam.journey.services import Services
from antispam.mail import findings as base
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.connection import Connection
from antispam.mail.evidence import ClientClass, ConnectionFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.verdicts import CONTINUE, Verdict, reject
from antispam.net.addresses import is_hostname, normalize_domain, parse_mailbox
from antispam.settings import CheckSettings, option, section
from antispam.settings.program import ProgramSettings
from antispam.settings.values import items_of, names
from antispam.text import from_wire

NAME = "known_user"
OTHERWISE = "`[milter] check_user` lists the addresses that exist."


def addresses(text: str) -> tuple[str, ...]:
    """The list: addresses, or file:PATH. In a file, a name without a domain belongs to the domain in the file's name.

    Raises ValueError for a file that can't be read, and for an address without a domain.
    """
    return tuple(address for item in names(text) for address in _addresses_of(item))


def _addresses_of(item: str) -> Iterator[str]:
    if not item.startswith("file:"):
        if not parse_mailbox(item).domain:
            raise ValueError(f"{item} has no domain: write an address, or file:PATH")
        yield item
        return
    file = Path(item[5:].strip())
    domain = normalize_domain(file.name)
    for entry in items_of(file):
        if "@" not in entry and not ("." in domain and is_hostname(domain)):
            raise ValueError(f"{file}: {entry} has no domain, and the file is not named for one")
        yield entry if "@" in entry else f"{entry}@{domain}"


@section("known_user")
class Settings(CheckSettings):
    """[known_user]: domains whose users are known. The list is in [milter], as upstream."""

    check_user: tuple[str, ...] = option(
        (),
        "all addresses of the domains that occur in this list; mail from outside to any other address of these domains "
        "is refused. file:PATH reads a file; if it is named after a domain, as file:/etc/mail/users/example.com, it may "
        "list users without a domain",
        section="milter",
        parse=addresses,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding(base.Finding):
    """A recipient in such a domain, and whether it is in the list."""

    check: ClassVar[str] = NAME
    address: str = ""
    known: bool = True


@functools.lru_cache(maxsize=16)
def _users(listed: tuple[str, ...], fold: bool) -> dict[str, frozenset[str]]:
    """The local parts of each domain."""
    found: dict[str, set[str]] = {}
    for address in listed:
        mailbox = parse_mailbox(address)
        found.setdefault(mailbox.domain, set()).add(mailbox.local.lower() if fold else mailbox.local)
    return {domain: frozenset(locals_) for domain, locals_ in found.items()}


def applies(settings: Settings) -> bool:
    return bool(settings.check_user)


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> Finding | None:
    """None for a recipient in any other domain, and for clients that are not outside."""
    listed = services.settings[Settings].check_user
    assert message is not None
    assert recipient is not None
    client = message.findings.get(ConnectionFinding)
    if client is not None and client.client is not ClientClass.EXTERNAL:
        return None
    fold = not services.settings[ProgramSettings].case_sensitive_localpart
    mailbox = parse_mailbox(recipient.address)
    users = _users(listed, fold).get(mailbox.domain)
    if users is None:
        return None
    local = mailbox.local.lower() if fold else mailbox.local
    plain = local.partition("+")[0]
    # RFC 5321 section 4.5.1: postmaster exists whatever a list says.
    known = local in users or (bool(plain) and plain in users) or local.lower() == "postmaster"
    return Finding(address=from_wire(recipient.address, 320), known=known)


def decide(finding: Finding, findings: Findings, settings: Settings, policy: AccessMap | AccessTable) -> Verdict:
    """A client that guesses addresses collects demerits."""
    if finding.known:
        return CONTINUE
    text = f"There is no {finding.address} here.\nPlease check the spelling, or ask the person in another way."
    return reject(text, f"no user {finding.address}", enhanced="5.1.1", demerits=1)
