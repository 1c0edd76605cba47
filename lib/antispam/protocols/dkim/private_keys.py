"""Private keys for signing: read once when the settings are loaded, refused where they are not safe to use."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import os
import stat
from pathlib import Path

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
    """The key can't or must not be used for signing; the text says why and what to do, for the administrator."""


@dataclasses.dataclass(frozen=True, slots=True)
class PrivateKey:
    """A key that signs.

    algorithm   the a= tag: "rsa-sha256" or "ed25519-sha256"
    warning     what the administrator should know about it, "" for nothing
    dns_record  the TXT record to publish for it (RFC 6376 section 3.6.1, RFC 8463 section 4.2), by which keys are
                compared
    """

    algorithm: str
    bits: int
    warning: str
    dns_record: str
    key: RSAPrivateKey | Ed25519PrivateKey = dataclasses.field(repr=False, compare=False)

    def sign(self, digest: bytes) -> bytes:
        """The signature over a SHA-256 `digest` (32 octets)."""
        if isinstance(self.key, RSAPrivateKey):
            return self.key.sign(digest, _PADDING, _PREHASHED)
        return self.key.sign(digest)


def load_private_key(path: str | Path) -> PrivateKey:
    """Read a key file. Raises UnusablePrivateKey if it can't be read, is readable by everybody, writable by the
    group, or no key that can sign; its text names the file.

    Group-readable is allowed: root:filter 0640 keeps the running filter from changing its own key.
    """
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            octets = file.read(MAX_KEY_FILE + 1)
    except OSError as trouble:
        hint = ""
        if isinstance(trouble, PermissionError):
            hint = f"; the user with the number {os.geteuid()}, as whom this runs, must be able to read it and reach its folder"
        raise UnusablePrivateKey(f"{path}: {trouble.strerror}{hint}") from None
    if not stat.S_ISREG(status.st_mode):
        raise UnusablePrivateKey(f"{path}: not a regular file")
    if status.st_mode & (stat.S_IRWXO | stat.S_IWGRP):
        mode = stat.S_IMODE(status.st_mode)
        raise UnusablePrivateKey(
            f"{path}: other users of this machine can read or change the private key (mode {mode:04o});"
            " give it mode 0600 or 0640"
        )
    try:
        return parse_private_key(octets)
    except UnusablePrivateKey as trouble:
        raise UnusablePrivateKey(f"{path}: {trouble}") from None


def parse_private_key(octets: bytes) -> PrivateKey:
    """A key from its file's content: PEM (PKCS#1 or PKCS#8, RSA or Ed25519: openssl, opendkim-genkey), or base64 of
    either the DER form (opendkim's KeyTable) or the 32 octets of an Ed25519 key (dknewkey). Raises
    UnusablePrivateKey."""
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
