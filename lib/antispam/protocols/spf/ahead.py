"""Parallel look-ups for the terms of an SPF record; pyspf alone asks sequentially.

Only the time changes, not the result: the evaluation asks in its own order and counts as required by RFC 7208 section
4.6.4. It finds the answers in the resolver's cache, or under way.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from antispam.deadline import Deadline
from antispam.net.resolver import Answer, RdType

MOST = 20  # queries sent ahead per evaluation; a record may need ten terms, and the hosts of mx more
_MX_HOSTS = 10  # RFC 7208 section 4.6.4

_TERM = re.compile(r"[-+?~]?(a|mx|include|exists)(?::([^%/\s]+))?(?:/[0-9/]*)?", re.IGNORECASE)
_REDIRECT = re.compile(r"redirect=([^%/\s]+)", re.IGNORECASE)


@runtime_checkable
class AsksAhead(Protocol):
    """A resolver that can be queried without waiting."""

    def ask_ahead(self, name: str, rdtype: RdType, deadline: Deadline, then: Then) -> None:
        """Look up a name in parallel and pass the answer to `then`. Nothing happens without an answer or free capacity."""
        ...  # pragma: no cover


class Then(Protocol):
    def __call__(self, answer: Answer, /) -> None: ...  # pragma: no cover


class Ahead:
    """The look-ahead of one evaluation. `address` is the type of the client's address, A or AAAA. Thread-safe."""

    def __init__(self, resolver: AsksAhead, address: RdType, deadline: Deadline) -> None:
        self._resolver = resolver
        self._address = address
        self._deadline = deadline
        self._asked: set[tuple[str, RdType]] = set()

    def record(self, record: str, domain: str) -> None:
        """Request everything that this record of a domain needs, including the records it includes."""
        for name, rdtype in _wanted(record, domain, self._address):
            self._ask(name, rdtype)

    def _ask(self, name: str, rdtype: RdType) -> None:
        key = (name.lower(), rdtype)
        if key not in self._asked and len(self._asked) < MOST:
            self._asked.add(key)
            self._resolver.ask_ahead(name, rdtype, self._deadline, self._found)

    def _found(self, answer: Answer) -> None:
        for _, host in answer.exchanges[:_MX_HOSTS]:
            self._ask(host, self._address)
        records = [text for text in answer.texts if text[:7].lower() == b"v=spf1 "]
        if len(records) == 1 and records[0].isascii():
            self.record(records[0].decode("ascii"), answer.name)


def _wanted(record: str, domain: str, address: RdType) -> Iterator[tuple[str, RdType]]:
    """The queries for terms without macros, in the order of the terms."""
    for term in record.split()[1:]:
        if redirect := _REDIRECT.fullmatch(term):
            yield redirect[1], "TXT"
        elif match := _TERM.fullmatch(term):
            kind, name = match[1].lower(), match[2] or domain
            if kind == "include" and match[2]:
                yield name, "TXT"
            elif kind == "exists" and match[2]:
                yield name, "A"
            elif kind in ("a", "mx"):
                yield name, address if kind == "a" else "MX"
        elif term.lower().endswith("all"):
            return
