"""Keys, a small message and its signatures, for tests of DKIM."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from antispam.protocols.dkim import PrivateKey, Signer, SigningPolicy, parse_private_key, sign

NOW = 1_790_000_000
HEADERS = [
    (b"Received", b" from a.example\n\tby b.example; Mon, 23 Nov 2026 10:00:00 +0000"),
    (b"From", b" Joe <joe@example.com>"),
    (b"To", b"  suzie@example.net"),
    (b"Subject", b" Is dinner\n  ready?"),
    (b"Date", b" Mon, 23 Nov 2026 10:00:00 +0000"),
    (b"Message-ID", b" <1@example.com>"),
]
BODY = b"Hi.\r\n\r\nWe lost  the game. \r\n\r\nJoe.\r\n"


def pem(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey, form: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
    return key.private_bytes(Encoding.PEM, form, NoEncryption())


RAW_RSA = rsa.generate_private_key(65537, 2048)
RSA = parse_private_key(pem(RAW_RSA))
ED25519 = parse_private_key(pem(ed25519.Ed25519PrivateKey.generate()))


class Zone(dict[str, list[bytes]]):
    """A key look-up scripted by name, which counts its questions. A value may be an exception to raise."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.asked: list[str] = []

    def __call__(self, name: str) -> Sequence[bytes]:
        self.asked.append(name)
        found = self.get(name, [])
        if isinstance(found, Exception):
            raise found
        return found


def zone(**keys: PrivateKey) -> Zone:
    """selector=key, all published under example.com."""
    return Zone({f"{s}._domainkey.example.com": [key.dns_record.encode()] for s, key in keys.items()})


def signed(
    *,
    key: PrivateKey = RSA,
    headers: Sequence[tuple[bytes, bytes]] = HEADERS,
    body: bytes = BODY,
    policy: SigningPolicy | None = None,
    now: int = NOW,
) -> list[tuple[bytes, bytes]]:
    """`headers` with a signature of example.com, selector s, on top."""
    (value,) = sign(headers, body, [Signer("example.com", "s", key)], now=now, policy=policy or SigningPolicy())
    return [(b"DKIM-Signature", b" " + value.encode()), *headers]


def raw(headers: Sequence[tuple[bytes, bytes]], body: bytes) -> bytes:
    """The message's text, as dkimpy wants it."""
    return b"".join(n + b":" + v.replace(b"\n", b"\r\n") + b"\r\n" for n, v in headers) + b"\r\n" + body
