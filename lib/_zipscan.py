"""Look into a zip archive that a stranger sent, without unpacking anything to disk.

Nothing in such an archive can be believed: the directory at its end, the headers in front of each entry and the sizes in
both may contradict each other, and readers differ in what they believe.  So both kinds of headers are looked for in all of
the bytes, and the names of both count.  Entries that are archives themselves are unpacked in memory within a budget that
all of a message shares.  PKWARE APPNOTE 6.3.10.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

_LOCAL = b"PK\x03\x04"
_CENTRAL = b"PK\x01\x02"
_END = b"PK\x05\x06"
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_CENTRAL_HEADER = struct.Struct("<4s6H3L5H2L")
_ENCRYPTED = 0x2041  # encrypted, strongly encrypted, or with a masked directory
_SIZES_FOLLOW = 0x0008
_UTF8 = 0x0800
_STORED, _DEFLATED = 0, 8
_UNKNOWN_SIZE = 0xFFFFFFFF
_NESTED = (".zip", ".jar", ".war", ".docx", ".docm", ".xlsx", ".xlsm", ".pptx", ".pptm", ".apk", ".xpi", ".odt", ".ods")
# Below this much output no ratio is suspicious: an empty spreadsheet shrinks a thousand times as well.
_RATIO_FREE = 1 << 20

LIMIT = "limit"
ENCRYPTED = "encrypted-archive"
UNREADABLE = "unreadable-archive"
OVERLAP = "archive-overlap"
SIZES = "archive-sizes"
PATH = "archive-path"
NAME = "name"


@dataclass(slots=True)
class Budget:
    """What may still be spent on the archives of one message."""

    entries: int = 5_000
    unpacked: int = 64 << 20
    ratio: int = 200
    depth: int = 4


@dataclass(frozen=True, slots=True)
class Seen:
    """Something in an archive: kind NAME with an entry's name, or a fault.  `where` is the way through nested archives."""

    kind: str
    name: str
    where: tuple[str, ...] = ()
    detail: str = ""


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    flags: int
    method: int
    packed: int
    size: int
    at: int  # where this header stands
    start: int  # where the local header stands, as this header says
    data: int  # where the packed bytes start; -1 in the directory


def looks_like_zip(content: bytes) -> bool:
    """Whether some reader would open this as a zip: one at the start, or one at the end of something else."""
    return content.startswith((_LOCAL, _END)) or content.rfind(_END, max(0, len(content) - 65_557)) >= 0


def scan(content: bytes, budget: Budget, where: tuple[str, ...] = ()) -> Iterator[Seen]:
    """All names in the archive and all that is wrong with it.  Never raises; `budget` is used up."""
    local: list[_Entry] = []
    central: list[_Entry] = []
    for signature, entries, read in ((_LOCAL, local, _local), (_CENTRAL, central, _central)):
        at = content.find(signature)
        while at >= 0:
            if budget.entries <= 0:
                yield Seen(LIMIT, "", where, "too many entries in archives")
                return
            if entry := read(content, at):
                budget.entries -= 1
                entries.append(entry)
                yield from _look_at_name(entry, where)
            at = content.find(signature, at + 4)
    if not local and not central:
        if not (len(content) == 22 and content.startswith(_END)):
            yield Seen(UNREADABLE, "", where, "no entry found")
        return
    yield from _overlaps(content, central, where)
    yield from _contradictions(local, central, len(content), budget, where)
    for entry in local:
        yield from _nested(content, entry, central, budget, where)


def _look_at_name(entry: _Entry, where: tuple[str, ...]) -> Iterator[Seen]:
    yield Seen(NAME, entry.name, where)
    if entry.flags & _ENCRYPTED:
        yield Seen(ENCRYPTED, entry.name, where)
    parts = entry.name.replace("\\", "/").split("/")
    if ".." in parts or entry.name.startswith(("/", "\\")) or entry.name[1:2] == ":" or "\0" in entry.name:
        yield Seen(PATH, entry.name, where, "the name leaves the folder")


def _name(raw: bytes, flags: int) -> str:
    if flags & _UTF8:
        return raw.decode("utf-8", "replace")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp437")


def _local(content: bytes, at: int) -> _Entry | None:
    if at + 30 > len(content):
        return None
    _, _, flags, method, _, _, _, packed, size, name, extra = _LOCAL_HEADER.unpack_from(content, at)
    data = at + 30 + name + extra
    if at + 30 + name > len(content):
        return None
    return _Entry(_name(content[at + 30 : at + 30 + name], flags), flags, method, packed, size, at, at, data)


