"""DNS look-ups with a cache that lives as long as one SMTP conversation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import dns.exception
import dns.name
import dns.rdata
import dns.rdatatype
import dns.resolver

MAX_CNAME = 10
"""How long a chain of aliases may be."""

LIFETIME = 10.0
"""Seconds for one query, all its retries included."""

_MAX_CACHED = 1000

Answer = tuple[tuple[str, str], Any]
"""((owner name, type), value). Names are in lower case without a final dot."""


class DNSError(Exception):
    """DNS gave no answer: time-out, SERVFAIL, a name that cannot be, aliases without an end."""


def DNSLookup(name: str, qtype: str) -> list[Answer]:
    """Ask DNS; returns the records of the answer section, aliases included, and [] if there are none.

    Values: A and AAAA a string; PTR, NS and CNAME a name; MX (preference, name); TXT and SPF a tuple of bytes; other
    types their text. Raises DNSError.
    """
    try:
        reply = dns.resolver.resolve(
            name.rstrip(".") + ".", qtype, search=False, lifetime=LIFETIME, raise_on_no_answer=False
        )
    except dns.resolver.NXDOMAIN as nothing:
        return _records(nothing.responses().values())  # type: ignore[no-untyped-call]
    except (dns.exception.DNSException, UnicodeError) as problem:
        raise DNSError(f"{name} {qtype}: {problem}") from problem
    return _records([reply.response])


def _records(responses: Any) -> list[Answer]:
    return [
        ((_text(rrset.name), dns.rdatatype.to_text(rrset.rdtype)), _value(record))
        for response in responses
        for rrset in response.answer
        for record in rrset
    ]


def _text(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower()


def _value(record: Any) -> Any:
    kind = dns.rdatatype.to_text(record.rdtype)
    if kind == "MX":
        return record.preference, _text(record.exchange)
    if kind in ("TXT", "SPF"):
        return tuple(record.strings)
    if kind in ("A", "AAAA"):
        return record.address
    if kind in ("PTR", "NS", "CNAME"):
        return _text(record.target)
    return record.to_text()


class Session:
    """Look-ups of one SMTP conversation, each made once. It has no time to live, so let it go with the connection."""

    SAFE2CACHE: ClassVar[frozenset[tuple[str, str]]] = frozenset(
        {
            ("A", "A"),
            ("AAAA", "AAAA"),
            ("CNAME", "A"),
            ("CNAME", "AAAA"),
            ("CNAME", "CNAME"),
            ("MX", "A"),
            ("MX", "MX"),
            ("NS", "A"),
            ("NS", "NS"),
            ("PTR", "PTR"),
            ("SPF", "SPF"),
            ("TXT", "TXT"),
        }
    )
    """(type asked for, type received) that may be believed. What else comes along could poison the cache."""

    def __init__(self, lookup: Callable[[str, str], Sequence[Answer]] | None = None) -> None:
        """``lookup`` asks DNS; by default :func:`DNSLookup`, or what has been put in its place."""
        self.cache: dict[tuple[str, str], list[Any]] = {}
        self._lookup = lookup

    def dns(self, name: str, qtype: str, cnames: dict[str, str] | None = None) -> list[Any]:
        """Return the values of type ``qtype`` at ``name``, aliases followed; [] if there are none.

        ``cnames`` holds the aliases already followed, {alias: target}. Raises DNSError, also for an endless chain.
        """
        name = name.rstrip(".").lower()
        if not name or not all(0 < len(label) < 64 for label in name.split(".")):
            return []  # no such name can exist (RFC 1035 2.3.4)
        known = self.cache.get((name, qtype))
        if known is not None:
            return known
        self._ask(name, qtype)
        values = self.cache.get((name, qtype))
        if values is None:
            values = self._follow(name, qtype, cnames or {})
            self._remember(name, qtype, values)
        return values

    def _ask(self, name: str, qtype: str) -> None:
        lookup = self._lookup or DNSLookup
        fresh: dict[tuple[str, str], list[Any]] = {}
        for (owner, kind), value in lookup(name, qtype):
            owner = owner.rstrip(".").lower()
            if (qtype, kind) in self.SAFE2CACHE or kind in (qtype, "CNAME"):
                fresh.setdefault((owner, kind), []).append(value)
        for (owner, kind), values in fresh.items():
            self._remember(owner, kind, values)

    def _remember(self, name: str, qtype: str, values: list[Any]) -> None:
        if len(self.cache) >= _MAX_CACHED:
            self.cache.clear()
        self.cache[name, qtype] = values

    def _follow(self, name: str, qtype: str, cnames: dict[str, str]) -> list[Any]:
        targets = self.cache.get((name, "CNAME"))
        if not targets or qtype == "CNAME":
            return []
        target = str(targets[0]).rstrip(".").lower()
        if len(cnames) >= MAX_CNAME:
            raise DNSError(f"{name}: more than {MAX_CNAME} aliases in a row")
        if target == name or target in cnames:
            raise DNSError(f"{name}: its alias leads back to it")
        return self.dns(target, qtype, {**cnames, name: target})

    def dns_txt(self, domainname: str, enc: str | None = "ascii") -> list[Any]:
        """Return the TXT records of a domain, the strings of each joined.

        They are decoded from ``enc``, octets that it lacks as surrogates; with None they stay bytes.
        """
        if not domainname:
            return []
        records = [b"".join(_octets(part) for part in _strings(record)) for record in self.dns(domainname, "TXT")]
        return records if enc is None else [record.decode(enc, "surrogateescape") for record in records]


def _strings(record: Any) -> Sequence[str | bytes]:
    return [record] if isinstance(record, str | bytes) else record


def _octets(part: str | bytes) -> bytes:
    return part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part
