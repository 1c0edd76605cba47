"""DNS lists of addresses, domains and mailboxes (RFC 5782): their queries, and the meaning of their answers.

An answer is an A record in 127.0.0.0/8, and each list defines the meaning of its octets. Anything else is not an
answer: a hotel's resolver, which returns an address for every name, must not make everybody listed.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import ipaddress
import re
from collections.abc import Iterable

from antispam.net.addresses import IPAddress, Mailbox, ascii_domain

BLOCKED = "127.255.255.*"
"""The convention of Spamhaus and others for refused queries (through a public resolver, too many queries, a misspelt
zone).
"""

_NAME = re.compile(r"[A-Z][A-Z0-9_]{1,60}")
_NOT_SERVED = (
    BLOCKED,
    "127.0.0.1",
)  # RFC 5782 section 5 requires 127.0.0.1 to be unlisted; URIBL, SURBL and others use it for "blocked"
_GOOGLE = frozenset({"gmail.com", "googlemail.com"})


class Hash(enum.StrEnum):
    """The form in which a list expects mailboxes."""

    SHA1 = "sha1"
    SHA256 = "sha256"
    MD5 = "md5"


@dataclasses.dataclass(frozen=True, slots=True)
class Code:
    """The meaning of an answer.

    ranges  the lowest and the highest value of each octet: 127.0.0.4-7, 127.0.*.3; unused with `bit`
    bit     a bit of the last octet, in which several may be set; 0 if the list does not use bits
    test    the test's name in the score
    points  its points; negative for a list of good senders
    """

    test: str
    points: float
    ranges: tuple[tuple[int, int], ...] = ()
    bit: int = 0

    def fits(self, octets: tuple[int, ...]) -> bool:
        if self.bit:
            return bool(octets[3] & self.bit)
        return all(low <= octet <= high for (low, high), octet in zip(self.ranges, octets, strict=True))

    def __str__(self) -> str:
        answer = f"&{self.bit}" if self.bit else ".".join(map(_shown, self.ranges))
        return f"{answer} {self.test} {self.points:g}"


def _shown(octet: tuple[int, int]) -> str:
    low, high = octet
    return "*" if octet == (0, 255) else str(low) if low == high else f"{low}-{high}"


def parse_code(text: str) -> Code:
    """Parse a code as written by an administrator: `127.0.0.2 RCVD_IN_SBL 3.0`, `127.0.0.4-7 ...`, `127.0.*.3 ...`, `&8
    ...` for a bit of the last octet. Raises ValueError with a sentence that says what is expected.
    """
    words = text.split()
    if len(words) != 3:
        raise ValueError(f"{text!r}: expected ANSWER TEST POINTS, such as 127.0.0.2 RCVD_IN_EXAMPLE 2.0")
    answer, test, points = words
    if not _NAME.fullmatch(test):
        raise ValueError(f"{test!r} is no name of a test: expected capitals, digits and _")
    try:
        worth = float(points)
    except ValueError:
        raise ValueError(f"{points!r} is no number of points") from None
    if not -100 <= worth <= 100:
        raise ValueError(f"{points}: points are between -100 and 100")
    if answer.startswith("&"):
        bit = answer[1:]
        if not bit.isascii() or not bit.isdecimal() or int(bit) not in (1 << place for place in range(8)):
            raise ValueError(f"{answer}: expected a bit of the last octet: &1, &2, &4 ... &128")
        return Code(test, worth, bit=int(bit))
    return Code(test, worth, parse_answer(answer))


def parse_answer(text: str) -> tuple[tuple[int, int], ...]:
    """The ranges of `127.0.0.2`, `127.0.0.4-7`, `127.0.*.3`. Raises ValueError."""
    octets = [_range(part) for part in text.split(".")]
    if len(octets) != 4 or octets[0] != (127, 127):
        raise ValueError(f"{text}: expected an answer such as 127.0.0.2, 127.0.0.4-7 or 127.0.*.3")
    return tuple(octets)


def _range(text: str) -> tuple[int, int]:
    if text == "*":
        return 0, 255
    low, dash, high = text.partition("-")
    ends = (low, high if dash else low)
    if not all(end.isascii() and end.isdecimal() and len(end) <= 3 and int(end) <= 255 for end in ends):
        raise ValueError(f"{text!r} is no octet of an address")
    return int(ends[0]), int(ends[1])


@dataclasses.dataclass(frozen=True, slots=True)
class Listing:
    """The answer of a list for one subject: the codes it is listed with, none if it is not listed; or that the query
    was refused.
    """

    codes: tuple[Code, ...] = ()
    blocked: bool = False


def read_answer(
    addresses: Iterable[str], codes: Iterable[Code], blocked: Iterable[tuple[tuple[int, int], ...]] = ()
) -> Listing:
    """The meaning of the A records. `blocked` are further answers by which this list refuses our queries."""
    answers = [octets for octets in map(_octets, addresses) if octets is not None]
    refusals = (*map(parse_answer, _NOT_SERVED), *blocked)
    for octets in answers:
        if any(all(low <= octet <= high for (low, high), octet in zip(one, octets, strict=True)) for one in refusals):
            return Listing(blocked=True)
    met = (code for octets in answers for code in codes if code.fits(octets))
    return Listing(tuple(dict.fromkeys(met)))


def _octets(address: str) -> tuple[int, ...] | None:
    try:
        octets = tuple(ipaddress.IPv4Address(address).packed)
    except ValueError:
        return None
    return octets if octets[0] == 127 else None


def address_label(address: IPAddress) -> str:
    """The labels before the zone for an address: octets or nibbles, reversed (RFC 5782 sections 2.1 and 2.4)."""
    if address.version == 4:
        return ".".join(reversed(str(address).split(".")))
    return ".".join(reversed(address.packed.hex()))


def domain_label(domain: str) -> str:
    """The labels for a domain (RFC 5782 section 3); "" if it is invalid or has only one label."""
    name = ascii_domain(domain)
    return name if name is not None and "." in name else ""


def mailbox_label(mailbox: Mailbox, form: Hash) -> str:
    """The label for a mailbox, as in MSBL's Email Blocklist: a hash of the address, equal for all its spellings, which
    reveals to nobody who writes to whom. "" if it is invalid.
    """
    domain = domain_label(mailbox.domain)
    local = mailbox.local.lower().partition("+")[0]
    if domain in _GOOGLE:
        local, domain = local.replace(".", ""), "gmail.com"
    if not local or not domain:
        return ""
    return hashlib.new(form, f"{local}@{domain}".encode("utf-8", "replace"), usedforsecurity=False).hexdigest()
