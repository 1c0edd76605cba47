"""The TXT record of a key: its form in a zone file, and whether the name servers have it."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Iterator, Sequence

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from antispam.deadline import Deadline
from antispam.net.addresses import parents
from antispam.net.resolver import DNSTemporaryError, Lookup
from antispam.protocols.dkim import PrivateKey
from antispam.protocols.dkim.public_keys import PublicKey, UnusableKey, parse_key
from antispam.text import for_log

MAX_STRING = 255  # octets of one string of a TXT record (RFC 1035 section 3.3.14)


class State(enum.StrEnum):
    """The state of a published key."""

    RIGHT = "right"
    MISSING = "missing"
    WRONG = "wrong"
    UNKNOWN = "unknown"  # they did not answer


@dataclasses.dataclass(frozen=True, slots=True)
class Published:
    """The state of the key published at `name`; `detail` describes a fault or adds a remark."""

    name: str
    state: State
    detail: str = ""


def key_name(selector: str, domain: str) -> str:
    """The domain name of a key's record (RFC 6376 section 3.6.2.1)."""
    return f"{selector}._domainkey.{domain}"


def zone_lines(name: str, record: str) -> str:
    """The record for a zone file: split into strings of at most 255 octets, in parentheses, so that no line is long."""
    strings = [record[start : start + MAX_STRING] for start in range(0, len(record), MAX_STRING)]
    quoted = "\n\t".join(f'"{string}"' for string in strings)
    return f"{name}. IN TXT ( {quoted} )"


def look_up(name: str, key: PrivateKey, resolver: Lookup, deadline: Deadline) -> Published:
    """Look up whether `name` has the record of `key`. Never raises."""
    try:
        answer = resolver.lookup(name, "TXT", deadline)
    except DNSTemporaryError as error:
        return Published(name, State.UNKNOWN, for_log(str(error)))
    if not answer.texts:
        return Published(name, State.MISSING, f"there is no TXT record ({answer.status.value})")
    if len(answer.texts) > 1:
        return Published(name, State.WRONG, f"{len(answer.texts)} TXT records; a verifier may read any of them")
    return _compare(name, key, answer.texts[0])


def _compare(name: str, key: PrivateKey, record: bytes) -> Published:
    found = parse_key(record)
    if isinstance(found, UnusableKey):
        return Published(name, State.WRONG, f"{found}{_hint(record)}: {for_log(record, 120)}")
    if _public(found) != _public(key):
        return Published(name, State.WRONG, "the record is that of another key")
    notes = [key.warning] if key.warning else []
    notes += ["it says t=y (testing): verifiers may ignore the signatures"] if found.testing else []
    return Published(name, State.RIGHT, "; ".join(notes))


def _hint(record: bytes) -> str:
    if b'"' in record or b"\\" in record:
        return " (quotation marks or backslashes were stored with it: they belong into zone files only)"
    return " (no p= in it: cut off?)" if b"p=" not in record else ""


def _public(key: PublicKey | PrivateKey) -> bytes:
    public = key.key if isinstance(key, PublicKey) else key.key.public_key()
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def authoritative(name: str, resolver: Lookup, deadline: Deadline) -> Iterator[tuple[str, str]]:
    """Host name and address of every name server of the zone in which `name` lies. Raises DNSTemporaryError."""
    for zone in parents(name):
        servers = resolver.lookup(zone, "NS", deadline).names
        if servers:
            for host in servers:
                for address in _addresses(host, resolver, deadline):
                    yield host, address
            return


def _addresses(host: str, resolver: Lookup, deadline: Deadline) -> Sequence[str]:
    return [*resolver.lookup(host, "A", deadline).addresses, *resolver.lookup(host, "AAAA", deadline).addresses]


def look_up_everywhere(
    name: str, key: PrivateKey, resolver: Lookup, ask: Callable[[str], Lookup], deadline: Deadline
) -> Iterator[tuple[str, Published]]:
    """The answer of each name server of the zone: (server, answer). They may differ for hours.

    ask  makes a resolver that queries one address
    """
    asked = False
    try:
        for host, address in authoritative(name, resolver, deadline):
            asked = True
            yield f"{host} [{address}]", look_up(name, key, ask(address), deadline)
        if not asked:  # a zone without name servers has no valid records
            yield "", Published(name, State.UNKNOWN, "no name server of the zone is known, or none has an address")
    except DNSTemporaryError as error:
        yield "", Published(name, State.UNKNOWN, f"the name servers of the zone: {for_log(str(error))}")
