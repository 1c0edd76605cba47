"""Encoded words (RFC 2047), decoded as mail programs do, even if malformed."""

from __future__ import annotations

import base64
import re
from typing import NamedTuple

import _charsets
from antispam.text import from_wire

MAX_LENGTH = 10_000  # characters of a field that are read

# Careless senders leave a "?" unencoded in the text. A word ends where another begins, so no text is read twice.
_WORD = re.compile(r"=\?([^?\s*]{1,60})(?:\*[^?\s]{0,40})?\?([bBqQ])\?((?:[^?=]|\?(?!=)|=(?!\?[^=]))*+)\?=")
_HEX = re.compile(rb"=([0-9A-Fa-f]{2})")
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/]+")


class Decoded(NamedTuple):
    """The text, and the charsets named by its encoded words, in lower case, each once."""

    text: str
    charsets: tuple[str, ...] = ()


def decoded(value: str) -> Decoded:
    """The value of a field (unfolded) with its encoded words decoded. Blanks between two of them are removed (section
    6.2), and the octets of a character that is split between words are joined. Undecodable parts are replaced: one
    broken word must not hide the others. Takes linear time and never raises.
    """
    value = value[:MAX_LENGTH]
    if "=?" not in value:
        return Decoded(value)
    parts: list[str] = []
    charsets: dict[str, None] = {}
    pending, charset = b"", ""
    end = 0
    for match in _WORD.finditer(value):
        between = value[end : match.start()]
        this = match[1].lower()
        charsets[this] = None
        if (between.strip() or not end) or this != charset:
            parts.append(_text(pending, charset))
            parts.append(between if between.strip() or not end else "")
            pending, charset = b"", this
        pending += _octets(match[2], match[3])
        end = match.end()
    parts += [_text(pending, charset), value[end:]]
    return Decoded(from_wire("".join(parts), MAX_LENGTH), tuple(charsets))


def _octets(encoding: str, content: str) -> bytes:
    if encoding in "qQ":
        raw = content.replace("_", " ").encode("utf-8", "replace")
        return _HEX.sub(lambda match: bytes([int(match[1], 16)]), raw)
    letters = _NOT_BASE64.sub("", content)
    if len(letters) % 4 == 1:
        letters = letters[:-1]
    return base64.b64decode(letters + "=" * (-len(letters) % 4))


def _text(octets: bytes, charset: str) -> str:
    return _charsets.decode(octets, charset) if octets else ""
