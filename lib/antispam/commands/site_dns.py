"""A check of the DNS records of a mail site, with advice: other sites judge our mail by them."""

from __future__ import annotations

import dataclasses
import enum
import functools
import ipaddress
from collections.abc import Callable, Iterator, Sequence

from antispam.deadline import Deadline
from antispam.net.resolver import Answer, DNSTemporaryError, Lookup, RdType
from antispam.protocols import dmarc
from antispam.protocols.dkim.public_keys import UnusableKey, parse_key
from antispam.protocols.dmarc import Disposition
from antispam.protocols.spf import Result, check_host
from antispam.text import for_log


class State(enum.StrEnum):
    """The state of a record."""

    RIGHT = "right"
    BETTER = "could be better"
    WRONG = "wrong"
    UNKNOWN = "unknown"  # the name servers did not answer


@dataclasses.dataclass(frozen=True, slots=True)
class Advice:
    """A finding as a sentence, and what to do about it; "" if there is nothing to do."""

    state: State
    about: str
    found: str
    do: str = ""


Told = tuple[State, str, str]
"""The first, third and fourth of an Advice."""


@dataclasses.dataclass(frozen=True, slots=True)
class Server:
    """A mail server of the site: its name, its public addresses, and the selector of its DKIM key."""

    name: str
    addresses: tuple[str, ...] = ()
    selector: str = "mail"


def addresses_of(host: str, resolver: Lookup, deadline: Deadline) -> tuple[str, ...]:
    """The public addresses of a host; none if the DNS has none or does not answer."""
    found: list[str] = []
    kinds: tuple[RdType, ...] = ("A", "AAAA")
    for kind in kinds:
        try:
            found += resolver.lookup(host, kind, deadline).addresses
        except DNSTemporaryError:
            continue
    return tuple(address for address in found if ipaddress.ip_address(address).is_global)


def examine(
    domains: Sequence[str], server: Server, postmaster: str, resolver: Lookup, deadline: Deadline
) -> Iterator[Advice]:
    """Advice on the DNS records of these domains and of their mail server. Never raises."""
    for address in server.addresses:
        yield _asked(f"PTR of {address}", functools.partial(_ptr, address, server.name, resolver, deadline))
    for domain in domains:
        yield _asked(f"MX of {domain}", functools.partial(_mx, domain, server.name, resolver, deadline))
        yield _asked(f"SPF of {domain}", functools.partial(_spf, domain, server, resolver, deadline))
        yield _asked(f"DMARC of {domain}", functools.partial(_dmarc, domain, postmaster, resolver, deadline))
        yield _asked(f"DKIM of {domain}", functools.partial(_dkim, domain, server.selector, resolver, deadline))


def _asked(about: str, ask: Callable[[], Told]) -> Advice:
    try:
        state, found, do = ask()
    except DNSTemporaryError as error:
        return Advice(State.UNKNOWN, about, for_log(str(error)), "ask again later: the name servers did not answer")
    return Advice(state, about, for_log(found, 300), do)


def _ptr(address: str, host: str, resolver: Lookup, deadline: Deadline) -> Told:
    """Check that the name of an address leads back to it (RFC 8601 section 2.7.3)."""
    names = resolver.lookup(ipaddress.ip_address(address).reverse_pointer, "PTR", deadline).names
    if not names:
        do = f"ask who gave you the address to let its reverse record name {host}; large providers refuse mail without"
        return State.WRONG, "there is none", do
    for name in names[:5]:
        back = resolver.lookup(name, "AAAA" if ":" in address else "A", deadline).addresses
        if ipaddress.ip_address(address) in map(ipaddress.ip_address, back):
            if name.lower() == host.lower():
                return State.RIGHT, f"{name}, which leads back to it", ""
            return (
                State.BETTER,
                f"{name}, which leads back to it",
                f"let it be {host}, the name that your MTA says in HELO",
            )
    return (
        State.WRONG,
        f"{names[0]} does not lead back to it",
        f"let {names[0]} have this address, or the record name {host}",
    )


