"""Making text from the wire safe for the place where it will be read."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime

_REPLY_UNSAFE = re.compile(r"[^\x20-\x7e]")
_SPACES = re.compile(r"\s+")
_LINE_END = re.compile(rb"\r+\n|\n|\r")  # CR CR LF is one that was translated twice
MAX_REPLY_LINE = 400


def from_wire(raw: bytes | str, limit: int = 2000) -> str:
    """Decode `raw` to text that every later reader (JSON, SQL, log) can encode again.

    UTF-8 where it is UTF-8; other octets, and the lone surrogates that surrogateescape leaves, become `\\xNN`, and so does NUL,
    which no text of PostgreSQL may hold. At most `limit` characters are kept. Never raises.
    """
    if isinstance(raw, str):
        if raw.isascii():
            return _without_nul(raw[:limit], limit)
        raw = _encoded(raw[:limit])
    return _without_nul(bytes(raw[: 4 * limit]).decode("utf-8", "backslashreplace")[:limit], limit)


def _without_nul(text: str, limit: int) -> str:
    return text.replace("\0", "\\x00")[:limit] if "\0" in text else text


def _encoded(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # other lone surrogates than surrogateescape leaves
        return text.encode("utf-8", "replace")


def for_log(raw: bytes | str, limit: int = 500) -> str:
    """`raw` on one line of printable text: control, format and separator characters (ANSI escapes, U+2028, right-to-left
    overrides) are written as escapes, so that mail can't forge a log line or rewrite a terminal. Never raises."""
    text = from_wire(raw, limit)
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if char.isprintable() or char == " " else _escape(char) for char in text)


def _escape(char: str) -> str:
    number = ord(char)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def for_reply(text: str, limit: int = MAX_REPLY_LINE) -> str:
    """`text` as one line of an SMTP reply: printable US-ASCII (RFC 5321 section 4.2), white space folded, at most `limit`
    characters. Accents are dropped rather than replaced where that leaves a letter. Never raises."""
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text)
        text = "".join(char for char in text if not unicodedata.combining(char))
    text = _REPLY_UNSAFE.sub("?", _SPACES.sub(" ", text)).strip()
    return text if len(text) <= limit else text[: limit - 3] + "..."


def with_crlf(body: bytes) -> bytes:
    """`body`, whose lines may end in every way, with CRLF as the only line end."""
    return _LINE_END.sub(b"\r\n", body)


def local_time(seconds: float) -> str:
    """A time (seconds since the epoch) as this machine's clock on the wall shows it, to the minute."""
    return utc_time(seconds).astimezone().strftime("%Y-%m-%d %H:%M")


def utc_time(seconds: float) -> datetime:
    """A time for people and programs to read. A damaged one is the epoch: one row must not keep the others from being shown."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return datetime.fromtimestamp(0, UTC)
