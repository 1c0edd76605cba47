"""Text of a message as the standard library's `Message` keeps it, and back."""

from __future__ import annotations

from typing import Any

import _charsets
from _mimetree import unquote


class RawField(tuple[str, str]):
    """A header field as `Message` keeps it, with the bytes that it was read from."""

    raw: bytes


def kept_text(raw: bytes) -> str:
    """Bytes as `Message` keeps them: LF, and surrogates for what is not ASCII."""
    return raw.decode("ascii", "surrogateescape").replace("\r\n", "\n").replace("\r", "\n")


def octets(text: str) -> bytes:
    """Text as it was read; characters that were set are UTF-8."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


def is_raw(text: str) -> bool:
    """Whether this text came from bytes that are not ASCII."""
    if text.isascii():
        return False
    try:
        text.encode("ascii", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def plain(value: Any) -> str:
    """A parameter as text, whatever way it was encoded."""
    if isinstance(value, tuple):
        return _charsets.decode(_latin_octets(value[2] or ""), value[0])
    return unquote(value)


def _latin_octets(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return octets(text)


def unquoted(value: Any) -> Any:
    """A parameter without its quotes, encoded (RFC 2231) or not."""
    if isinstance(value, tuple):
        return value[0], value[1], unquote(value[2])
    return unquote(value)
