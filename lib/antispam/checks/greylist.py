"""Greylisting (RFC 6647): a client that we don't know is asked to come back in a few minutes; spam cannons rarely do."""

from __future__ import annotations

import dataclasses
import ipaddress
import math
from collections.abc import Iterable
from typing import Any, ClassVar

from antispam.checks._shared.reputation.votes import brought_trusted_mail
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
from antispam.settings.values import duration, not_negative
from antispam.store import StoreError
from antispam.store.greylist import Limits, State, Triplet, attempt, came_back, is_known, purge, vouch
from antispam.text import from_wire

NAME = "greylist"
OTHERWISE = (
    "Nothing, if the client tries again. `[greylist] exempt_clients` and `exempt_recipients` name who never waits."
)

_VOUCHED = "greylist: the client's network is noted"  # in memo


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
    expire: float = option(
        2 * 86400.0, "until when it must be back; a bare number counts in hours", parse=duration("h")
    )
    retain: float = option(
        36 * 86400.0, "how long one that came back is remembered after its last mail; in days", parse=duration("d")
    )
    ipv4_prefix: int = option(24, "clients of the same IPv4 network of this size count as one", check=_prefix(32))
    ipv6_prefix: int = option(64, "the same for IPv6", check=_prefix(128))
    known_client: int = option(
        5,
        "a network that came back so often, counted once an hour, waits no more, whoever the sender is; nor does one that "
        "brought mail of a domain with a good reputation. 0: each sender and recipient waits for itself",
        check=not_negative,
    )
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
    state   of the triplet "new", "early", "passed" or "known"; "client" where its network is known, "trusted" where the
            sender's domain has a good reputation
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
    known = message.findings.get(ReputationFinding)
    if known is not None and known.trusted:
        return Finding(client=client, state="trusted")
    if services.store is None:
        return Finding(client=client, error="there is no store")
    network, limits, now = network_of(connection, settings), _limits(settings), services.clock()
    try:
        if is_known(services.store, network, now, limits, services.deadline):
            return Finding(client=network, state="client")
        standing = attempt(services.store, triplet, now, limits, services.deadline)
        if standing.state is State.PASSED and limits.returns:
            came_back(services.store, network, now, limits, services.deadline)
    except StoreError as error:
        return Finding(client=client, error=f"greylist: {error}")
    return Finding(client=client, state=str(standing.state), wait=standing.wait)


def concluded(
    finding: Finding, connection: Connection, message: Message | None, verdict: Verdict, services: Services
) -> None:
    """The network of a client that brought mail of a domain with a good reputation is known from then on: by SPF, or by DKIM,
    of which nothing is known when the recipients are named."""
    settings = services.settings[Settings]
    if message is None or services.store is None or not settings.known_client or finding.state == "client":
        return
    if message.memo.get(_VOUCHED) or not brought_trusted_mail(message, verdict):
        return
    message.memo[_VOUCHED] = True
    network, limits, now = network_of(connection, settings), _limits(settings), services.clock()
    if not is_known(services.store, network, now, limits, services.deadline):
        vouch(services.store, network, now, limits, services.deadline)


def tidy(services: Services) -> bool:
    """Forget triplets that no longer count, a slice of them."""
    settings = services.settings[Settings]
    if services.store is None:
        return False
    return purge(services.store, services.clock(), _limits(settings)) > 0


def _limits(settings: Settings) -> Limits:
    return Limits(settings.time, settings.expire, settings.retain, settings.known_client)


def client_of(connection: Connection, message: Message, settings: Settings) -> str:
    """The first part of the triplet: the domain where SPF vouches for it, otherwise the client's network. For the null
    sender SPF vouches for one host by its name (RFC 7208 section 2.4), and the next attempt may come from its neighbour."""
    spf = message.findings.get(SpfFinding)
    if message.mail_from and spf is not None and spf.mailfrom is not None and spf.mailfrom.result is Result.PASS:
        return f"spf:{spf.mailfrom.domain}"
    return network_of(connection, settings)


def network_of(connection: Connection, settings: Settings) -> str:
    """The network that counts as one client."""
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
    why = "your server has not lately brought mail of this sender to this recipient"
    if finding.state == "early":
        why = "your server came back earlier than it was asked to"
    text = (
        f"Greylisted: {why}. Please try again in {minutes}.\n"
        "Mail servers do this by themselves; nobody has to send the message again."
    )
    return tempfail(text, f"{finding.state} triplet for {finding.client}, {round(finding.wait)} s left")
