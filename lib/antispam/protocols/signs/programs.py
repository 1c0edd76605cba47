"""Signs of the program that wrote a message: its claimed name, and whether it would have written such a message."""

from __future__ import annotations

import enum
import functools
import re
from collections.abc import Iterator
from typing import NamedTuple

from antispam.protocols.signs.sign import Sign, shown
from antispam.protocols.signs.trace import Fields, Trace, first, related

_IDENTIFIER = re.compile(r"<?([^<>@]{0,300})@([^<>@]{0,200})>?")
_DOLLARS = re.compile(r"[0-9a-f]{4,14}\$[0-9a-f]{7,9}\$[0-9a-f]{7,9}", re.IGNORECASE)
# The third to sixth octets begin with the high half of a FILETIME: 01bf was 2000, 01ee will be 2043.
_OUTLOOK_TIME = re.compile(r"[0-9a-f]{4}01[b-e][0-9a-f]{5}\$", re.IGNORECASE)
_OUTLOOK_EXPRESS = re.compile(r"Microsoft Outlook Express", re.IGNORECASE)
_OLD_OUTLOOK = re.compile(r"Microsoft Outlook(?:,| IMO| CWS| 8|[ ,]+Build (?:9|10)\.)", re.IGNORECASE)
_EUDORA = re.compile(r"QUALCOMM|Eudora", re.IGNORECASE)
_EUDORA_ID = re.compile(r"[\d.]{5,}\.\d{10,}\.[0-9a-f]{6,}|v?[0-9a-z]{10,}\[?", re.IGNORECASE)
_BULK = re.compile(
    r"(?:mass|bulk|group|advanced|prospect|stealth|desktop)[- ]?(?:mail|email|mailer|sender|server|bomber)|achi-kochi"
    r"|avalanche|aureate|calypso|dm mailer|emagic|enterprise mailer|floodgate|gammadyne|geomailer|internet marketing"
    r"|jixing|ktmail|lmailer|maillist king|masterlist|mmailer|oeminfo|postmaster general|quick ?shot|ready aim fire"
    r"|v?rs-mail|worldmerge|zanziplus|dsmailer|leaf php|king ?sender|atomic mail|turbo-?mailer|sendblaster|mach ?10",
    re.IGNORECASE,
)
_GIBBERISH = re.compile(
    r"^[A-Za-z0-9]{16,}$|^(?=[A-Za-z]*\d)(?=[a-z0-9]*[A-Z])[A-Za-z0-9]{9,}$|[$%]rnd|%[A-Z]{3,}|\{%|\[\[|\{rand"
)
MAILERS = (b"x-mailer", b"user-agent")
OF_LISTS = frozenset({b"list-id", b"sender", b"mailing-list", b"x-mailing-list", b"resent-message-id"})


def signs(fields: Fields, trace: Trace, author: str) -> Iterator[Sign]:
    """The signs of the program and of the Message-ID. `author` is the domain in From; "" if there is not exactly one."""
    identifier = first(fields, b"message-id")
    found = _IDENTIFIER.fullmatch(identifier)
    left, domain = (found[1], found[2].lower()) if found else ("", "")
    if found:
        yield from _of_identifier(identifier, left, domain, trace, author)
    mailer = next((text for name in MAILERS if (text := first(fields, name))), "")
    if mailer:
        yield from _of_mailer(mailer, left, fields)


def _of_identifier(identifier: str, left: str, domain: str, trace: Trace, author: str) -> Iterator[Sign]:
    if "." not in domain and domain != "localhost":
        yield Sign("MSGID_NO_DOMAIN", f"the Message-ID has no domain: {shown(identifier)}")
    elif domain.replace(".", "").isdigit() or domain.startswith("["):
        yield Sign("MSGID_NUMERIC", f"the Message-ID has an address for a domain: {shown(identifier)}")
    if _DOLLARS.fullmatch(left) and not _OUTLOOK_TIME.match(left):
        evidence = f"the Message-ID has Outlook's form with an impossible time: {shown(identifier)}"
        yield Sign("MSGID_OUTLOOK_INVALID", evidence)
    if _by_receiver(domain, trace, author):
        yield Sign("MSGID_FROM_MTA", f"the sender gave it no Message-ID, and {shown(domain)} had to")


def _by_receiver(domain: str, trace: Trace, author: str) -> bool:
    """Whether the Message-ID was written by the organisation that received the message from another one."""
    if related(author, domain):
        return False
    inside = [hop for hop in trace.hops if related(hop.by, domain)]
    if not inside:
        return False
    oldest = inside[-1]
    return not oldest.submitted and "." in oldest.sender and not related(oldest.sender, domain)


def _of_mailer(mailer: str, left: str, fields: Fields) -> Iterator[Sign]:
    program = _program_of(mailer)
    named = shown(mailer)
    if program.kind is _Kind.OUTLOOK_EXPRESS:
        if b"x-mimeole" not in fields:
            yield Sign("FORGED_MUA", f"it does not look as {named} writes: there is no X-MimeOLE")
        elif left and not _DOLLARS.fullmatch(left) and OF_LISTS.isdisjoint(fields):
            yield Sign("FORGED_MUA_MSGID", f"the Message-ID is none of {named}: {shown(left)}")
    elif program.kind is _Kind.OLD_OUTLOOK:
        if b"x-mimeole" not in fields:
            yield Sign("FORGED_MUA", f"it does not look as {named} writes: there is no X-MimeOLE")
    elif program.kind is _Kind.EUDORA and left and not _EUDORA_ID.match(left):
        yield Sign("FORGED_MUA", f"the Message-ID is none of {named}: {shown(left)}")
    if program.bulk:
        yield Sign("BULK_PROGRAM", f"a program for mass mailings wrote it: {named}")
    elif program.gibberish:
        yield Sign("MAILER_GIBBERISH", f"the name of its program is none: {named}")


class _Kind(enum.Enum):
    """Programs whose output is known."""

    OUTLOOK_EXPRESS = enum.auto()
    OLD_OUTLOOK = enum.auto()
    EUDORA = enum.auto()


class _Program(NamedTuple):
    """The meaning of a program's name: its kind, whether it sends mass mailings, and whether the name is invalid."""

    kind: _Kind | None
    bulk: bool
    gibberish: bool


@functools.lru_cache(maxsize=2048)  # the same programs come again and again, and to look for their names takes long
def _program_of(mailer: str) -> _Program:
    kind = None
    if _OUTLOOK_EXPRESS.search(mailer) and "Mac" not in mailer:
        kind = _Kind.OUTLOOK_EXPRESS
    elif _OLD_OUTLOOK.search(mailer):
        kind = _Kind.OLD_OUTLOOK
    elif _EUDORA.search(mailer):
        kind = _Kind.EUDORA
    return _Program(kind, bool(_BULK.search(mailer)), bool(_GIBBERISH.search(mailer)))
