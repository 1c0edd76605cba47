"""Lists of addresses, domains and mailboxes in the DNS (RFC 5782): how they are asked, and what their answers mean.

The answer is an A record in 127.0.0.0/8. What its octets mean is for each list to say. Everything else is no answer: the
resolver of a hotel, which has an address for every name, must not put the whole world on a list.
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
"""The convention of Spamhaus, which others follow: who asks is not served (by way of a public resolver, too many questions, a
misspelt zone)."""

_NAME = re.compile(r"[A-Z][A-Z0-9_]{1,60}")
_NOT_SERVED = (
    BLOCKED,
    "127.0.0.1",
)  # RFC 5782 section 5 wants 127.0.0.1 unlisted; URIBL, SURBL and others say "blocked" by it
_GOOGLE = frozenset({"gmail.com", "googlemail.com"})


class Hash(enum.StrEnum):
    """In which form a list wants mailboxes."""

    SHA1 = "sha1"
    SHA256 = "sha256"
    MD5 = "md5"


@dataclasses.dataclass(frozen=True, slots=True)
class Code:
    """What an answer means.

    ranges  the lowest and the highest value of each octet: 127.0.0.4-7, 127.0.*.3; or, with `bit`, unused
    bit     a bit of the last octet: of several that are set, each means something; 0 if it is not told by bits
    test    the name of the test for the score
    points  what it is worth; less than 0 for a list of good ones
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
    """A code as an administrator writes it: `127.0.0.2 RCVD_IN_SBL 3.0`, `127.0.0.4-7 ...`, `127.0.*.3 ...`, `&8 ...` for a bit
    of the last octet. Raises ValueError with a sentence that says what would be right."""
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
    """What a list says of one subject: what it is listed for, nothing if it is not; or that we are not served."""

    codes: tuple[Code, ...] = ()
    blocked: bool = False


def read_answer(
    addresses: Iterable[str], codes: Iterable[Code], blocked: Iterable[tuple[tuple[int, int], ...]] = ()
) -> Listing:
    """What the A records mean. `blocked` are further answers by which this list says that it does not serve us."""
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
    """What stands in front of the zone for an address: octets or nibbles, backwards (RFC 5782 sections 2.1 and 2.4)."""
    if address.version == 4:
        return ".".join(reversed(str(address).split(".")))
    return ".".join(reversed(address.packed.hex()))


def domain_label(domain: str) -> str:
    """The same for a domain (RFC 5782 section 3); "" if it is none, or has one label only, so that it is nobody's."""
    name = ascii_domain(domain)
    return name if name is not None and "." in name else ""


def mailbox_label(mailbox: Mailbox, form: Hash) -> str:
    """The same for a mailbox, as MSBL's Email Blocklist has it: a hash of the address that all spellings of it have in common,
    which tells nobody who writes to whom. "" if it is none."""
    domain = domain_label(mailbox.domain)
    local = mailbox.local.lower().partition("+")[0]
    if domain in _GOOGLE:
        local, domain = local.replace(".", ""), "gmail.com"
    if not local or not domain:
        return ""
    return hashlib.new(form, f"{local}@{domain}".encode("utf-8", "replace"), usedforsecurity=False).hexdigest()
