"""TNEF (winmail.dat): what Outlook wraps attachments in.  [MS-OXTNEF] 2.1, [MS-OXPROPS].

A reader of our own: the library for it had its last release in 2021, reads one name of an attachment where readers
differ, and stops at the first attribute that it does not know.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from _unpacking import LIMIT, UNREADABLE, Budget
from antispam.protocols.attachments.archives.item import Item

_ATTRIBUTE = struct.Struct("<BLL")
_RENDERING, _TITLE, _DATA, _PROPERTIES = 0x00069002, 0x00018010, 0x0006800F, 0x00069005
_TRANSPORT_NAME = 0x00069001
_HEAD = 4096
# MAPI: names of an attachment (display name, extension, short and long name) and its content.
_NAMES = frozenset({0x3001, 0x3703, 0x3704, 0x3707})
_CONTENT = 0x3701
_OBJECT, _STRING, _UNICODE, _BINARY = 0x000D, 0x001E, 0x001F, 0x0102
_FIXED = {2: 4, 3: 4, 4: 4, 5: 8, 6: 8, 7: 8, 0xA: 4, 0xB: 4, 0x14: 8, 0x40: 8, 0x48: 16}
_MANY = 0x1000
_MAX_PROPERTIES = 2_000


def items(content: bytes, budget: Budget) -> Iterator[Item]:
    """The attachments, under each of their names."""
    at = 6
    name = ""
    while at < len(content):
        budget.tick()
        budget.entries -= 1
        if budget.entries < 0:
            yield Item(LIMIT, detail="too many entries in archives")
            return
        if at + 9 > len(content):
            return
        level, kind, length = _ATTRIBUTE.unpack_from(content, at)
        value = content[at + 9 : at + 9 + length]
        if level not in {1, 2} or len(value) < length:
            yield Item(UNREADABLE, detail="damaged winmail.dat")
            if level not in {1, 2}:
                return
        if kind == _RENDERING:
            name = ""
        elif kind in {_TITLE, _TRANSPORT_NAME}:
            name = _text(value, _STRING)
            yield Item(name=name)
        elif kind == _DATA:
            yield _file(name, value)
        elif kind == _PROPERTIES:
            yield from _properties(value, name)
        at += 9 + length + 2


def _file(name: str, octets: bytes) -> Item:
    return Item(name=name, head=octets[:_HEAD], whole=lambda: (octets, None))


def _text(raw: bytes, kind: int) -> str:
    if kind == _UNICODE:
        return raw.decode("utf-16-le", "replace").rstrip("\0")
    try:
        return raw.decode("utf-8").rstrip("\0")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace").rstrip("\0")


def _properties(block: bytes, name: str) -> Iterator[Item]:
    """Names and content that stand in the MAPI properties of an attachment."""
    for number, (tag, kind, value) in enumerate(_values(block)):
        if number >= _MAX_PROPERTIES:
            yield Item(LIMIT, detail="too many properties in winmail.dat")
            return
        if tag in _NAMES and kind in {_STRING, _UNICODE}:
            name = _text(value[:4096], kind)
            yield Item(name=name)
        elif tag == _CONTENT and kind in {_OBJECT, _BINARY}:
            # An object begins with the identifier of its interface.
            yield _file(name, value[16:] if kind == _OBJECT else value)


def _values(block: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(property, type, value) until the end, or until something makes no sense."""
    at = 4
    while at + 4 <= len(block):
        kind, tag = struct.unpack_from("<HH", block, at)
        at += 4
        if tag >= 0x8000:
            at = _behind_name(block, at)
        many, kind = kind & _MANY, kind & ~_MANY
        if kind in {_OBJECT, _STRING, _UNICODE, _BINARY}:
            if at + 4 > len(block):
                return
            count, at = _long(block, at), at + 4
            for _ in range(min(count, _MAX_PROPERTIES)):
                if at + 4 > len(block):
                    return
                length = _long(block, at)
                yield tag, kind, block[at + 4 : at + 4 + length]
                at += 4 + length + -length % 4
        elif size := _FIXED.get(kind):
            count = 1
            if many:
                count, at = (_long(block, at) if at + 4 <= len(block) else 0), at + 4
            yield tag, kind, b""
            at += count * size
        else:
            return


def _behind_name(block: bytes, at: int) -> int:
    """A named property: an identifier, then a number or a name padded to four octets."""
    if at + 24 > len(block):
        return len(block)
    if not _long(block, at + 16):
        return at + 24
    length = _long(block, at + 20)
    return at + 24 + length + -length % 4


def _long(block: bytes, at: int) -> int:
    value: int = struct.unpack_from("<L", block, at)[0]
    return value
