"""Files that are one compressed stream, or several behind one another: gzip (RFC 1952), bzip2, xz and LZMA."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import _unpacking
from _unpacking import LIMIT, Budget, Decompressor, Fault
from antispam.protocols.attachments.archives.item import Item

_HEAD = 4096
_MAX_NAME = 1024
_EXTRA, _NAMED = 4, 8  # flags of gzip


def gzip_items(content: bytes, budget: Budget) -> Iterator[Item]:
    """What is in a gzip file, under the name that its header gives."""
    yield _item(content, partial(_unpacking.Inflate, 31), budget, _gzip_name(content))


def bzip2_items(content: bytes, budget: Budget) -> Iterator[Item]:
    """What is in a bzip2 file."""
    yield _item(content, _unpacking.bzip2, budget)


def xz_items(content: bytes, budget: Budget) -> Iterator[Item]:
    """What is in an xz or LZMA file."""
    yield _item(content, _unpacking.xz, budget)


def _item(content: bytes, stream: Callable[[], Decompressor], budget: Budget, name: str = "") -> Item:
    head = _unpacking.peek(stream(), content, 0, len(content), _HEAD)
    return Item(name=name, head=head, whole=partial(_whole, content, stream, budget))


def _whole(content: bytes, stream: Callable[[], Decompressor], budget: Budget) -> tuple[bytes, Fault | None]:
    """All streams of the file, joined, as the programs do; what follows the last one is padding."""
    pieces: list[bytes] = []
    at = 0
    while at < len(content):
        if budget.entries <= 0:
            return b"".join(pieces), (LIMIT, "too many entries in archives")
        budget.entries -= 1
        made, end, fault = _unpacking.unpack(stream(), content, at, len(content), budget)
        if fault and pieces and not made:
            return b"".join(pieces), None
        pieces.append(made)
        if fault:
            return b"".join(pieces), fault
        at = end
    return b"".join(pieces), None


def _gzip_name(content: bytes) -> str:
    """RFC 1952 section 2.3: FNAME, in Latin-1, ends with a NUL; many programs write UTF-8."""
    flags = content[3] if len(content) > 10 else 0
    if not flags & _NAMED:
        return ""
    at = 10
    if flags & _EXTRA:
        at += 2 + int.from_bytes(content[10:12], "little")
    raw = content[at : at + _MAX_NAME].split(b"\0", 1)[0]
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
