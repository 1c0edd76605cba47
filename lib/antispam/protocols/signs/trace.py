"""Signs in the trace of a message: its Received fields (RFC 5321 section 4.4)."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from antispam.protocols.signs.lists import free_mailers, owner
from antispam.protocols.signs.sign import Sign, shown

Fields = Mapping[bytes, Sequence[bytes]]
"""The values of each field, by its name in lower case, as they came."""

_MOST_HOPS = 30
_LONGEST = 1500  # octets of a field that are read
_SENDER = re.compile(r"\s*from\s+(\S{1,200})", re.IGNORECASE)
_KNOWN = re.compile(r"\s*\(([^()]{0,200})")
_BY = re.compile(r"\bby\s+([A-Za-z0-9.-]{3,200})", re.IGNORECASE)
# "with ESMTPA", "authenticated", "ASMTP", written so that the search for it skips what begins with neither letter.
_SUBMITTED = re.compile(r"[wWaA](?i:(?<=\bw)ith\s+(?:E?SMTPS?A|HTTPS?|MAPI|local)|(?<=a)uthenticated|(?<=\ba)SMTP)")
_RETURNING = frozenset({b"list-id", b"resent-from", b"x-loop"})  # fields of mail that may come back to where it was
# Providers whose users can't send otherwise than through the provider's own hosts, and how these are called.
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
    """What a Received field says: the name that the sender gave, what the receiver knew of it, who took it, and whether a user
    submitted it there."""

    sender: str
    known: str
    by: str
    submitted: bool


def first(fields: Fields, name: bytes) -> str:
    """The value of the first field of a name, unfolded and cut; "" without one."""
    found = fields.get(name)
    return " ".join(found[0][:2000].decode("utf-8", "replace").split()) if found else ""


def texts(fields: Fields) -> list[str]:
    """The Received fields, unfolded, the newest first."""
    found = fields.get(b"received", ())[:_MOST_HOPS]
    return [" ".join(value[:_LONGEST].decode("utf-8", "replace").split()) for value in found]


def hops(fields: Fields) -> list[Hop]:
    """Those hops that name both sides, the newest first."""
    return list(_hops(tuple(texts(fields))))


@functools.lru_cache(maxsize=8)
def _hops(written: tuple[str, ...]) -> tuple[Hop, ...]:
    """Kept for the other signs of the same message."""
    found = []
    for text in written:
        sender, by = _SENDER.match(text), _BY.search(text)
        if sender and by:
            known = _KNOWN.match(text, sender.end())
            hop = Hop(
                sender[1].lower().strip("[]"),
                known[1].lower() if known else "",
                by[1].lower().rstrip("."),
                bool(_SUBMITTED.search(text)),
            )
            found.append(hop)
    return tuple(found)


def related(first: str, second: str) -> bool:
    """Whether two hosts belong to one organisation."""
    return bool(first) and owner(first) == owner(second)


def signs(fields: Fields, author: str, ours: frozenset[str]) -> Iterator[Sign]:
    """The signs of a trace. `author` is the domain in From, "" if there is not one; `ours` are the names of our mail
    servers, which the first field, the one that our MTA will write, may have."""
    found = hops(fields)
    if not _RETURNING & set(fields):
        again = next((hop for hop in found[1:] if hop.by in ours), None)
        if again is not None:
            evidence = f"it says that {shown(again.by)} had it before, from {shown(again.sender)}"
            yield Sign("RECEIVED_FORGED_US", evidence)
    for hop in found:
        if hop.sender in free_mailers() and hop.known and owner(hop.sender) not in hop.known:
            evidence = f"a host called itself {shown(hop.sender)} on the way, and was {shown(hop.known)}"
            yield Sign("RCVD_FAKE_FREEMAIL", evidence)
            break
    if found and found[-1].by not in ours and found[-1].known.startswith("unknown"):  # of our client RDNS_NONE tells
        yield Sign("ORIGIN_NAMELESS", f"the host that sent it first has no name: {shown(found[-1].known)}")
    if author in _CLOSED and found:
        trace = " ".join(texts(fields)).lower()
        if not any(name in trace for name in _CLOSED[author]):
            evidence = f"it is from {shown(author)}, and no host of that provider stands on its way"
            yield Sign("FORGED_FREEMAIL_RCVD", evidence)
