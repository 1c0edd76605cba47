"""The Message-IDs of our notices, which identify late failure reports about them.

    <dsn.mfxg4q...sw.20774.k3v...q@mx.example.com>

They hold the address that the notice went to, the day, and a keyed digest of both. Nobody can make one up: who knows one has
got a notice too.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re

DAY = 86400.0
VALID = 30  # days
MAX_TRIED = 20  # identifiers of one message that are looked at

_DIGEST = 20  # octets
_IDENTIFIER = re.compile(rb"<dsn\.([a-z2-7]{1,600})\.([0-9]{1,6})\.([a-z2-7]{32})@", re.IGNORECASE)


def signed(address: str, domain: str, secret: bytes, now: float) -> str:
    """The Message-ID, with its brackets, of a notice to `address`, which has 375 octets at most (RFC 5321 allows 320). `domain`
    is ours."""
    day = int(now // DAY)
    raw = address.encode("utf-8", "surrogateescape")
    return f"<dsn.{_text(raw)}.{day}.{_text(_digest(raw, day, secret))}@{domain}>"


def find(content: bytes, secret: bytes, now: float) -> str | None:
    """The address that a notice went to whose Message-ID stands in `content`; None if no true one does. Never raises."""
    for match in list(_IDENTIFIER.finditer(content))[:MAX_TRIED]:
        raw, day, digest = _octets(match[1]), int(match[2]), _octets(match[3])
        young = -1 <= now // DAY - day <= VALID
        if raw and digest and young and hmac.compare_digest(digest, _digest(raw, day, secret)):
            return raw.decode("utf-8", "surrogateescape")
    return None


def _digest(raw: bytes, day: int, secret: bytes) -> bytes:
    return hmac.new(secret, b"%d:%s" % (day, raw), hashlib.sha256).digest()[:_DIGEST]


def _text(raw: bytes) -> str:
    """Letters and digits only: what passes through everything, whatever becomes of upper and lower case."""
    return base64.b32encode(raw).decode("ascii").rstrip("=").lower()


def _octets(text: bytes) -> bytes:
    """b"" for what is none."""
    try:
        return base64.b32decode(text.upper() + b"=" * (-len(text) % 8))
    except (binascii.Error, ValueError):
        return b""
