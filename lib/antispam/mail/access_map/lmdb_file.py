"""Read-only access to lmdb files, as written by `postmap lmdb:`, without the library.

The library maps the file into memory and trusts it: a damaged file ends the process (SIGBUS, SIGABRT, SIGSEGV). Nothing
in the file is trusted here. Each offset, length and page number is checked, no page is read twice, and no more octets
are returned than the file has.

Format: the on-disk structures of LMDB 0.9 (data version 1), with the pointers of a 64-bit machine in its own byte
order.
"""

from __future__ import annotations

import dataclasses
import os
import struct
from collections.abc import Iterator
from pathlib import Path

_MAGIC = 0xBEEFC0DE
_VERSION = 1
_NO_PAGE = 2**64 - 1  # the root of an empty tree
_PAGE_SIZES = tuple(1 << bits for bits in range(9, 17))
_MAX_DEPTH = 32

_HEADER = struct.Struct("=Q2xHHH")  # of every page: its number, flags, end of the pointers, start of the nodes
_OVERFLOW_HEADER = struct.Struct("=Q2xHI")  # number, flags, how many pages
# Magic, version, (map), free tree: page size (and more); main tree: flags, depth, (counts), root; last page, transaction.
_META = struct.Struct("=II16xI44x4xHH32xQQQ")
_NODE = struct.Struct(
    "=HHHH"
)  # size (low, high), flags, length of the key; in a branch, all but the last form the number of the page below

_BRANCH, _LEAF, _OVERFLOW, _META_PAGE = 0x01, 0x02, 0x04, 0x08
_BIG, _DUPLICATES = 0x01, 0x06  # a value on pages of its own; trees of their own


class LmdbError(ValueError):
    """The file is damaged, or not an lmdb file that can be read. The message names the file."""


def read_lmdb(path: str | os.PathLike[str]) -> Iterator[tuple[bytes, bytes]]:
    """All (key, value) pairs of the main database of the file at `path`, sorted by key. Raises LmdbError for anything that is
    not a sound file with one plain database, and OSError."""
    with Path(path).open("rb") as file:
        yield from _Reader(file.fileno(), os.fspath(path)).pairs()


@dataclasses.dataclass(frozen=True, slots=True)
class _Meta:
    page_size: int
    root: int
    transaction: int


class _Reader:
    def __init__(self, descriptor: int, name: str) -> None:
        self._descriptor = descriptor
        self._name = name
        self._size = os.fstat(descriptor).st_size
        self._seen: set[int] = set()
        first = self._meta(0)
        metas = (first, self._meta(first.page_size))
        newest = max(metas, key=lambda meta: meta.transaction)
        if newest.page_size != first.page_size:
            raise self._error("its two descriptions contradict each other")
        self._page_size, self._root = newest.page_size, newest.root

    def pairs(self) -> Iterator[tuple[bytes, bytes]]:
        if self._root != _NO_PAGE:
            yield from self._walk(self._root, 1)

    def _meta(self, start: int) -> _Meta:
        raw = os.pread(self._descriptor, _HEADER.size + _META.size, start)
        if len(raw) < _HEADER.size + _META.size:
            raise self._error("not an lmdb file")
        magic, version, page_size, _, _, root, _, transaction = _META.unpack_from(raw, _HEADER.size)
        flags = _HEADER.unpack_from(raw)[1]
        if magic != _MAGIC or not flags & _META_PAGE or page_size not in _PAGE_SIZES:
            raise self._error("not an lmdb file of this machine's byte order")
        if version != _VERSION:
            raise self._error(f"an lmdb file of version {version}, which cannot be read")
        return _Meta(page_size, root, transaction)

    def _walk(self, number: int, depth: int) -> Iterator[tuple[bytes, bytes]]:
        if depth > _MAX_DEPTH:
            raise self._error("damaged: its tree is too deep")
        page = self._page(number, 1)
        _, flags, lower, _ = _HEADER.unpack_from(page)
        if flags & ~0x10 not in (_BRANCH, _LEAF):
            raise self._error(f"damaged, or more than a plain map: page {number} is of kind {flags:#x}")
        if not _HEADER.size <= lower <= len(page):
            raise self._error(f"damaged: page {number}")
        for place in range(_HEADER.size, lower - 1, 2):
            (offset,) = struct.unpack_from("=H", page, place)
            if offset + _NODE.size > len(page):
                raise self._error(f"damaged: page {number}")
            if flags & _LEAF:
                yield self._pair(page, offset, number)
            else:
                low, high, top, _ = _NODE.unpack_from(page, offset)
                yield from self._walk(low | high << 16 | top << 32, depth + 1)

    def _pair(self, page: bytes, offset: int, number: int) -> tuple[bytes, bytes]:
        low, high, flags, key_length = _NODE.unpack_from(page, offset)
        if flags & _DUPLICATES:
            raise self._error("more than a plain map: keys with several values")
        begin, length = offset + _NODE.size, low | high << 16
        data = begin + key_length
        end = data + (8 if flags & _BIG else length)
        if end > len(page):
            raise self._error(f"damaged: page {number}")
        key = page[begin:data]
        if not flags & _BIG:
            return key, page[data:end]
        (elsewhere,) = struct.unpack_from("=Q", page, data)
        return key, self._big(elsewhere, length)

    def _big(self, number: int, length: int) -> bytes:
        """A value that fills pages of its own."""
        count = -(-(length + _OVERFLOW_HEADER.size) // self._page_size)
        pages = self._page(number, count)
        _, flags, claimed = _OVERFLOW_HEADER.unpack_from(pages)
        if not flags & _OVERFLOW or claimed < count:
            raise self._error(f"damaged: page {number}")
        return pages[_OVERFLOW_HEADER.size :][:length]

    def _page(self, number: int, count: int) -> bytes:
        """Consecutive pages. Raises LmdbError if one was read before: a tree has no cycles."""
        start, octets = number * self._page_size, count * self._page_size
        if number < 2 or start + octets > self._size:
            raise self._error(f"truncated, or damaged: page {number} is not in it")
        if number in self._seen:
            raise self._error(f"damaged: page {number} is there twice")
        self._seen.add(number)
        raw = os.pread(self._descriptor, octets, start)
        if len(raw) < octets or _HEADER.unpack_from(raw)[0] != number:
            raise self._error(f"damaged: page {number}")
        return raw

    def _error(self, what: str) -> LmdbError:
        return LmdbError(f"{self._name}: {what}")
