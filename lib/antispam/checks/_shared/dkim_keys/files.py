"""Creating private keys, reading their files, and writing files atomically."""

from __future__ import annotations

import contextlib
import enum
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from antispam.protocols.dkim import PrivateKey, UnusablePrivateKey, parse_private_key
from antispam.protocols.dkim.private_keys import MAX_KEY_FILE
from antispam.settings.secret_files import secret_in

LEAST_RSA_BITS, MOST_RSA_BITS = 2048, 8192  # RFC 8301 section 3.2; verifiers ignore longer ones
RSA_BITS = 2048  # fits everywhere: some DNS editors truncate the record of a longer key


class Algorithm(enum.StrEnum):
    """The key types of RFC 6376 and RFC 8463."""

    RSA = "rsa"
    ED25519 = "ed25519"


def make_private_key(algorithm: Algorithm, bits: int = RSA_BITS) -> bytes:
    """A new key as PEM (PKCS#8, which openssl and opendkim read). Raises ValueError for an RSA size out of range."""
    if algorithm is Algorithm.ED25519:
        return ed25519.Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    if not LEAST_RSA_BITS <= bits <= MOST_RSA_BITS:
        raise ValueError(f"an RSA key has {LEAST_RSA_BITS} to {MOST_RSA_BITS} bits")
    return rsa.generate_private_key(65537, bits).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def load_private_key(path: str | Path) -> PrivateKey:
    """The key in a file. Raises UnusablePrivateKey, with a text that names the file, if it can't be read, if others can read or
    change it, or if it is no key that can sign."""
    try:
        octets = secret_in(path, MAX_KEY_FILE + 1)
    except OSError as trouble:
        raise UnusablePrivateKey(str(trouble)) from None
    try:
        return parse_private_key(octets)
    except UnusablePrivateKey as trouble:
        raise UnusablePrivateKey(f"{path}: {trouble}") from None


def write_new(path: Path, content: bytes) -> None:
    """Create a new file with mode 0600, on disk before this returns. If root creates it, it is given to the owner of
    the folder, because the filter must read it. Raises OSError, in particular FileExistsError.
    """
    with _temporary(path.parent, content) as temporary:
        os.link(temporary, path)  # unlike a rename, this never replaces anything
    _sync(path.parent)


def replace(path: Path, content: bytes) -> None:
    """Replace a file atomically. Raises OSError."""
    with _temporary(path.parent, content) as temporary:
        os.rename(temporary, path)
    _sync(path.parent)


@contextlib.contextmanager
def _temporary(folder: Path, content: bytes) -> Iterator[str]:
    """A complete temporary file in the folder. It is removed at the end unless it was renamed."""
    descriptor, name = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=folder)  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            owner = folder.stat()
            if os.geteuid() == 0 and owner.st_uid != 0:
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        yield name
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
