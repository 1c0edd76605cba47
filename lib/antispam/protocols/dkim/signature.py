"""Parser of DKIM-Signature fields (RFC 6376 section 3.5): from a tag list to a typed, checked value or an error."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import re

from dkim.util import InvalidTagValueList, parse_tag_value

from antispam.net.addresses import ascii_domain
from antispam.protocols.dkim.canonical import relaxed_field, simple_field
from antispam.protocols.dkim.records import DkimResult

MAX_FIELD = 16384
_BLANKS = re.compile(rb"[ \t\r\n]+")
HOSTNAME = re.compile(rb"(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}(?<!-))*", re.IGNORECASE)
_NUMBER = re.compile(rb"[0-9]{1,76}")
_REQUIRED = (b"v", b"a", b"b", b"bh", b"d", b"h", b"s")
_CANONICALIZATIONS = {b"simple": False, b"relaxed": True}
ALGORITHMS = {b"rsa-sha256": "rsa", b"ed25519-sha256": "ed25519"}


class UnusableSignature(Exception):
    """The field cannot be verified. `result` is its result, and the text says why and is safe to print."""

    def __init__(self, result: DkimResult, reason: str, *, expired: bool = False) -> None:
        super().__init__(reason)
        self.result = result
        self.reason = reason
        self.expired = expired


@dataclasses.dataclass(frozen=True, slots=True)
class Labels:
    """The identifying parts of a signature, parsed leniently so that a broken one can be reported, too."""

    domain: str = ""
    selector: str = ""
    algorithm: str = ""
    identity: str = ""
    prefix: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Signature:
    """A DKIM-Signature field that can be verified.

    key_type      "rsa" or "ed25519"
    signed_names  h=, lower case
    body_limit    l= in octets; None if absent
    own_field     the canonical form of the field with an empty b=, as hashed
    """

    domain: str
    selector: str
    key_type: str
    signature: bytes
    body_hash: bytes
    signed_names: tuple[bytes, ...]
    relaxed_header: bool
    relaxed_body: bool
    body_limit: int | None
    identity_domain: str
    own_field: bytes

    @property
    def key_name(self) -> str:
        """The DNS name of the public key (RFC 6376 section 3.6.2.1)."""
        return f"{self.selector}._domainkey.{self.domain}"


def read_tags(value: bytes) -> dict[bytes, bytes]:
    """The tag list of a field. Raises UnusableSignature (neutral: RFC 8601 says so of syntax errors)."""
    if len(value) > MAX_FIELD:
        raise UnusableSignature(DkimResult.NEUTRAL, "signature field too long")
    try:
        return parse_tag_value(value)  # type: ignore[no-any-return]
    except InvalidTagValueList:
        raise UnusableSignature(DkimResult.NEUTRAL, "signature syntax error") from None


def labels(tags: dict[bytes, bytes]) -> Labels:
    """The identifying parts of the field; parts that are not printable ASCII stay empty."""
    domain = signing_domain(tags.get(b"d", b""))
    return Labels(
        domain=domain,
        selector=_printable(tags.get(b"s", b"")) if HOSTNAME.fullmatch(tags.get(b"s", b"")) else "",
        algorithm=_printable(tags.get(b"a", b""), 32),
        identity=_printable(_without_blanks(tags.get(b"i", b""))),
        prefix=_printable(_without_blanks(tags.get(b"b", b""))[:8]),
    )


def parse_signature(name: bytes, value: bytes, tags: dict[bytes, bytes], now: int, skew: int) -> Signature:
    """Check the `tags` of a field (RFC 6376 section 6.1.1) at the time `now` (seconds since the epoch; clocks may
    differ by `skew`).

    Raises UnusableSignature.
    """
    _check_required(tags)
    algorithm = tags[b"a"].lower()
    if algorithm == b"rsa-sha1":
        raise UnusableSignature(DkimResult.PERMERROR, "rsa-sha1 is no longer accepted (RFC 8301)")
    if algorithm not in ALGORITHMS:
        raise UnusableSignature(DkimResult.NEUTRAL, "unknown signature algorithm")
    domain = signing_domain(tags[b"d"])
    if not domain or not HOSTNAME.fullmatch(tags[b"s"]) or len(tags[b"s"]) + len(domain) > 230:
        raise UnusableSignature(DkimResult.NEUTRAL, "malformed domain or selector")
    names = tuple(name.strip().lower() for name in tags[b"h"].split(b":"))
    if b"from" not in names:
        raise UnusableSignature(DkimResult.PERMERROR, "From field not signed")
    check_times(tags, now, skew)
    relaxed_header, relaxed_body = canonicalization(tags.get(b"c", b"simple/simple"))
    return Signature(
        domain=domain,
        selector=tags[b"s"].decode("ascii").lower(),
        key_type=ALGORITHMS[algorithm],
        signature=decoded_base64(tags[b"b"]),
        body_hash=decoded_base64(tags[b"bh"]),
        signed_names=names,
        relaxed_header=relaxed_header,
        relaxed_body=relaxed_body,
        body_limit=number(tags[b"l"]) if b"l" in tags else None,
        identity_domain=_identity_domain(tags, domain),
        own_field=(relaxed_field if relaxed_header else simple_field)(name, without_signature(value))[:-2],
    )


def without_signature(value: bytes) -> bytes:
    """The field's value without the content of b= and the blanks around it (RFC 6376 section 3.7)."""
    specs = value.split(b";")
    for position, spec in enumerate(specs):
        tag, equals, _ = spec.partition(b"=")
        if equals and tag.strip() == b"b":
            specs[position] = tag + equals
            break
    return b";".join(specs)


