"""Public keys published in DNS (RFC 6376 section 3.6.1, RFC 8463)."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import functools
import re
from collections.abc import Sequence

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key
from dkim.util import InvalidTagValueList, parse_tag_value

MAX_RECORD = 8192
MAX_RECORDS = 5  # per name; more than one is undefined (RFC 6376 section 3.6.2.2), and the first usable one counts
_BLANKS = re.compile(rb"[ \t\r\n]+")
_PREHASHED = Prehashed(SHA256())
_PADDING = PKCS1v15()


class UnusableKey(Exception):
    """The record has no usable key. The text says why and is safe to print."""


@dataclasses.dataclass(frozen=True, slots=True)
class PublicKey:
    """A usable key record.

    key_type  "rsa" or "ed25519"
    testing   t=y
    strict    t=s: i= must be in exactly the domain of d=
    """

    key_type: str
    bits: int
    testing: bool
    strict: bool
    key: RSAPublicKey | Ed25519PublicKey

    def verifies(self, signature: bytes, digest: bytes) -> bool:
        """Whether `signature` is this key's signature of the SHA-256 `digest` (32 octets)."""
        try:
            if isinstance(self.key, RSAPublicKey):
                self.key.verify(signature, digest, _PADDING, _PREHASHED)
            else:
                self.key.verify(signature, digest)
        except (InvalidSignature, ValueError):
            return False
        return True


def choose_key(records: Sequence[bytes]) -> PublicKey:
    """The first usable key among the TXT records of a name. Raises UnusableKey with the first record's problem."""
    trouble = UnusableKey("no key published")
    for position, record in enumerate(records[:MAX_RECORDS]):
        found = parse_key(record) if len(record) <= MAX_RECORD else UnusableKey("key record too long")
        if isinstance(found, PublicKey):
            return found
        if position == 0:
            trouble = found
    raise UnusableKey(*trouble.args)


@functools.lru_cache(maxsize=1024)
def parse_key(record: bytes) -> PublicKey | UnusableKey:
    """Parse one record. Problems are returned, not raised, so that they are cached like keys."""
    try:
        return _parse(record)
    except UnusableKey as trouble:
        return trouble.with_traceback(None)


def _parse(record: bytes) -> PublicKey:
    try:
        tags: dict[bytes, bytes] = parse_tag_value(record)
    except InvalidTagValueList:
        raise UnusableKey("key record syntax error") from None
    if tags.get(b"v", b"DKIM1") != b"DKIM1" or b"p" not in tags:
        raise UnusableKey("not a DKIM key record")
    if not tags[b"p"]:
        raise UnusableKey("key revoked")
    if b"h" in tags and b"sha256" not in _list(tags[b"h"]):
        raise UnusableKey("key is not for sha256")
    if not {b"*", b"email"} & _list(tags.get(b"s", b"*")):
        raise UnusableKey("key is not for mail")
    key_type = tags.get(b"k", b"rsa").lower()
    flags = _list(tags.get(b"t", b""))
    try:
        octets = base64.b64decode(_BLANKS.sub(b"", tags[b"p"]), validate=True)
        key = _load(key_type, octets)
    except (binascii.Error, ValueError, UnsupportedAlgorithm):
        raise UnusableKey("unreadable public key") from None
    bits = key.key_size if isinstance(key, RSAPublicKey) else 256
    return PublicKey(key_type.decode("ascii"), bits, b"y" in flags, b"s" in flags, key)


def _load(key_type: bytes, octets: bytes) -> RSAPublicKey | Ed25519PublicKey:
    """Load an Ed25519 key from its 32 octets, or an RSA key from SubjectPublicKeyInfo, the usual form, or from the bare
    RSAPublicKey of the RFC's text.
    """
    if key_type == b"ed25519":
        return Ed25519PublicKey.from_public_bytes(octets)
    if key_type != b"rsa":
        raise UnusableKey("unknown key type")
    key = load_der_public_key(octets)
    if not isinstance(key, RSAPublicKey):
        raise UnusableKey("not an RSA key")
    return key


def _list(value: bytes) -> set[bytes]:
    return {item.strip().lower() for item in value.split(b":")}
