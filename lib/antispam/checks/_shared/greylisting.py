"""Greylisting (RFC 6647), shared by two checks: one at RCPT, one at the end of a message."""

from __future__ import annotations

import enum
import functools
import ipaddress
import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from antispam.checks._shared.reputation.votes import brought_trusted_mail
from antispam.journey.services import Services
from antispam.mail.authors import is_whitelisted
from antispam.mail.connection import Connection
from antispam.mail.evidence import AuthFinding, ClientClass, ConnectionFinding, SpfFinding
from antispam.mail.message import Message, Recipient
from antispam.mail.verdicts import CONTINUE, Verdict, tempfail
from antispam.net.addresses import client_list, parse_ip, parse_mailbox
from antispam.protocols.spf import Result
from antispam.settings import CheckSettings, OnError, option, section
from antispam.settings.values import duration, not_negative
from antispam.store import Store
from antispam.store.greylist import Limits, State, Triplet, attempt, came_back, is_known, purge, vouch

_VOUCHED = "greylist: the client's network is noted"  # in memo


class When(enum.StrEnum):
    """The clients that are asked to come back."""

    SUSPICIOUS = "suspicious"  # at the end of the message, if its score or client is suspicious
    ALWAYS = "always"  # at RCPT: every new client
    NEVER = "never"


def _prefix(longest: int) -> Any:
    def check(value: int) -> None:
        if not 8 <= value <= longest:
            raise ValueError(f"expected a prefix length between 8 and {longest}")

    return check


@section("greylist")
class GreylistSettings(CheckSettings):
    """[greylist]: the clients that must wait, and for how long."""

    on_error: OnError = option(
        OnError.ACCEPT,
        "when the store cannot answer (a database that is only locked for a moment is waited for): accept (do not "
        "greylist), tempfail or reject",
    )
    when: When = option(
        When.SUSPICIOUS,
        "suspicious: at the end of the message, from [score] greylist points on, or where nothing proves who the client is; "
        "always: at RCPT, every new client; never",
    )
    time: float = option(
        300.0, "how long a new client has to wait; a bare number counts in minutes", parse=duration("m")
    )
    expire: float = option(
        2 * 86400.0, "how long it may take to come back; a bare number counts in hours", parse=duration("h")
    )
    retain: float = option(
        36 * 86400.0,
        "how long a client that came back is remembered after its last mail; a bare number counts in days",
        parse=duration("d"),
    )
    ipv4_prefix: int = option(24, "prefix length: clients in the same IPv4 network count as one", check=_prefix(32))
    ipv6_prefix: int = option(64, "the same for IPv6", check=_prefix(128))
    known_client: int = option(
        5,
        "a network that came back this often, counted at most once an hour, no longer waits, whoever the sender is; nor "
        "does one that brought mail of a domain with a good reputation. 0: every sender and recipient waits",
        check=not_negative,
    )
    exempt_clients: tuple[str, ...] = option(
        (), "clients that never wait: addresses, networks, host names with wildcards", check=client_list
    )
    exempt_recipients: tuple[str, ...] = option(
        ("postmaster",), "recipients whose mail never waits: addresses, domains, or local parts in any domain"
    )

    @property
    def limits(self) -> Limits:
        return Limits(self.time, self.expire, self.retain, self.known_client)


class Answer(NamedTuple):
    """The state of a client: `client` as looked up; `state` of its triplet, or "client" if its network is known; and
    the seconds left.
    """

    client: str
    state: str
    wait: float = 0.0


def ask(store: Store, connection: Connection, message: Message, recipient: Recipient, services: Services) -> Answer:
    """Record an attempt, and return the state of the client. Raises StoreError."""
    settings = services.settings[GreylistSettings]
    network, limits, now = network_of(connection, settings), settings.limits, services.clock()
    triplet = Triplet(client_of(connection, message, settings), message.mail_from, recipient.address)
    standing = attempt(store, triplet, now, limits, services.deadline, network)
    if standing.state is State.CLIENT:
        return Answer(network, "client")
    if standing.state is State.PASSED and limits.returns:
        came_back(store, network, now, limits, services.deadline)
    return Answer(triplet.client, str(standing.state), standing.wait)


