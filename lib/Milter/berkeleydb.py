"""Read-only access to Berkeley DB hash files, as `makemap hash` (sendmail) and `postmap hash:` (Postfix) write them.

Every page is visited once, in file order; the hash function is not needed, since the whole map is wanted. Nothing in the
file is believed: each offset, length and page number is checked, chains are bounded, and no more octets are handed out
than the file has, whatever it claims.

Format: Berkeley DB's reference manual and the on-disk structures of releases 3.1 to 6.2 (hash versions 7 to 10).
"""

from __future__ import annotations

import dataclasses
import os
import struct
from collections.abc import Iterator
from pathlib import Path

MAX_FILE_BYTES = 256 * 1024 * 1024

HASH_MAGIC = 0x061561
_BTREE_MAGIC = 0x053162
_VERSIONS = range(7, 11)
_META_BYTES = 512
_HEADER_BYTES = 26  # of every page
_PAGE_SIZES = tuple(1 << bits for bits in range(9, 17))

# Types of pages.
_INVALID, _HASH_UNSORTED, _INTERNAL_BTREE, _INTERNAL_RECNO = 0, 2, 3, 4
_LEAF_RECNO, _OVERFLOW, _LEAF_DUPLICATES, _HASH = 6, 7, 12, 13
# Types of items in a hash page, and in a leaf of duplicates.
_KEYDATA, _DUPLICATE, _OFFPAGE, _OFFDUP = 1, 2, 3, 4
_LEAF_KEYDATA, _LEAF_OVERFLOW = 1, 3
_DELETED = 0x80
_MAX_TREE_DEPTH = 32


