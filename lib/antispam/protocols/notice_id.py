"""The Message-IDs of our notices, by which late failure reports about them are recognised.

    <dsn.mfxg4q...sw.20774.k3v...q@mx.example.com>

They contain the address that the notice went to, the day, and a keyed digest of both. They cannot be forged: only
recipients of a notice know one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re

DAY = 86400.0
VALID = 30  # days
MAX_TRIED = 20  # identifiers examined per message

_DIGEST = 20  # octets
_IDENTIFIER = re.compile(rb"<dsn\.([a-z2-7]{1,600})\.([0-9]{1,6})\.([a-z2-7]{32})@", re.IGNORECASE)


def signed(address: str, domain: str, secret: bytes, now: float) -> str:
    """The Message-ID, with brackets, of a notice to `address`, which may have at most 375 octets (RFC 5321 allows 320).
    `domain` is ours.
    """
    day = int(now // DAY)
    raw = address.encode("utf-8", "surrogateescape")
    return f"<dsn.{_text(raw)}.{day}.{_text(_digest(raw, day, secret))}@{domain}>"


def find(content: bytes, secret: bytes, now: float) -> str | None:
    """The address of the notice whose Message-ID is in `content`; None if there is no valid one. Never raises."""
    for match in list(_IDENTIFIER.finditer(content))[:MAX_TRIED]:
        raw, day, digest = _octets(match[1]), int(match[2]), _octets(match[3])
        young = -1 <= now // DAY - day <= VALID
        if raw and digest and young and hmac.compare_digest(digest, _digest(raw, day, secret)):
            return raw.decode("utf-8", "surrogateescape")
    return None


def _digest(raw: bytes, day: int, secret: bytes) -> bytes:
    return hmac.new(secret, b"%d:%s" % (day, raw), hashlib.sha256).digest()[:_DIGEST]


def _text(raw: bytes) -> str:
    """The octets as letters and digits only, which survive any transport, even changes of case."""
    return base64.b32encode(raw).decode("ascii").rstrip("=").lower()


def _octets(text: bytes) -> bytes:
    """The octets of such text; b"" if it is invalid."""
    try:
        return base64.b32decode(text.upper() + b"=" * (-len(text) % 8))
    except (binascii.Error, ValueError):
        return b""