def is_exempt(connection: Connection, message: Message, recipient: Recipient, settings: GreylistSettings) -> bool:
    """Whether the client need not wait: it is ours, authenticated, exempt, or has no address."""
    if parse_ip(connection.ip) is None:
        return True
    found = message.findings.get(ConnectionFinding)
    if found is not None and found.client is not ClientClass.EXTERNAL:
        return True
    auth = message.findings.get(AuthFinding)
    if auth is not None and auth.login:
        return True
    if is_whitelisted(message):
        return True
    if client_list(settings.exempt_clients).match(parse_ip(connection.ip), connection.name):
        return True
    return _named(recipient.address, settings.exempt_recipients)


def _named(address: str, names: Iterable[str]) -> bool:
    """Whether a list of addresses, domains and local parts contains this address."""
    mailbox = parse_mailbox(address)
    wanted = {str(mailbox).lower(), mailbox.domain.lower(), mailbox.local.lower()}
    return any(name.lower() in wanted for name in names)


def client_of(connection: Connection, message: Message, settings: GreylistSettings) -> str:
    """The first part of the triplet: the domain if SPF vouches for it, otherwise the client's network. For the null
    sender, SPF vouches for the name of a single host (RFC 7208 section 2.4), and the next attempt may come from its
    neighbour.
    """
    spf = message.findings.get(SpfFinding)
    if message.mail_from and spf is not None and spf.mailfrom is not None and spf.mailfrom.result is Result.PASS:
        return f"spf:{spf.mailfrom.domain}"
    return network_of(connection, settings)


def network_of(connection: Connection, settings: GreylistSettings) -> str:
    """The network that counts as one client. The connection must have an address."""
    return _network_of(connection.ip, settings.ipv4_prefix, settings.ipv6_prefix)


@functools.lru_cache(maxsize=256)
def _network_of(client: str, ipv4_prefix: int, ipv6_prefix: int) -> str:
    """The network of an address, cached: each client needs it several times."""
    address = parse_ip(client)
    assert address is not None
    prefix = ipv4_prefix if address.version == 4 else ipv6_prefix
    return str(ipaddress.ip_network((address, prefix), strict=False))


def vouch_for(connection: Connection, message: Message | None, verdict: Verdict, services: Services) -> None:
    """Make the network of a client known once it has sent mail of a domain with a good reputation, proved by SPF, or by
    DKIM, whose result is not yet known at RCPT. Raises StoreError.
    """
    settings = services.settings[GreylistSettings]
    if message is None or services.store is None or not settings.known_client:
        return
    if message.memo.get(_VOUCHED) or not brought_trusted_mail(message, verdict):
        return
    message.memo[_VOUCHED] = True
    network, now = network_of(connection, settings), services.clock()
    if not is_known(services.store, network, now, settings.limits, services.deadline):
        vouch(services.store, network, now, settings.limits, services.deadline)


def forget(services: Services) -> bool:
    """Delete a slice of the expired triplets. True if more may be left."""
    if services.store is None:
        return False
    return purge(services.store, services.clock(), services.settings[GreylistSettings].limits) > 0


def answered(client: str, state: str, seconds: float, why: str, reason: str = "") -> Verdict:
    """The verdict for the client: none unless it has to wait.

    why     the reason as a clause for people
    reason  further detail for the log
    """
    if state not in ("new", "early"):
        return CONTINUE
    wait = max(1, math.ceil(seconds / 60))
    minutes = "a minute" if wait == 1 else f"{wait} minutes"
    if state == "early":
        why = "your server came back earlier than it was asked to"
    text = (
        f"Greylisted: {why}. Please try again in {minutes}.\n"
        "Mail servers do this by themselves; you do not need to send the message again."
    )
    return tempfail(text, f"{state} triplet for {client}, {round(seconds)} s left{reason}")