def _mx(domain: str, host: str, resolver: Lookup, deadline: Deadline) -> Told:
    exchanges = resolver.lookup(domain, "MX", deadline).exchanges
    if not exchanges:
        return State.WRONG, "there is none", f"publish: {domain}. MX 10 {host}."
    names = [name or "(no mail)" for _, name in exchanges]
    told = ", ".join(names[:5])
    if host.lower() in (name.lower() for name in names):
        return State.RIGHT, told, ""
    do = f"if {host} takes mail for {domain}, name it; if another server passes mail on to it, put that into trusted_relay"
    return State.BETTER, told, do


def _spf(domain: str, server: Server, resolver: Lookup, deadline: Deadline) -> Told:
    answer = resolver.lookup(domain, "TXT", deadline)
    records = [text for text in _texts(answer) if text.lower().split(" ")[0] == "v=spf1"]
    if not records:
        return (
            State.WRONG,
            "there is none",
            f'publish: {domain}. TXT "v=spf1 mx -all" (mx: the servers of its MX records)',
        )
    if len(records) > 1:
        return State.WRONG, f"there are {len(records)}", "make one of them: with two, RFC 7208 has none count"
    for address in server.addresses:
        found = check_host(address, "mailfrom", f"postmaster@{domain}", server.name, resolver, deadline)
        if found.result is Result.TEMPERROR:
            raise DNSTemporaryError(found.problem or "no answer")
        if found.result is not Result.PASS:
            why = f" ({found.problem})" if found.problem else ""
            return (
                State.WRONG,
                f"{records[0]}: {found.result} for {address}{why}",
                f"add ip{_family(address)}:{address}",
            )
    if not records[0].lower().rstrip().endswith(("-all", "~all")):
        return State.BETTER, records[0], "end it with -all, so that others can refuse who pretends to be you"
    return State.RIGHT, records[0], ""


def _family(address: str) -> int:
    return ipaddress.ip_address(address).version


def _dmarc(domain: str, postmaster: str, resolver: Lookup, deadline: Deadline) -> Told:
    """RFC 9989."""
    own = [
        text
        for text in _texts(resolver.lookup(f"_dmarc.{domain}", "TXT", deadline))
        if dmarc.parse_record(text.encode("utf-8", "replace")) is not None
    ]
    if len(own) > 1:
        return State.WRONG, f"there are {len(own)}", "make one of them: with two, RFC 9989 has none count"
    policy = dmarc.walk(domain, resolver, deadline).policy
    first = f'_dmarc.{domain}. TXT "v=DMARC1; p=none; rua=mailto:{postmaster}"'
    if policy is None:
        return State.WRONG, "there is none", f"publish: {first}; when the reports show no mail of yours, p=reject"
    told = own[0] if own else f"that of {policy.domain}"
    if policy.record.problem:
        return State.WRONG, f"{told}: {policy.record.problem}", f"publish: {first}"
    if policy.record.policy is Disposition.NONE:
        return (
            State.BETTER,
            told,
            "p=none stops nobody; when the reports show no mail of yours, p=quarantine, then p=reject",
        )
    return State.RIGHT, told, ""


def _dkim(domain: str, selector: str, resolver: Lookup, deadline: Deadline) -> Told:
    """RFC 6376 section 3.6.2.1."""
    name = f"{selector}._domainkey.{domain}"
    records = resolver.lookup(name, "TXT", deadline).texts
    if not records:
        do = f"`bms dkim keygen {domain} {selector} FILE` makes a key and prints the record; sites with keys name --selector"
        return State.WRONG, f"no key at {name}", do
    key = parse_key(records[0])
    if isinstance(key, UnusableKey):
        return State.WRONG, f"{name}: {key}", f"`bms dkim record {domain} {selector} FILE` prints the right record"
    return State.RIGHT, f"there is a key at {name}", ""


def _texts(answer: Answer) -> list[str]:
    return [text.decode("utf-8", "backslashreplace") for text in answer.texts]
