"""The parts of a message that readers see: text, links and attachment names, decoded as the learning filter does.

The work is bounded and done on demand. Several checks use the result, so it is made once for each message.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Sequence

from _mimetree import Field, Part, decode_transfer
from antispam.mail.message import Header, Message
from antispam.protocols.attachments import parsing
from antispam.protocols.attachments.names import of_part
from antispam.protocols.attachments.rules import Limits
from antispam.text import from_wire
from dspam.disguise import readings
from dspam.reading import Document, read

_MEMO = "shown"
_FIELD_NAMES = re.compile(rb"(?:[!-9;-~]{1,100}\n)*+")
_NO_FOLD = re.compile(rb"\n(?![ \t])")
_PLAIN_BODY = 8 << 20  # octets; of much larger messages the learning filter reads only a part, header included
_MAX_TEXT = 60_000  # characters; `dspam` keeps fewer
_MAX_READ_ANEW = 2000  # words that may be disguised
_MAX_NAMES = 500
_MAX_FILES = 50
_LEAST_FILE = 128  # octets; shorter parts occur in thousands of honest messages
_QUOTED = re.compile(rb"^[ \t]*+>.*+$", re.MULTILINE)
_WORD = re.compile(r"[\w'$-]+")
_LIMITS = Limits(max_parts=500, max_depth=20)
_as_field = functools.partial(tuple.__new__, Field)  # Field._make() without the call of a Python function


class Shown:
    """A message as its reader sees it. Rules of the site test the same (protocols/site_rules)."""

    def __init__(self, message: Message) -> None:
        self._message = message

    @functools.cached_property
    def document(self) -> Document:
        """Everything that the learning filter reads in the message, with the original header. Read-only."""
        message = self._message
        fields = plain_fields(message.headers) if message.body.size < _PLAIN_BODY else None
        return read(message.raw()) if fields is None else read(message.body.content(), fields)

    @functools.cached_property
    def _parts(self) -> list[Part]:
        top = parsing.parsed(self._message.headers, self._message.body.content(), _LIMITS)
        return [part for part in top.walk() if not part.children]

    def header(self, name: str) -> tuple[str, ...]:
        """The decoded values of the fields of that name; of very many, the first and last few."""
        return tuple(field.decoded for field in self._message.shown(name.encode("ascii", "replace")))

    def text(self) -> tuple[str, ...]:
        """The subject and the visible text, with white space collapsed; and, if it differs, the same with disguised
        words undone ("v1agra", Cyrillic letters in a Latin word).
        """
        return self._texts

    @functools.cached_property
    def _texts(self) -> tuple[str, ...]:
        read_as = [text for place, text in self.document.texts if place == b"text"]
        return tuple(dict.fromkeys((_line(self.document.written), _undisguised(_line(read_as)))))

    @functools.cached_property
    def unquoted(self) -> str:
        """The last of these readings without the lines that replies quote with ">"."""
        read_as = [text for place, text in self.document.texts if place == b"text"]
        own = [_QUOTED.sub(b"", text) for text in read_as]
        return self._texts[-1] if own == read_as else _undisguised(_line(own))

    def links(self) -> tuple[str, ...]:
        """The targets of links as written, each once."""
        return self._links

    @functools.cached_property
    def _links(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([from_wire(target, 400) for target in self.document.targets]))

    def attachments(self) -> tuple[str, ...]:
        """Every name under which some reader may save a part."""
        return self._names

    @functools.cached_property
    def _names(self) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for part in self._parts:
            found |= dict.fromkeys(from_wire(name, 300) for name in of_part(part)[0])
            if len(found) >= _MAX_NAMES:
                break
        return tuple(found)[:_MAX_NAMES]

    def digests(self) -> tuple[bytes, ...]:
        """SHA-256 of each attachment's decoded octets. An attachment is a part that has a name or is not text."""
        found: dict[bytes, None] = {}
        for part in self._parts:
            if part.media_type.startswith(("text/", "message/", "multipart/")) and not of_part(part)[0]:
                continue
            octets = decode_transfer(part.content, part.transfer_encoding)
            if len(octets) >= _LEAST_FILE:
                found[hashlib.sha256(octets).digest()] = None
            if len(found) >= _MAX_FILES:
                break
        return tuple(found)


def plain_fields(headers: Sequence[Header]) -> list[Field] | None:
    """The fields that parsing the header as octets (antispam.mail.message.as_octets) would yield, without parsing it.
    None if some name or line end could make them differ.
    """
    names = b"".join([name + b"\n" for name, _ in headers])
    if names.count(b"\n") != len(headers) or not _FIELD_NAMES.fullmatch(names):
        return None
    found = []
    for name, value in headers:
        if b"\n" in value:
            value = value.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
            if _NO_FOLD.search(value):
                return None
        found.append(_as_field((name, value + b"\r\n", b"")))
    return found


def _line(texts: list[bytes]) -> str:
    return from_wire(" ".join(b" ".join(texts).decode("utf-8", "replace").split()), _MAX_TEXT)


def _undisguised(text: str) -> str:
    """The text with each disguised word replaced by the word that it imitates."""
    left = _MAX_READ_ANEW

    def read_anew(found: re.Match[str]) -> str:
        nonlocal left
        word = found[0]
        if (word.isascii() and word.isalpha()) or left <= 0:
            return word
        left -= 1
        meant = readings(word.encode("utf-8", "replace"))
        return meant[0].decode() if meant else word

    return _WORD.sub(read_anew, text)


def shown(message: Message) -> Shown:
    """The Shown of this message, made once."""
    known = message.memo.get(_MEMO)
    if not isinstance(known, Shown):
        known = message.memo[_MEMO] = Shown(message)
    return known
