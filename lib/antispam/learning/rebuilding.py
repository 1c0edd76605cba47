"""Rebuilding a message from the text in which it was forwarded."""

from __future__ import annotations

import base64
import re

from antispam.learning.forward_labels import CC, DATE, FROM, REPLY, SUBJECT, TO
from antispam.learning.inline import Inline

_MAX_VALUE = 1_000
_MAX_ADDRESSES = 50
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,10}")
_NOT_NAME = " \t\xa0<>[](){};,:*\"'"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_LINE_END = re.compile(r"\r\n?|\n")
_WORD_OCTETS = 39  # per encoded word: RFC 2047 section 2 allows 75 characters


def rebuild(forwarded: Inline) -> bytes:
    """The message as far as it is known: its fields, and its text or HTML in UTF-8, with CRLF."""
    lines = []
    for name in (FROM, REPLY, TO, CC, SUBJECT, DATE):
        value = _CONTROL.sub(" ", forwarded.fields.get(name, ""))[:_MAX_VALUE].strip()
        if value and name in {FROM, REPLY, TO, CC}:
            value = _addresses(value)
        elif value:
            value = _encoded(value)
        if value:
            lines.append(f"{name}: {value}")
    kind = "html" if forwarded.is_html else "plain"
    lines += [
        "MIME-Version: 1.0",
        f"Content-Type: text/{kind}; charset=utf-8",
        "Content-Transfer-Encoding: 8bit",
        "",
        "",
    ]
    body = _LINE_END.sub("\r\n", forwarded.body.replace("\0", "").strip("\r\n"))
    return ("\r\n".join(lines) + body + "\r\n").encode("utf-8", "replace")


def _addresses(value: str) -> str:
    """The mailboxes in a client's text: `Ann <ann@example.org>`, `Ann [mailto:ann@example.org]`, `Doe, Ann`."""
    found: dict[str, str] = {}
    at = 0
    for match in _ADDRESS.finditer(value):
        name = value[at : match.start()].removesuffix("mailto:").strip(_NOT_NAME)
        at = match.end()
        if match[0].lower() not in found and len(found) < _MAX_ADDRESSES:
            found[match[0].lower()] = f"{_phrase(name)} <{match[0]}>" if name else match[0]
    return ",\r\n ".join(found.values()) or _phrase(value.strip(_NOT_NAME))


def _phrase(name: str) -> str:
    if not name.isascii() or "=?" in name:
        return _encoded(name)
    return '"' + name.replace("\\", "").replace('"', "") + '"'


def _encoded(text: str) -> str:
    """A value in ASCII. Other characters become encoded words (RFC 2047), split between characters."""
    if text.isascii() and "=?" not in text:
        return text
    words: list[bytes] = [b""]
    for char in text:
        octets = char.encode("utf-8", "replace")
        if len(words[-1]) + len(octets) > _WORD_OCTETS:
            words.append(b"")
        words[-1] += octets
    return "\r\n ".join(f"=?utf-8?B?{base64.b64encode(word).decode('ascii')}?=" for word in words)