def _central(content: bytes, at: int) -> _Entry | None:
    if at + 46 > len(content):
        return None
    values = _CENTRAL_HEADER.unpack_from(content, at)
    flags, method, packed, size, name, start = values[3], values[4], values[8], values[9], values[10], values[16]
    if at + 46 + name > len(content):
        return None
    return _Entry(_name(content[at + 46 : at + 46 + name], flags), flags, method, packed, size, at, start, -1)


def _overlaps(content: bytes, central: list[_Entry], where: tuple[str, ...]) -> Iterator[Seen]:
    """Entries of one directory that share bytes: a small archive that unpacks to petabytes."""
    at = 0
    while at < len(central):
        # A stored archive inside of this one brings a directory of its own, whose offsets count from its own start.
        stop = content.find(_END, central[at].at)
        group = []
        while at < len(central) and (stop < 0 or central[at].at < stop):
            group.append(central[at])
            at += 1
        ordered = sorted((entry.start, entry.start + 30 + entry.packed, entry.name) for entry in group)
        for (_, end, name), (start, _, other) in pairwise(ordered):
            if end > start and end - start - 30 < _UNKNOWN_SIZE:
                yield Seen(OVERLAP, name, where, f"overlaps {other!r}")
                return


def _contradictions(
    local: list[_Entry], central: list[_Entry], length: int, budget: Budget, where: tuple[str, ...]
) -> Iterator[Seen]:
    packed = {entry.name: entry for entry in local if not entry.flags & _SIZES_FOLLOW}
    for entry in central:
        twin = packed.get(entry.name)
        if twin and _UNKNOWN_SIZE not in {twin.packed, entry.packed, twin.size, entry.size}:
            same_start = twin.start == entry.start
            if same_start and (twin.packed, twin.size) != (entry.packed, entry.size):
                yield Seen(SIZES, entry.name, where, "the directory and the entry state different sizes")
                break
    promised = sum(entry.size for entry in central if entry.size != _UNKNOWN_SIZE)
    if promised > max(budget.ratio * length, _RATIO_FREE * 16):
        yield Seen(LIMIT, "", where, f"{promised} bytes packed into {length}")


def _nested(
    content: bytes, entry: _Entry, central: list[_Entry], budget: Budget, where: tuple[str, ...]
) -> Iterator[Seen]:
    """Go into an entry that is an archive, by its name or by its first bytes."""
    if entry.flags & _ENCRYPTED:
        return
    named = entry.name.lower().endswith(_NESTED)
    if entry.method not in {_STORED, _DEFLATED}:
        if named:
            yield Seen(UNREADABLE, entry.name, where, f"compression method {entry.method}")
        return
    if not named and not _first_bytes(content, entry).startswith((_LOCAL, _END)):
        return
    here = (*where, entry.name)
    if entry.method == _STORED:
        # Headers of stored archives were found in the outer bytes; only what they compress is left to look at.
        return
    if len(here) > budget.depth:
        yield Seen(LIMIT, entry.name, where, "archives nested too deep")
        return
    inner, fault = _inflate(content, entry, budget)
    if fault:
        yield Seen(LIMIT if fault != UNREADABLE else UNREADABLE, entry.name, where, fault)
    if inner:
        yield from scan(inner, budget, here)


def _first_bytes(content: bytes, entry: _Entry) -> bytes:
    if entry.method == _STORED:
        return content[entry.data : entry.data + 4]
    try:
        return zlib.decompressobj(-15).decompress(content[entry.data : entry.data + 512], 4)
    except zlib.error:
        return b""


def _inflate(content: bytes, entry: _Entry, budget: Budget) -> tuple[bytes, str]:
    """Unpack in steps, so that a lie about the size costs no more than the budget.  Returns the bytes and a fault."""
    unpacker = zlib.decompressobj(-15)
    pieces: list[bytes] = []
    made = 0
    at = entry.data
    step = 1 << 16
    pending = b""
    while not unpacker.eof:
        if not pending:
            pending = content[at : at + step]
            at += step
            if not pending:
                return b"".join(pieces), UNREADABLE
        try:
            piece = unpacker.decompress(pending, step * 4)
        except zlib.error:
            return b"".join(pieces), UNREADABLE
        pending = unpacker.unconsumed_tail
        made += len(piece)
        budget.unpacked -= len(piece)
        pieces.append(piece)
        used = max(1, min(at, len(content)) - entry.data - len(pending))
        if budget.unpacked < 0:
            return b"".join(pieces), "too many bytes in archives"
        if made > _RATIO_FREE and made > used * budget.ratio:
            return b"".join(pieces), "compressed too well"
    return b"".join(pieces), ""
