"""DNS questions and answers, and parsing responses."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdata

from antispam.deadline import Deadline

RdType = Literal["A", "AAAA", "CNAME", "MX", "NS", "PTR", "TXT"]

Question = tuple[str, RdType]
"""A name and the record type wanted."""

EDNS_PAYLOAD = 1232  # octets; fits everywhere without fragmentation (DNS flag day 2020)
MAX_TTL = 86_400.0  # seconds; RFC 8767 section 4 warns of larger ones
MAX_NEGATIVE_TTL = 3_600.0  # RFC 2308 section 5 proposes one to three hours


class Status(enum.Enum):
    """The outcome of a query for a name and type."""

    FOUND = "found"
    NODATA = "no data"  # the name exists, records of this type do not
    NXDOMAIN = "no such domain"
    INVALID_NAME = "not a domain name"  # not valid for a query


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer for `name` and `rdtype`. Only the field for that type is filled; CNAMEs were followed.

    texts      TXT: the strings of each record joined (RFC 7208 section 3.3)
    addresses  A, AAAA: as text
    names      PTR, NS, CNAME: host names without the final dot
    exchanges  MX: (preference, host name), lowest preference first; the host of a null MX (RFC 7505) is ""
    expires    expiry time on the resolver's clock; 0.0 if unknown
    """

    name: str
    rdtype: RdType
    status: Status
    texts: tuple[bytes, ...] = ()
    addresses: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    exchanges: tuple[tuple[int, str], ...] = ()
    expires: float = dataclasses.field(default=0.0, compare=False)

    @property
    def found(self) -> bool:
        return self.status is Status.FOUND


class DNSTemporaryError(Exception):
    """No answer at the moment: time-out, SERVFAIL, REFUSED, truncation without TCP. The text says which."""


class Lookup(Protocol):
    """The part of a resolver that checks need; tests script one."""

    def lookup(self, name: str, rdtype: RdType, deadline: Deadline) -> Answer:
        """Look up a name. Raises only DNSTemporaryError."""
        ...  # pragma: no cover


def lookup_all(resolver: Lookup, questions: Sequence[Question], deadline: Deadline) -> dict[Question, Answer]:
    """The answers to all questions: asked at once if the resolver can (net/resolver.py), otherwise one by one. Those
    not answered in time are left out.
    """
    at_once = getattr(resolver, "lookup_all", None)
    if at_once is not None:
        return at_once(questions, deadline)  # type: ignore[no-any-return]
    found = {}
    for question in dict.fromkeys(questions):
        with contextlib.suppress(DNSTemporaryError):
            found[question] = resolver.lookup(*question, deadline)
    return found


class Recorder:
    """A Lookup that records the earliest expiry of its answers: conclusions from these answers are valid until then."""

    def __init__(self, resolver: Lookup) -> None:
        self._resolver = resolver
        self.expires = math.inf

    def lookup(self, name: str, rdtype: RdType, deadline: Deadline) -> Answer:
        try:
            answer = self._resolver.lookup(name, rdtype, deadline)
        except DNSTemporaryError:
            self.expires = 0.0
            raise
        self.expires = min(self.expires, answer.expires)
        return answer

    def ask_ahead(self, name: str, rdtype: RdType, deadline: Deadline, then: Callable[[Answer], None]) -> None:
        """The resolver's ask_ahead(), if it has one. Only questions of lookup() are recorded."""
        ask = getattr(self._resolver, "ask_ahead", None)
        if ask is not None:
            ask(name, rdtype, deadline, then)


def query(name: str, rdtype: RdType) -> dns.message.Message:
    """The query message."""
    # Built from labels, not parsed from presentation format: a backslash in a name from mail stays a backslash.
    labels = [label.encode("ascii") for label in name.split(".")]
    return dns.message.make_query(dns.name.Name([*labels, b""]), rdtype, use_edns=0, payload=EDNS_PAYLOAD)


def explain(error: Exception) -> str:
    """A short description of an error."""
    if isinstance(error, TimeoutError | dns.exception.Timeout):
        return "time-out"
    return str(error) or type(error).__name__


def read(response: dns.message.Message, name: str, rdtype: RdType) -> tuple[Answer, float]:
    """The answer, and the seconds that it may be cached. Raises DNSException or EOFError if the response contradicts
    itself.
    """
    if not isinstance(response, dns.message.QueryMessage):
        raise EOFError("the response is not one to a query")
    chain = response.resolve_chaining()
    answer = _answer(name, rdtype, chain.answer or ())
    if answer is not None:
        return answer, min(chain.minimum_ttl, MAX_TTL)
    missing = Status.NXDOMAIN if response.rcode() == dns.rcode.NXDOMAIN else Status.NODATA
    return Answer(name, rdtype, missing), min(chain.minimum_ttl, MAX_NEGATIVE_TTL)


def _answer(name: str, rdtype: RdType, records: Iterable[dns.rdata.Rdata]) -> Answer | None:
    match rdtype:
        case "TXT":
            texts = tuple(b"".join(record.strings) for record in records)  # type: ignore[attr-defined]
            return Answer(name, rdtype, Status.FOUND, texts=texts) if texts else None
        case "A" | "AAAA":
            addresses = tuple(record.address for record in records)  # type: ignore[attr-defined]
            return Answer(name, rdtype, Status.FOUND, addresses=addresses) if addresses else None
        case "MX":
            hosts = sorted((record.preference, _host(record.exchange)) for record in records)  # type: ignore[attr-defined]
            return Answer(name, rdtype, Status.FOUND, exchanges=tuple(hosts)) if hosts else None
        case _:
            names = tuple(_host(record.target) for record in records)  # type: ignore[attr-defined]
            return Answer(name, rdtype, Status.FOUND, names=names) if names else None


def _host(name: dns.name.Name) -> str:
    """The host name as printable ASCII: other octets are escaped as in zone files."""
    return "" if name == dns.name.root else name.to_text(omit_final_dot=True)
