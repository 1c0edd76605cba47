"""The sets of a chain in order, and every check that needs no key (RFC 8617 sections 4 and 5.2)."""

from __future__ import annotations

import dataclasses
import enum
import re
from collections.abc import Sequence

from antispam.protocols.dkim.canonical import HeaderField, relaxed_field, simple_field
from antispam.protocols.dkim.signature import (
    ALGORITHMS,
    HOSTNAME,
    MAX_FIELD,
    UnusableSignature,
    canonicalization,
    check_times,
    decoded_base64,
    read_tags,
    signing_domain,
    without_signature,
)

MAX_SETS = 50  # RFC 8617 section 4.2.1
RESULTS, MESSAGE_SIGNATURE, SEAL = (
    b"arc-authentication-results",
    b"arc-message-signature",
    b"arc-seal",
)
NAMES = (RESULTS, MESSAGE_SIGNATURE, SEAL)  # in the order in which a seal covers them
_INSTANCE = re.compile(rb"[ \t\r\n]*i[ \t\r\n]*=[ \t\r\n]*([0-9]{1,2})[ \t\r\n]*;")
_NUMBER = re.compile(rb"[0-9]{1,2}")
_DIGITS = re.compile(rb"[0-9]{1,12}")


class ArcResult(enum.StrEnum):
    """The state of a chain (section 4.4); TEMPERROR if a key look-up fails temporarily."""

    NONE = "none"
    PASS = "pass"
    FAIL = "fail"
    TEMPERROR = "temperror"


class Broken(Exception):
    """The chain is invalid. The text says why and is safe to print."""


@dataclasses.dataclass(frozen=True, slots=True)
class Hop:
    """An intermediate server that sealed the message.

    sealer   d= of its seal
    results  the value of its ARC-Authentication-Results without `i=`, unchanged
    """

    sealer: str
    results: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Chain:
    """The result of verifying the chain of a message.

    result       the state
    reason       in words, printable; "" for none and pass
    hops         oldest first; empty unless the sets are complete and in order
    instances    the highest instance; 0 if unreadable
    covers_from  the newest message signature covers every From field
    ended        an earlier server recorded that it is broken; it must not be sealed again
    """

    result: ArcResult
    reason: str = ""
    hops: tuple[Hop, ...] = ()
    instances: int = 0
    covers_from: bool = False
    ended: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Signed:
    """The common part of a message signature and a seal.

    own_field  the field itself in its canonical form with an empty b=
    """

    domain: str
    selector: str
    key_type: str
    signature: bytes
    own_field: bytes

    @property
    def key_name(self) -> str:
        return f"{self.selector}._domainkey.{self.domain}"


@dataclasses.dataclass(frozen=True, slots=True)
class MessageSignature(Signed):
    """An ARC-Message-Signature: like a DKIM-Signature, except for i= and the missing v=."""

    body_hash: bytes
    signed_names: tuple[bytes, ...]
    relaxed_header: bool
    relaxed_body: bool
    body_limit: int | None


@dataclasses.dataclass(frozen=True, slots=True)
class Link:
    """One set, with its fields as received."""

    instance: int
    results: HeaderField
    message_signature: HeaderField
    seal: HeaderField
    seal_tags: dict[bytes, bytes]

    @property
    def cv(self) -> bytes:
        return self.seal_tags.get(b"cv", b"")

    def canonical(self) -> list[bytes]:
        """The three fields in the form covered by a later seal."""
        return [relaxed_field(*self.results), relaxed_field(*self.message_signature), relaxed_field(*self.seal)]


def fields_of_chain(headers: Sequence[HeaderField]) -> list[HeaderField]:
    """All ARC fields of a message."""
    return [field for field in headers if field[0].strip().lower() in NAMES]