class BerkeleyDBError(ValueError):
    """The file is not a Berkeley DB hash that can be read, or it is damaged. The message names the file and the page."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Page:
    number: int
    next: int
    entries: int
    used: int  # hf_offset: on an overflow page the number of octets held
    kind: int
    raw: bytes


def read_hash(path: str | os.PathLike[str], max_bytes: int = MAX_FILE_BYTES) -> Iterator[tuple[bytes, bytes]]:
    """All (key, value) pairs of the hash file at `path`, in the file's order; a key with duplicates comes once for each.

    Keys and values are as stored: Postfix ends both with a NUL octet. Raises BerkeleyDBError for anything that is not a
    sound, plain (unencrypted, without checksums, unpartitioned) hash of at most `max_bytes`, and OSError.
    """
    with Path(path).open("rb") as file:
        yield from _Reader(file.fileno(), os.fspath(path), max_bytes).pairs()


class _Reader:
    def __init__(self, fd: int, name: str, max_bytes: int) -> None:
        self._fd = fd
        self._name = name
        self._size = os.fstat(fd).st_size
        self._budget = self._size
        if self._size > max_bytes:
            raise BerkeleyDBError(f"{name}: {self._size} octets are more than the {max_bytes} that are read of a map")
        meta = os.pread(fd, _META_BYTES, 0)
        self._order = self._byte_order(meta)
        version, self._page_size = struct.unpack_from(self._order + "II", meta, 16)
        encryption, kind, flags = meta[24], meta[25], meta[26]
        last_page, partitions = struct.unpack_from(self._order + "II", meta, 32)
        if version not in _VERSIONS:
            raise BerkeleyDBError(f"{name}: Berkeley DB hash version {version} is not one of 7 to 10")
        if self._page_size not in _PAGE_SIZES:
            raise BerkeleyDBError(f"{name}: a page size of {self._page_size} octets is not possible")
        if kind != 8:
            raise self._damaged(0, f"a page of type {kind} stands where the hash's description should be")
        if encryption or flags or (partitions and version > 8):
            raise BerkeleyDBError(f"{name}: encrypted, checksummed and partitioned files are not supported")
        self._pages = last_page + 1
        if self._pages * self._page_size > self._size:
            raise BerkeleyDBError(f"{name}: truncated: {self._pages} pages announced, {self._size} octets found")

    def pairs(self) -> Iterator[tuple[bytes, bytes]]:
        for number in range(1, self._pages):
            page = self._page(number)
            if page.kind not in (_HASH, _HASH_UNSORTED):
                continue
            if page.number != number:
                raise self._damaged(number, f"it calls itself page {page.number}")
            items = self._items(page)
            if len(items) % 2:
                raise self._damaged(number, "a key has no value")
            for key, value in zip(items[::2], items[1::2], strict=True):
                name = b"".join(self._values(key, number))
                for data in self._values(value, number):
                    yield name, data

    def _byte_order(self, meta: bytes) -> str:
        if len(meta) < _META_BYTES:
            raise BerkeleyDBError(f"{self._name}: not a Berkeley DB file ({self._size} octets)")
        for order in "<>":
            magic = struct.unpack_from(order + "I", meta, 12)[0]
            if magic == HASH_MAGIC:
                return order
            if magic == _BTREE_MAGIC:
                raise BerkeleyDBError(f"{self._name}: a Berkeley DB btree; build the map as type hash")
            if struct.unpack_from(order + "I", meta, 0)[0] == HASH_MAGIC:
                raise BerkeleyDBError(f"{self._name}: a Berkeley DB 1.85 hash, too old; build the map anew")
        raise BerkeleyDBError(f"{self._name}: not a Berkeley DB file")

    def _damaged(self, page: int, what: str) -> BerkeleyDBError:
        return BerkeleyDBError(f"{self._name}: damaged: page {page}: {what}")

    def _spend(self, octets: int, page: int) -> None:
        """A sound file can't hold more than its own size; a hostile one might point to one chain a thousand times."""
        self._budget -= octets
        if self._budget < 0:
            raise self._damaged(page, "the items add up to more than the file")

    def _page(self, number: int) -> _Page:
        if not 0 < number < self._pages:
            raise self._damaged(number, f"no such page, the last is {self._pages - 1}")
        raw = os.pread(self._fd, self._page_size, number * self._page_size)
        if len(raw) != self._page_size:
            raise self._damaged(number, "cut short")
        own, _, following, entries, used = struct.unpack_from(self._order + "IIIHH", raw, 8)
        return _Page(own, following, entries, used, raw[25], raw)

    def _offsets(self, page: _Page) -> tuple[int, ...]:
        if _HEADER_BYTES + 2 * page.entries > self._page_size:
            raise self._damaged(page.number, f"{page.entries} entries don't fit")
        return struct.unpack_from(f"{self._order}{page.entries}H", page.raw, _HEADER_BYTES)

    def _items(self, page: _Page) -> list[bytes]:
        """The items of a hash page. They lie one below the other, from the end of the page down (hence no lengths)."""
        items = []
        lowest, end = _HEADER_BYTES + 2 * page.entries, self._page_size
        for offset in self._offsets(page):
            if not lowest <= offset < end:
                raise self._damaged(page.number, f"an item at {offset} overlaps its neighbours")
            items.append(page.raw[offset:end])
            end = offset
        return items

    def _values(self, item: bytes, page: int) -> Iterator[bytes]:
        """What one item of a hash page stands for: one value, or several where it holds duplicates."""
        kind = item[0]
        if kind == _KEYDATA:
            self._spend(len(item), page)
            yield item[1:]
        elif kind == _DUPLICATE:
            self._spend(len(item), page)
            yield from self._inline_duplicates(item, page)
        elif kind == _OFFPAGE and len(item) == 12:
            first, length = struct.unpack_from(self._order + "II", item, 4)
            yield self._overflow(first, length)
        elif kind == _OFFDUP and len(item) == 8:
            yield from self._duplicate_tree(struct.unpack_from(self._order + "I", item, 4)[0])
        else:
            raise self._damaged(page, f"an item of type {kind} and {len(item)} octets is not known")

    def _inline_duplicates(self, item: bytes, page: int) -> Iterator[bytes]:
        """Each duplicate stands between its length and its length again."""
        at = 1
        while at < len(item):
            if at + 4 > len(item):
                raise self._damaged(page, "a duplicate is cut short")
            (length,) = struct.unpack_from(self._order + "H", item, at)
            end = at + 2 + length
            if end + 2 > len(item) or item[end : end + 2] != item[at : at + 2]:
                raise self._damaged(page, "a duplicate's lengths differ")
            yield item[at + 2 : end]
            at = end + 2

    def _overflow(self, number: int, length: int) -> bytes:
        """An item too big for its page: a chain of overflow pages that holds exactly `length` octets."""
        self._spend(length, number)
        parts = []
        while length > 0:
            page = self._page(number)
            if page.kind != _OVERFLOW or page.number != number:
                raise self._damaged(number, "not the overflow page that it should be")
            if not 0 < page.used <= min(length, self._page_size - _HEADER_BYTES):
                raise self._damaged(number, f"an overflow page holds {page.used} octets")
            parts.append(page.raw[_HEADER_BYTES : _HEADER_BYTES + page.used])
            length -= page.used
            number = page.next
        return b"".join(parts)

    def _duplicate_tree(self, root: int) -> Iterator[bytes]:
        """Duplicates too many for their page: leaves chained left to right below a small tree."""
        number = self._leftmost_leaf(root)
        while number:
            page = self._page(number)
            self._spend(self._page_size, number)  # bounds a chain that bites its tail
            if page.kind not in (_LEAF_RECNO, _LEAF_DUPLICATES):
                raise self._damaged(number, f"a page of type {page.kind} stands among the duplicates")
            for offset in self._offsets(page):
                item = self._leaf_item(page, offset)
                if item is not None:
                    yield item
            number = page.next

    def _leftmost_leaf(self, number: int) -> int:
        for _ in range(_MAX_TREE_DEPTH):
            page = self._page(number)
            if page.kind not in (_INTERNAL_BTREE, _INTERNAL_RECNO):
                return number
            if not page.entries:
                raise self._damaged(number, "an inner page of duplicates is empty")
            offset = self._offsets(page)[0] + (4 if page.kind == _INTERNAL_BTREE else 0)
            if offset + 4 > self._page_size:
                raise self._damaged(number, "an inner page of duplicates points outside itself")
            (number,) = struct.unpack_from(self._order + "I", page.raw, offset)
        raise self._damaged(number, "the tree of duplicates has no end")

    def _leaf_item(self, page: _Page, offset: int) -> bytes | None:
        """The item of a leaf, None for one that is marked as deleted."""
        if not _HEADER_BYTES <= offset <= self._page_size - 3:
            raise self._damaged(page.number, "a duplicate lies outside its page")
        length, kind = struct.unpack_from(self._order + "HB", page.raw, offset)
        if kind & _DELETED:
            return None
        if kind == _LEAF_KEYDATA and offset + 3 + length <= self._page_size:
            return page.raw[offset + 3 : offset + 3 + length]
        if kind == _LEAF_OVERFLOW and offset + 12 <= self._page_size:
            first, total = struct.unpack_from(self._order + "II", page.raw, offset + 4)
            return self._overflow(first, total)
        raise self._damaged(page.number, f"a duplicate of type {kind} and {length} octets is not possible")
