"""Greylisting (RFC 6647): a client that we don't know is asked to come back in a few minutes; spam cannons rarely do."""

from __future__ import annotations

import dataclasses
import ipaddress
import math
from collections.abc import Iterable
from typing import Any, ClassVar

from antispam.journey.services import Services
from antispam.mail.authors import is_whitelisted
from antispam.mail.connection import Connection
from antispam.mail.evidence import AuthFinding, ClientClass, ConnectionFinding, ReputationFinding, SpfFinding
from antispam.mail.findings import Finding as BaseFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.verdicts import CONTINUE, Verdict, tempfail
from antispam.net.addresses import client_list, parse_ip, parse_mailbox
from antispam.protocols.spf import Result
from antispam.settings import CheckSettings, OnError, option, section
from antispam.settings.values import duration
from antispam.store import StoreError
from antispam.store.greylist import Limits, Triplet, attempt, purge
from antispam.text import from_wire

NAME = "greylist"


def _prefix(longest: int) -> Any:
    def check(value: int) -> None:
        if not 8 <= value <= longest:
            raise ValueError(f"expected a prefix length between 8 and {longest}")

    return check


@section("greylist")
class Settings(CheckSettings):
    """[greylist]: who has to wait, and for how long."""

    on_error: OnError = option(
        OnError.ACCEPT,
        "when the store can't answer, though nobody merely holds its lock: accept (do not greylist), tempfail or reject",
    )
    time: float = option(
        300.0, "how long a new client has to wait; a bare number counts in minutes", parse=duration("m")
    )
    expire: float = option(21600.0, "until when it must be back; a bare number counts in hours", parse=duration("h"))
    retain: float = option(
        36 * 86400.0, "how long one that came back is remembered after its last mail; in days", parse=duration("d")
    )
    ipv4_prefix: int = option(24, "clients of the same IPv4 network of this size count as one", check=_prefix(32))
    ipv6_prefix: int = option(64, "the same for IPv6", check=_prefix(128))
    exempt_clients: tuple[str, ...] = option(
        (), "clients that never wait: addresses, networks, host names with wildcards", check=client_list
    )
    exempt_recipients: tuple[str, ...] = option(
        ("postmaster",), "recipients whose mail never waits: addresses, domains, or mailbox names of any domain"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding(BaseFinding):
    """Where the triplet stands.

    client  the network or authenticated domain that was looked up
    state   "new", "early", "passed" or "known"
    wait    seconds left until a retry may pass
    """

    check: ClassVar[str] = NAME
    client: str = ""
    state: str = ""
    wait: float = 0.0


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> Finding | None:
    """None where nobody has to wait: our own clients, authenticated ones, exempt ones, and clients without an address."""
    settings = services.settings[Settings]
    assert message is not None
    assert recipient is not None
    if parse_ip(connection.ip) is None or _exempt(connection, message, recipient, settings):
        return None
    triplet = Triplet(client_of(connection, message, settings), message.mail_from, recipient.address)
    client = from_wire(triplet.client, 255)
    if services.store is None:
        return Finding(client=client, error="there is no store")
    limits = Limits(settings.time, settings.expire, settings.retain)
    try:
        standing = attempt(services.store, triplet, services.clock(), limits, services.deadline)
    except StoreError as error:
        return Finding(client=client, error=f"greylist: {error}")
    return Finding(client=client, state=str(standing.state), wait=standing.wait)


def tidy(services: Services) -> bool:
    """Forget triplets that no longer count, a slice of them."""
    settings = services.settings[Settings]
    if services.store is None:
        return False
    limits = Limits(settings.time, settings.expire, settings.retain)
    return purge(services.store, services.clock(), limits) > 0


def client_of(connection: Connection, message: Message, settings: Settings) -> str:
    """The first part of the triplet: the domain where SPF vouches for it, otherwise the client's network."""
    spf = message.findings.get(SpfFinding)
    if spf is not None and spf.mailfrom is not None and spf.mailfrom.result is Result.PASS:
        return f"spf:{spf.mailfrom.domain}"
    address = parse_ip(connection.ip)
    assert address is not None  # collect() asked
    prefix = settings.ipv4_prefix if address.version == 4 else settings.ipv6_prefix
    return str(ipaddress.ip_network((address, prefix), strict=False))


def _exempt(connection: Connection, message: Message, recipient: Recipient, settings: Settings) -> bool:
    found = message.findings.get(ConnectionFinding)
    if found is not None and found.client is not ClientClass.EXTERNAL:
        return True
    auth = message.findings.get(AuthFinding)
    if auth is not None and auth.login:
        return True
    known = message.findings.get(ReputationFinding)
    if known is not None and known.trusted:
        return True
    if is_whitelisted(message):
        return True
    if client_list(settings.exempt_clients).match(parse_ip(connection.ip), connection.name):
        return True
    return _named(recipient.address, settings.exempt_recipients)


def _named(address: str, names: Iterable[str]) -> bool:
    """Whether a list of addresses, domains and bare mailbox names has this address."""
    mailbox = parse_mailbox(address)
    wanted = {str(mailbox).lower(), mailbox.domain.lower(), mailbox.local.lower()}
    return any(name.lower() in wanted for name in names)


def decide(finding: Finding, findings: Findings, settings: Settings, policy: Any) -> Verdict:
    if finding.state not in ("new", "early"):
        return CONTINUE
    wait = max(1, math.ceil(finding.wait / 60))
    minutes = "a minute" if wait == 1 else f"{wait} minutes"
    text = (
        f"Greylisted: we don't know your server yet, so please try again in {minutes}.\n"
        "Every mail server does this by itself; you need not do anything."
    )
    return tempfail(text, f"{finding.state} triplet for {finding.client}, {round(finding.wait)} s left")