def links(found: Sequence[HeaderField]) -> list[Link]:
    """The sets, oldest first. Raises Broken if one is incomplete, duplicate or missing."""
    if len(found) > len(NAMES) * MAX_SETS:
        raise Broken(f"more than {MAX_SETS} sets")
    sets: dict[int, dict[bytes, HeaderField]] = {}
    for field in found:
        name = field[0].strip().lower()
        one = sets.setdefault(_instance(name, field[1]), {})
        if name in one:
            raise Broken("a field of a set is there twice")
        one[name] = field
    if any(len(one) != len(NAMES) for one in sets.values()):
        raise Broken("a set is not complete")
    if sorted(sets) != list(range(1, len(sets) + 1)):
        raise Broken("a set is missing")
    return [
        Link(number, one[RESULTS], one[MESSAGE_SIGNATURE], one[SEAL], _tags(one[SEAL][1]))
        for number, one in sorted(sets.items())
    ]


def highest(found: Sequence[HeaderField]) -> int:
    """The highest instance in any field; 0 if one is unreadable."""
    try:
        return max((_instance(name.strip().lower(), value) for name, value in found), default=0)
    except Broken:
        return 0


def _instance(name: bytes, value: bytes) -> int:
    if len(value) > MAX_FIELD:
        raise Broken("a field is too long")
    if name == RESULTS:
        match = _INSTANCE.match(value)
        digits = match[1] if match else b""
    else:
        digits = _tags(value).get(b"i", b"")
    if not _NUMBER.fullmatch(digits) or not 1 <= int(digits) <= MAX_SETS:
        raise Broken(f"a field has no instance from 1 to {MAX_SETS}")
    return int(digits)


def results_of(link: Link) -> bytes:
    """The text after `i=` in its ARC-Authentication-Results."""
    match = _INSTANCE.match(link.results[1])
    return link.results[1][match.end() :] if match else b""


def _tags(value: bytes) -> dict[bytes, bytes]:
    try:
        return read_tags(value)
    except UnusableSignature as trouble:
        raise Broken(trouble.reason) from None


def read_seal(link: Link) -> Signed:
    """Raises Broken."""
    tags = link.seal_tags
    if b"h" in tags:
        raise Broken("a seal has h= (RFC 8617 section 4.1.3)")
    if b"t" in tags and not _DIGITS.fullmatch(tags[b"t"]):
        raise Broken("a seal has a t= that is no number")
    name, value = link.seal
    return Signed(*_signer(tags), relaxed_field(name, without_signature(value))[:-2])


def read_message_signature(link: Link, now: int, skew: int) -> MessageSignature:
    """Raises Broken."""
    tags = _tags(link.message_signature[1])
    if b"bh" not in tags or b"h" not in tags:
        raise Broken("a message signature lacks bh= or h=")
    names = tuple(name.strip().lower() for name in tags[b"h"].split(b":"))
    if SEAL in names:
        raise Broken("a message signature covers a seal (RFC 8617 section 4.1.2)")
    try:
        check_times(tags, now, skew)
        relaxed_header, relaxed_body = canonicalization(tags.get(b"c", b"relaxed/relaxed"))
        limit = int(tags[b"l"]) if b"l" in tags and _DIGITS.fullmatch(tags[b"l"]) else None
        body_hash = decoded_base64(tags[b"bh"])
    except UnusableSignature as trouble:
        raise Broken(trouble.reason) from None
    name, value = link.message_signature
    own = (relaxed_field if relaxed_header else simple_field)(name, without_signature(value))
    return MessageSignature(
        *_signer(tags),
        own[:-2],
        body_hash=body_hash,
        signed_names=names,
        relaxed_header=relaxed_header,
        relaxed_body=relaxed_body,
        body_limit=limit,
    )


def _signer(tags: dict[bytes, bytes]) -> tuple[str, str, str, bytes]:
    """Domain, selector, type of the key, and signature."""
    if any(tag not in tags for tag in (b"a", b"b", b"d", b"s")):
        raise Broken("a signature lacks a=, b=, d= or s=")
    if tags[b"a"] not in ALGORITHMS:
        raise Broken("unknown signature algorithm")
    domain = signing_domain(tags[b"d"])
    if not domain or not HOSTNAME.fullmatch(tags[b"s"]) or len(tags[b"s"]) + len(domain) > 230:
        raise Broken("malformed domain or selector")
    try:
        return domain, tags[b"s"].decode("ascii").lower(), ALGORITHMS[tags[b"a"]], decoded_base64(tags[b"b"])
    except UnusableSignature as trouble:
        raise Broken(trouble.reason) from None
