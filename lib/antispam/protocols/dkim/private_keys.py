"""Private keys for signing; keys that no verifier accepts are refused."""

from __future__ import annotations

import base64
import binascii
import dataclasses

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
)

MAX_KEY_FILE = 65536
MIN_RSA_BITS = 1024
GOOD_RSA_BITS = 2048
_PREHASHED = Prehashed(SHA256())
_PADDING = PKCS1v15()


class UnusablePrivateKey(ValueError):
    """The key cannot or must not be used for signing. The text tells the administrator why and what to do."""


@dataclasses.dataclass(frozen=True, slots=True)
class PrivateKey:
    """A private key for signing.

    algorithm   the a= tag: "rsa-sha256" or "ed25519-sha256"
    warning     a warning for the administrator; "" for none
    dns_record  the TXT record to publish for it (RFC 6376 section 3.6.1, RFC 8463 section 4.2), also used to compare
                keys
    """

    algorithm: str
    bits: int
    warning: str
    dns_record: str
    key: RSAPrivateKey | Ed25519PrivateKey = dataclasses.field(repr=False, compare=False)

    def sign(self, digest: bytes) -> bytes:
        """The signature of a SHA-256 `digest` (32 octets)."""
        if isinstance(self.key, RSAPrivateKey):
            return self.key.sign(digest, _PADDING, _PREHASHED)
        return self.key.sign(digest)


def parse_private_key(octets: bytes) -> PrivateKey:
    """Parse the content of a key file: PEM (PKCS#1 or PKCS#8, RSA or Ed25519: openssl, opendkim-genkey), or base64 of
    either the DER form (opendkim's KeyTable) or the 32 octets of an Ed25519 key (dknewkey). Raises UnusablePrivateKey.
    """
    if len(octets) > MAX_KEY_FILE:
        raise UnusablePrivateKey("too large for a private key")
    try:
        key = _load_pem(octets) if b"-----BEGIN" in octets else _load_base64(octets)
    except (binascii.Error, ValueError, TypeError, UnsupportedAlgorithm):
        raise UnusablePrivateKey("not a private key in PEM or base64 form, or one protected by a passphrase") from None
    if isinstance(key, Ed25519PrivateKey):
        return PrivateKey("ed25519-sha256", 256, "", _dns_record(key), key)
    if not isinstance(key, RSAPrivateKey):
        raise UnusablePrivateKey("neither an RSA nor an Ed25519 key")
    if key.key_size < MIN_RSA_BITS:
        raise UnusablePrivateKey(f"an RSA key of {key.key_size} bits is too short, no verifier accepts it (RFC 8301)")
    warning = f"an RSA key of {key.key_size} bits is weak; use 2048 (RFC 8301)" if key.key_size < GOOD_RSA_BITS else ""
    return PrivateKey("rsa-sha256", key.key_size, warning, _dns_record(key), key)


def _dns_record(key: RSAPrivateKey | Ed25519PrivateKey) -> str:
    if isinstance(key, RSAPrivateKey):
        octets = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return f"v=DKIM1; k=rsa; p={base64.b64encode(octets).decode()}"
    octets = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return f"v=DKIM1; k=ed25519; p={base64.b64encode(octets).decode()}"


def _load_pem(octets: bytes) -> object:
    return load_pem_private_key(octets, password=None)


def _load_base64(octets: bytes) -> object:
    raw = base64.b64decode(b"".join(octets.split()), validate=True)
    return Ed25519PrivateKey.from_private_bytes(raw) if len(raw) == 32 else load_der_private_key(raw, password=None)
