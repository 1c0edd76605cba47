"""A stored message as a person reads it: the fields that matter, its text, its HTML, attachment names. Never raises."""

from __future__ import annotations

import dataclasses

import _charsets
import _mimetree
from antispam.text import from_wire
from dspam import html

_FIELDS = ("from", "sender", "reply-to", "to", "cc", "subject", "date", "message-id", "list-id")
_MAX_FIELD = 8_192  # octets
_MAX_FIELDS = 50
_MAX_PARTS = 200
_READ = 1 << 16  # octets of a part that are read
_TEXTS = ("text/plain", "text/html")


@dataclasses.dataclass(frozen=True, slots=True)
class Readable:
    """The readable parts of a message. The text is decoded but otherwise as the sender wrote it: code that displays it
    must escape it.

    fields       name and value, in the order of the header
    text         the first text part that is not empty; for HTML, the visible text
    html         the first HTML part unchanged, "" if there is none
    attachments  names of the other parts
    """

    fields: tuple[tuple[str, str], ...]
    text: str
    html: str
    attachments: tuple[str, ...]


def readable(raw: bytes) -> Readable:
    """The readable parts of the message `raw` (header and body)."""
    top = _mimetree.parse(raw)
    fields = [
        (name, _text(_mimetree.decode_words(_mimetree.header_text(field.value[:_MAX_FIELD]))))
        for field in top.fields
        if (name := field.name.decode("ascii", "replace").strip()).lower() in _FIELDS
    ][:_MAX_FIELDS]
    texts, attachments = _parts(top)
    seen = html.read(texts["text/html"].encode("utf-8", "replace")).seen if "text/html" in texts else b""
    return Readable(
        fields=tuple(fields),
        text=texts.get("text/plain") or _text(seen.decode("utf-8", "replace")),
        html=texts.get("text/html", ""),
        attachments=tuple(attachments),
    )


def _parts(top: _mimetree.Part) -> tuple[dict[str, str], list[str]]:
    """The first non-empty part of each text type, by type, and the names of the other parts."""
    texts: dict[str, str] = {}
    attachments: list[str] = []
    for part in top.walk():
        if part.children:
            continue
        name = _name(part)
        if part.media_type in _TEXTS and part.media_type not in texts and not name:
            if text := _decoded(part):
                texts[part.media_type] = text
        elif len(attachments) < _MAX_PARTS and (name or part.media_type not in _TEXTS):
            attachments.append(name or part.media_type)
    return texts, attachments


def _decoded(part: _mimetree.Part) -> str:
    content = _mimetree.decode_transfer(part.content[: 2 * _READ], part.transfer_encoding)[:_READ]
    types = part.values(b"content-type")
    charset = _mimetree.parameter(types[0][:_MAX_FIELD], "charset") if types else None
    return _text(_charsets.decode(content, charset))


def _text(decoded: str) -> str:
    """Text that can be encoded again: undeclared octets beyond ASCII are read as UTF-8 or shown as escapes."""
    return from_wire(decoded, 4 * len(decoded)).strip()  # an escape has four characters


def _name(part: _mimetree.Part) -> str:
    """The file name of a part, from Content-Disposition or Content-Type."""
    for field, parameter in ((b"content-disposition", "filename"), (b"content-type", "name")):
        for value in part.values(field)[:1]:
            name = _mimetree.parameter(value[:_MAX_FIELD], parameter)
            if name:
                return _text(_mimetree.decode_words(name))
    return ""
