"""Decompress what a stranger sent: in memory, in steps, and within a budget that all of a message shares."""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

_STEP = 1 << 14
# Below this much output no ratio is suspicious: an empty spreadsheet shrinks a thousand times as well.
RATIO_FREE = 1 << 20
# What a decompressor may allocate: `xz -9` needs 65 MiB, and senders of mail have no reason to exceed it.
_MAX_DICTIONARY = 66 << 20

LIMIT = "limit"
UNREADABLE = "unreadable-archive"

Fault = tuple[str, str]
"""LIMIT or UNREADABLE, and the words for it."""


def _go_on() -> None:
    """Nobody waits."""


@dataclass(slots=True)
class Budget:
    """What may still be spent on the archives of one message.

    entries, unpacked (octets), ratio (output to input), depth (archives inside of archives).
    `tick` is called at every step, and may raise to end the work.
    """

    entries: int = 5_000
    unpacked: int = 64 << 20
    ratio: int = 200
    depth: int = 4
    tick: Callable[[], object] = _go_on


class Decompressor(Protocol):
    """One compressed stream, as the standard library's bz2 and lzma read it."""

    @property
    def eof(self) -> bool:
        """Whether its end was reached."""

    @property
    def needs_input(self) -> bool:
        """Whether nothing comes without more input."""

    @property
    def unused_data(self) -> bytes:
        """What followed the end."""

    def decompress(self, data: bytes, max_length: int = -1, /) -> bytes:
        """Take input, give at most so many octets."""


class Inflate:
    """zlib's decompressor with the interface of the others; `bits` as in zlib: -15 raw, 31 gzip, 15 zlib."""

    def __init__(self, bits: int) -> None:
        self._zlib = zlib.decompressobj(bits)
        self._full = False

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        return not self._full and not self._zlib.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int = -1, /) -> bytes:
        made = self._zlib.decompress(self._zlib.unconsumed_tail + data, max(0, max_length))
        # zlib may hold more than it gave although it took all of its input.
        self._full = len(made) == max_length
        return made


def bzip2() -> Decompressor:
    """A bzip2 stream."""
    return bz2.BZ2Decompressor()


def xz() -> Decompressor:
    """An xz or a .lzma stream."""
    return lzma.LZMADecompressor(lzma.FORMAT_AUTO, memlimit=_MAX_DICTIONARY)


def zip_lzma(head: bytes) -> Decompressor | None:
    """The LZMA stream of a zip entry whose first 9 octets these are (APPNOTE 5.8.8); None if they make no sense."""
    if len(head) < 9 or head[2:4] != b"\x05\0" or head[4] >= 225:
        return None
    (dictionary,) = struct.unpack("<L", head[5:9])
    if dictionary > _MAX_DICTIONARY:
        return None
    kind = {"id": lzma.FILTER_LZMA1, "lc": head[4] % 9, "lp": head[4] // 9 % 5, "pb": head[4] // 45}
    kind["dict_size"] = max(dictionary, 4096)
    try:
        return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[kind])
    except (lzma.LZMAError, ValueError):
        return None


def unpack(stream: Decompressor, content: bytes, at: int, end: int, budget: Budget) -> tuple[bytes, int, Fault | None]:
    """What the stream at content[at:end] unpacks to, where it ends, and why that is not all of it.

    A lie about its size costs no more than the budget.
    """
    out = bytearray()
    start = at
    while not stream.eof:
        budget.tick()
        piece = b""
        if stream.needs_input:
            piece = content[at : min(at + _STEP, end)]
            at += len(piece)
            if not piece:
                return bytes(out), at, (UNREADABLE, "it ends too early")
        try:
            made = stream.decompress(piece, 16 * _STEP)
        except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, MemoryError):
            return bytes(out), at, (UNREADABLE, "it is damaged")
        out += made
        budget.unpacked -= len(made)
        if budget.unpacked < 0:
            return bytes(out), at, (LIMIT, "too many bytes in archives")
        if len(out) > RATIO_FREE and len(out) > (at - start) * budget.ratio:
            return bytes(out), at, (LIMIT, "compressed too well")
    return bytes(out), at - len(stream.unused_data), None


def peek(stream: Decompressor, content: bytes, at: int, end: int, length: int = 4096) -> bytes:
    """The first octets that the stream at content[at:end] unpacks to, as many as come easily."""
    try:
        return stream.decompress(content[at : min(at + 2 * length, end)], length)
    except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, MemoryError):
        return b""