def _check_required(tags: dict[bytes, bytes]) -> None:
    for tag in _REQUIRED:
        if tag not in tags:
            raise UnusableSignature(DkimResult.NEUTRAL, f"signature lacks {tag.decode()}=")
    if tags[b"v"] != b"1":
        raise UnusableSignature(DkimResult.NEUTRAL, "unknown signature version")
    methods = {method.strip().lower() for method in tags.get(b"q", b"dns/txt").split(b":")}
    if b"dns/txt" not in methods:
        raise UnusableSignature(DkimResult.NEUTRAL, "unknown key query method")


def check_times(tags: dict[bytes, bytes], now: int, skew: int) -> None:
    signed_at = number(tags[b"t"]) if b"t" in tags else None
    if signed_at is not None and signed_at > now + skew:
        raise UnusableSignature(DkimResult.PERMERROR, "signature time is in the future")
    if b"x" not in tags:
        return
    expires = number(tags[b"x"])
    if signed_at is not None and expires < signed_at:
        raise UnusableSignature(DkimResult.PERMERROR, "signature expires before it was made")
    if expires < now - skew:
        raise UnusableSignature(DkimResult.PERMERROR, "signature expired", expired=True)


def canonicalization(c: bytes) -> tuple[bool, bool]:
    header, _, body = c.lower().partition(b"/")
    try:
        return _CANONICALIZATIONS[header.strip()], _CANONICALIZATIONS[body.strip() or b"simple"]
    except KeyError:
        raise UnusableSignature(DkimResult.NEUTRAL, "unknown canonicalization") from None


def _identity_domain(tags: dict[bytes, bytes], domain: str) -> str:
    """The domain of i=, which must equal that of d= or be below it (RFC 6376 section 3.5)."""
    if b"i" not in tags:
        return domain
    found = signing_domain(_without_blanks(tags[b"i"]).rpartition(b"@")[2])
    if found != domain and not found.endswith("." + domain):
        raise UnusableSignature(DkimResult.PERMERROR, "i= is outside of d=")
    return found


def signing_domain(raw: bytes) -> str:
    """A domain name in lower-case A-labels; "" if it is invalid. U-labels (RFC 8616) are converted."""
    if not raw.isascii():
        name = ascii_domain(raw[:1000].decode("utf-8", "surrogateescape"))
        raw = name.encode("ascii") if name else b""
    return raw.decode("ascii").lower() if len(raw) <= 253 and HOSTNAME.fullmatch(raw) else ""


def number(digits: bytes) -> int:
    if not _NUMBER.fullmatch(digits):
        raise UnusableSignature(DkimResult.NEUTRAL, "signature syntax error: not a number")
    return int(digits)


def decoded_base64(text: bytes) -> bytes:
    try:
        return base64.b64decode(_without_blanks(text), validate=True)
    except binascii.Error:
        raise UnusableSignature(DkimResult.NEUTRAL, "signature syntax error: not base64") from None


def _without_blanks(text: bytes) -> bytes:
    return _BLANKS.sub(b"", text)


def _printable(raw: bytes, limit: int = 320) -> str:
    text = raw[:limit].decode("ascii", "replace")
    return text if text.isascii() and text.isprintable() and len(raw) <= limit else ""
