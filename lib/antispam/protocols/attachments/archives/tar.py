"""Tar archives: POSIX ustar and pax, GNU, and the old ones.

Readers disagree on where the next header stands once a size lies, so that every block with a checksum that is right counts
as one.  IEEE Std 1003.1, pax; GNU tar manual, "Basic Tar Format".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from _unpacking import LIMIT, Budget, Fault
from antispam.protocols.attachments.archives.item import Item

_BLOCK = 512
_HEAD = 4096
_MAX_NAME = 4096
_CHECKSUM = re.compile(rb"[ 0]*([0-7]{1,7})[\0 ]")
_SIZE = re.compile(rb"[ \0]*([0-7]{1,12})")
_PAX_NAME = re.compile(rb"(?:^|\n)\d{1,9} (?:path|GNU\.sparse\.name)=([^\n]{1,4096}+)")
_LONG_NAME, _PAX = b"LK", b"xgX"


def items(content: bytes, budget: Budget) -> Iterator[Item]:
    """The members, and the longer names that stand in front of them."""
    for at in range(0, len(content) - _BLOCK + 1, _BLOCK):
        if not at & 0xFFFFF:
            budget.tick()
        if not _is_header(content, at):
            continue
        if budget.entries <= 0:
            yield Item(LIMIT, detail="too many entries in archives")
            return
        budget.entries -= 1
        start, end = at + _BLOCK, at + _BLOCK + _size(content, at, len(content))
        kind = content[at + 156 : at + 157]
        if kind in _LONG_NAME:
            yield Item(name=_text(content[start : min(end, start + _MAX_NAME)].split(b"\0", 1)[0]))
        elif kind in _PAX:
            extended = content[start : min(end, start + 16 * _MAX_NAME)]
            yield from (Item(name=_text(found[1])) for found in _PAX_NAME.finditer(extended))
        else:
            head = content[start : min(end, start + _HEAD)]
            yield Item(name=_name(content, at), head=head, whole=partial(_slice, content, start, end, budget))


def _is_header(content: bytes, at: int) -> bool:
    """Whether the block has a name and its own checksum, with octets signed or not."""
    found = _CHECKSUM.match(content, at + 148, at + 156)
    if not found or not content[at]:
        return False
    stated = int(found[1], 8)
    block = content[at : at + 148] + b" " * 8 + content[at + 156 : at + _BLOCK]
    total = sum(block)
    return stated == total or stated == total - 256 * sum(octet > 127 for octet in block)


def _size(content: bytes, at: int, most: int) -> int:
    field = content[at + 124 : at + 136]
    if field[0] & 0x80:  # GNU: in base 256
        return min(most, int.from_bytes(field[1:], "big"))
    found = _SIZE.match(field)
    return min(most, int(found[1], 8)) if found else 0


def _name(content: bytes, at: int) -> str:
    name = content[at : at + 100].split(b"\0", 1)[0]
    prefix = content[at + 345 : at + 500].split(b"\0", 1)[0] if content.startswith(b"ustar", at + 257) else b""
    return _text(prefix + b"/" + name if prefix else name)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _slice(content: bytes, start: int, end: int, budget: Budget) -> tuple[bytes, Fault | None]:
    octets = content[start:end]
    budget.unpacked -= len(octets)  # members may claim the same octets
    return octets, (LIMIT, "too many bytes in archives") if budget.unpacked < 0 else None
