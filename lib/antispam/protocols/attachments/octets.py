"""The octets of a part, in every reading of its transfer encoding."""

from __future__ import annotations

import re

import _mimetree
from _mimetree import Part

_PLAIN = frozenset({"7bit", "8bit", "binary"})
_ENCODED = ("base64", "quoted-printable", "x-uuencode", "uuencode", "x-uue", "uue")
_WORD = re.compile(rb"[a-z0-9-]{2,40}", re.IGNORECASE)
_MAX_FIELDS = 4


def encodings(part: Part) -> tuple[list[str], bool]:
    """The transfer encodings that readers may decode, and whether they may disagree.

    `base64,`, `(x) base64`, `base64 (x)`, `"base64"` and two fields are each accepted by some programs and ignored by
    others (RFC 2045 section 6.1 allows a token and comments).
    """
    values = part.values(b"content-transfer-encoding")
    if not values:
        return ["7bit"], False
    found: dict[str, None] = {}
    clear = len(values) == 1
    for value in values[:_MAX_FIELDS]:
        whole = value.strip().lower().decode("latin-1")
        known = [word for word in _words(value) if word in _ENCODED]
        if whole not in _PLAIN and whole not in _ENCODED:
            clear = False
        found.update(dict.fromkeys(known or ["7bit"]))
    if not clear:
        found["7bit"] = None
    return list(found), not clear and len(found) > 1


def _words(value: bytes) -> list[str]:
    return [found[0].decode("ascii").lower() for _, found in zip(range(20), _WORD.finditer(value), strict=False)]


def readings(part: Part) -> list[bytes]:
    """The contents that readers may decode from the part, each once."""
    found: dict[bytes, None] = {}
    for encoding in encodings(part)[0]:
        found.update(dict.fromkeys(_mimetree.transfer_readings(part.content, encoding)))
    return list(found)


def is_encoded(part: Part) -> bool:
    """Whether some reader decodes a transfer encoding."""
    return not set(encodings(part)[0]).isdisjoint(_ENCODED)


def can_encode(part: Part) -> bool:
    """Whether changed content can be written in the encoding of the part."""
    return encodings(part)[0][0] not in _ENCODED[2:]
