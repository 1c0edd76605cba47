"""Signs in the trace of a message: its Received fields (RFC 5321 section 4.4)."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from antispam.protocols.signs.lists import free_mailers, owner
from antispam.protocols.signs.sign import Sign, shown

Fields = Mapping[bytes, Sequence[bytes]]
"""The values of each field, as received, by its name in lower case."""

_MOST_HOPS = 30
_LONGEST = 1500  # octets of a field that are read
_SENDER = re.compile(r"\s*from\s+(\S{1,200})", re.IGNORECASE)
_KNOWN = re.compile(r"\s*\(([^()]{0,200})")
# What is searched in a field in small letters, after the words that a plain search has found. Python's expressions have no
# fast search for a word in any case: they look at each character.
_HOST = re.compile(r"[a-z0-9.-]{3,200}")
_SUBMISSIONS = ("esmtpa", "esmtpsa", "smtpa", "smtpsa", "http", "mapi", "local")
RETURNING = frozenset({b"list-id", b"resent-from", b"x-loop"})  # fields of mail that may return to an earlier host
# Providers whose users can send only through the provider's own hosts, and the names of these hosts.
_CLOSED = {
    "hotmail.com": ("hotmail", "outlook.com", "msn.com"),
    "msn.com": ("hotmail", "outlook.com", "msn.com"),
    "outlook.com": ("hotmail", "outlook.com"),
    "live.com": ("hotmail", "outlook.com", "live.com"),
    "yahoo.com": ("yahoo",),
    "aol.com": ("aol.com", "yahoo", "netscape"),
    "gmail.com": ("google", "gmail"),
    "excite.com": ("excite",),
    "lycos.com": ("lycos", "mailcity"),
    "mail.com": ("mail.com", "outblaze", "us4.net", "gmx"),
    "icloud.com": ("icloud", "apple", "me.com"),
}


class Hop(NamedTuple):
    """The content of a Received field: the name given by the sender, the receiver's knowledge of it, the receiver, and
    whether a user submitted the message there.
    """

    sender: str
    known: str
    by: str
    submitted: bool


class Trace:
    """The trace of a header, parsed on first use.

    texts  the Received fields, unfolded, newest first
    hops   those that name both sides
    """

    def __init__(self, fields: Fields) -> None:
        found = fields.get(b"received", ())[:_MOST_HOPS]
        self.texts = [" ".join(value[:_LONGEST].decode("utf-8", "replace").split()) for value in found]

    @functools.cached_property
    def hops(self) -> list[Hop]:
        return [hop for hop in map(_hop, self.texts) if hop is not None]


def first(fields: Fields, name: bytes) -> str:
    """The value of the first field of a name, unfolded and truncated; "" without one."""
    found = fields.get(name)
    return " ".join(found[0][:2000].decode("utf-8", "replace").split()) if found else ""


def _hop(text: str) -> Hop | None:
    sender = _SENDER.match(text)
    if sender is None:
        return None
    small = text.lower()
    by = _taker(small)
    if not by:
        return None
    known = _KNOWN.match(text, sender.end())
    return Hop(sender[1].lower().strip("[]"), known[1].lower() if known else "", by.rstrip("."), _is_submitted(small))


def _taker(small: str) -> str:
    """The host in "by HOST"; "" if there is none. The text must have single blanks and be in lower case."""
    at = small.find("by ")
    while at >= 0:
        if not at or not _is_word(small[at - 1]):
            found = _HOST.match(small, at + 3)
            if found:
                return found[0]
        at = small.find("by ", at + 1)
    return ""


def _is_submitted(small: str) -> bool:
    """Whether it says "with ESMTPA", "with HTTP" and the like, "authenticated" or "ASMTP"."""
    if "authenticated" in small:
        return True
    at = small.find("with ")
    while at >= 0:
        if small.startswith(_SUBMISSIONS, at + 5) and (not at or not _is_word(small[at - 1])):
            return True
        at = small.find("with ", at + 1)
    at = small.find("asmtp")
    while at >= 0:
        if not at or not _is_word(small[at - 1]):
            return True
        at = small.find("asmtp", at + 1)
    return False


def _is_word(char: str) -> bool:
    return char.isalnum() or char == "_"


def related(first: str, second: str) -> bool:
    """Whether two hosts belong to the same organisation."""
    return bool(first) and owner(first) == owner(second)


def signs(fields: Fields, trace: Trace, author: str, ours: frozenset[str]) -> Iterator[Sign]:
    """The signs of the trace in these fields. `author` is the domain in From; "" if there is not exactly one. `ours`
    are the names of our mail servers, which may be in the first field, the one that our MTA will add.
    """
    found = trace.hops
    if RETURNING.isdisjoint(fields):
        again = next((hop for hop in found[1:] if hop.by in ours), None)
        if again is not None:
            evidence = f"it says that {shown(again.by)} had it before, from {shown(again.sender)}"
            yield Sign("RECEIVED_FORGED_US", evidence)
    free = free_mailers()
    for hop in found:
        if hop.sender in free and hop.known and owner(hop.sender) not in hop.known:
            evidence = f"a host called itself {shown(hop.sender)} on the way, and was {shown(hop.known)}"
            yield Sign("RCVD_FAKE_FREEMAIL", evidence)
            break
    if found and found[-1].by not in ours and found[-1].known.startswith("unknown"):  # RDNS_NONE covers our own client
        yield Sign("ORIGIN_NAMELESS", f"the host that sent it first has no name: {shown(found[-1].known)}")
    if author in _CLOSED and found:
        way = " ".join(trace.texts).lower()
        if not any(name in way for name in _CLOSED[author]):
            evidence = f"it is from {shown(author)}, and no host of that provider stands on its way"
            yield Sign("FORGED_FREEMAIL_RCVD", evidence)
