"""Names of attachments in every reading, and encoded words (RFC 2047)."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable

import _charsets
from _mimetree.transfer import decode_transfer
from _mimetree.values import percent_bytes

_NAME = re.compile(r"(?:file)?+name[ \t\r\n]*+(\*[ \t]*+(\d{0,9}+)(\*)?+)?+[ \t\r\n]*+=[ \t\r\n]*+", re.IGNORECASE)
_QUOTED = re.compile(r'"((?:[^"\\]++|\\.)*+)"?+([^;\r\n]{0,4096}+)', re.DOTALL)
_BARE = re.compile(r"[^;\r\n]{0,4096}+")
_FOLD = re.compile(r"\r?\n[ \t]+")
_COMMENT = re.compile(r"\((?:[^()\\]++|\\.)*+\)", re.DOTALL)
_MAX_COMMENTS = 8  # one inside of another
# Careless senders leave a "?" in the text as it is. A word ends where another begins, so no text is read twice.
_ENCODED_WORD = re.compile(r"=\?([^?\s]{1,80}+)\?([bq])\?((?:[^?=]|\?(?!=)|=(?!\?[^=]))*+)\?=", re.IGNORECASE)
_MAX_NAMES = 64
_MAX_VALUE = 1 << 16


def name_readings(values: Iterable[str]) -> tuple[list[str], bool]:
    """Every file name that some reader might find in these Content-Type and Content-Disposition values.

    Readers disagree on duplicates, comments, split parameters (RFC 2231), encoded words inside of quotes (RFC 2047 forbids
    them), missing quotes and folding.  All of their answers are given, in order and once each; the flag says that there were
    more than anybody should have to look at.
    """
    found: dict[str, None] = {}
    too_many = False
    for value in values:
        if len(value) > _MAX_VALUE:
            too_many = True
            value = value[:_MAX_VALUE]
        texts = {_FOLD.sub(" ", value): None, _FOLD.sub("", value): None}
        if "(" in value:
            texts |= {_uncommented(text): None for text in texts}
        for text in texts:
            too_many |= _scan_names(text, found)
    for name in list(found):
        if "=?" in name:
            found[decode_words(name)] = None
        if "%" in name:
            found[_charsets.decode(percent_bytes(name), None)] = None
    found.pop("", None)
    return list(found), too_many


def _uncommented(text: str) -> str:
    """Without the comments that may stand between any two tokens (RFC 2045 section 5.1), one inside of another included."""
    for _ in range(_MAX_COMMENTS):
        text, removed = _COMMENT.subn("", text)
        if not removed:
            break
    return text


def _scan_names(text: str, found: dict[str, None]) -> bool:
    segments: dict[int, list[tuple[str, bool]]] = {}
    in_order: list[tuple[str, bool]] = []
    for seen, match in enumerate(_NAME.finditer(text)):
        if seen >= _MAX_NAMES:
            return True
        for position, reading in enumerate(_value_readings(text, match.end())):
            if match[1] is None:
                found[reading] = None
            elif not match[2]:
                _extended(found, [(reading, True)])
            elif position == 0:
                segment = (reading, match[3] is not None)
                segments.setdefault(int(match[2]), []).append(segment)
                in_order.append(segment)
    if segments:
        _extended(found, in_order)
        _extended(found, [segments[number][0] for number in sorted(segments)])
        _extended(found, [segments[number][-1] for number in sorted(segments)])
    return False


def _value_readings(text: str, at: int) -> list[str]:
    """The value that begins here: in quotes, with what follows the quote, up to the semicolon, up to a space."""
    if match := _QUOTED.match(text, at):
        inner, rest = match[1], match[2].strip()
        plain = re.sub(r"\\(.)", r"\1", inner, flags=re.DOTALL)
        return [plain, inner] + ([plain + rest, inner.rstrip() + rest] if rest else [])
    match = _BARE.match(text, at)
    bare = match[0].strip() if match else ""
    return [bare, re.split(r'[\s(,"]', bare, maxsplit=1)[0]]


def _extended(found: dict[str, None], segments: list[tuple[str, bool]]) -> None:
    text = "".join(piece for piece, _ in segments)
    found[text] = None
    charset = None
    if text.count("'") >= 2:
        charset, _, stripped = text.split("'", 2)
        found[stripped] = None
    for candidate in (text, text.split("'", 2)[-1] if charset is not None else text):
        raw = percent_bytes(candidate)
        found[_charsets.decode(raw, charset)] = None
        found[_charsets.decode(raw, None)] = None


def decode_words(text: str) -> str:
    """Decode the encoded words wherever they stand; bytes of neighbours are joined first (a word may be cut anywhere)."""
    text = re.sub(r"\?=[ \t\r\n]++=\?", "?==?", text)
    pieces: list[str] = []
    pending = b""
    charset = ""
    at = 0
    for match in _ENCODED_WORD.finditer(text):
        if match.start() > at or match[1].lower() != charset:
            pieces.append(_charsets.decode(pending, charset.split("*")[0]))
            pieces.append(text[at : match.start()])
            pending = b""
        charset = match[1].lower()
        raw = match[3].encode("utf-8", "surrogatepass")
        if match[2] in "bB":
            pending += decode_transfer(raw, "base64")
        else:
            pending += binascii.a2b_qp(raw, header=True)
        at = match.end()
    pieces += [_charsets.decode(pending, charset.split("*")[0]), text[at:]]
    return "".join(pieces)
