"""Structured values of header fields: types, parameters (RFC 2045 section 5.1, RFC 2231) and text."""

from __future__ import annotations

import re

import _charsets

# An open quote reaches to the end: so every character is looked at once, whatever a sender puts there.
_PARAMETER = re.compile(r'(?:[^;"]++|"(?:[^"\\]++|\\.)*+(?:"|\\?\Z))*+', re.DOTALL)
_CONTINUED = re.compile(r"(.+?)\*(?:(\d{1,5})(\*)?)?\Z", re.DOTALL)
_QUOTED_STRING = re.compile(r'"((?:[^"\\]++|\\.)*+)"?', re.DOTALL)
_MAX_SEGMENTS = 1000


def split_parameters(text: str) -> list[str]:
    """Cut at the semicolons that stand outside of quotes, as pieces without white space around them."""
    pieces = []
    at = 0
    while at <= len(text):
        found = _PARAMETER.match(text, at)
        assert found  # it matches the empty string
        pieces.append(found[0].strip())
        at = found.end() + 1
    return pieces


def unquote(value: str) -> str:
    """The quoted string that the value begins with, without its backslashes; or take off angle brackets.

    What follows the closing quote (another field whose line was folded by mistake) does not count.
    """
    if found := _QUOTED_STRING.match(value):
        return re.sub(r"\\(.)", r"\1", found[1], flags=re.DOTALL)
    if len(value) > 1 and value[0] == "<" and value[-1] == ">":
        return value[1:-1]
    return value


def raw_parameters(value: str) -> list[tuple[str, str]]:
    """The (name, still quoted value) pairs of a structured value; the first is the value itself with an empty one."""
    pairs = []
    for piece in split_parameters(value):
        name, equals, rest = piece.partition("=")
        pairs.append((name.strip(), rest.strip() if equals else ""))
    return pairs


def parameters(value: str) -> list[tuple[str, str | tuple[str | None, str | None, str]]]:
    """Like `raw_parameters`, with RFC 2231 continuations joined and encoded values as (charset, language, text)."""
    joined: list[tuple[str, str | tuple[str | None, str | None, str]]] = []
    split: dict[str, dict[int, tuple[str, bool]]] = {}
    for position, (name, text) in enumerate(raw_parameters(value)):
        if position and (found := _CONTINUED.match(name)):
            segments = split.setdefault(found[1].lower(), {})
            encoded = found[2] is None or found[3] is not None
            segments.setdefault(int(found[2] or 0), (unquote(text), encoded))
        else:
            joined.append((name, text))
    for name, segments in split.items():
        joined.append((name, _join(segments)))
    return joined


def _join(segments: dict[int, tuple[str, bool]]) -> str | tuple[str | None, str | None, str]:
    charset = language = None
    pieces = []
    any_encoded = False
    for position, number in enumerate(sorted(segments)[:_MAX_SEGMENTS]):
        text, encoded = segments[number]
        any_encoded |= encoded
        if encoded and position == 0 and text.count("'") >= 2:
            charset, language, text = text.split("'", 2)
        pieces.append(percent_bytes(text).decode("latin-1") if encoded else text)
    text = "".join(pieces)
    return (charset, language, text) if any_encoded else '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def percent_bytes(text: str) -> bytes:
    """Undo RFC 2231's percent encoding; what is no pair of hexadecimal digits stays."""
    raw = text.encode("utf-8", "surrogatepass") if not text.isascii() else text.encode("ascii")
    return re.sub(rb"%([0-9A-Fa-f]{2})", lambda found: bytes.fromhex(found[1].decode("ascii")), raw)


def parameter(value: bytes, name: str) -> str | None:
    """The first parameter of this name, decoded; None if there is none."""
    for key, text in parameters(header_text(value))[1:]:
        if key.lower() == name:
            return (
                _charsets.decode(text[2].encode("latin-1", "replace"), text[0])
                if isinstance(text, tuple)
                else unquote(text)
            )
    return None


def header_text(value: bytes) -> str:
    """A field's value as text: unfolded lines stay folded with LF, undecodable bytes become surrogates."""
    text = value.decode("ascii", "surrogateescape")
    return text.replace("\r\n", "\n").replace("\r", "\n").strip("\n").lstrip(" \t")


def transfer_encoding(value: bytes) -> str:
    """The mechanism that a Content-Transfer-Encoding value names, in lower case, without comments."""
    return first_word(value) or "7bit"


def media_type(value: bytes) -> str:
    """The type/subtype that a Content-Type value names, in lower case; "text/plain" if it is malformed (RFC 2045, 5.2)."""
    found = first_word(value)
    return found if found.count("/") == 1 and not found.startswith("/") and not found.endswith("/") else "text/plain"


def first_word(value: bytes) -> str:
    words = value.decode("latin-1").split(";", 1)[0].split("(", 1)[0].split(None, 1)
    return words[0].strip('"').lower() if words else ""
