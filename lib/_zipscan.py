"""Look into a zip archive that a stranger sent, without unpacking anything to disk.

Nothing in such an archive can be believed: the directory at its end, the headers in front of each entry and the sizes in
both may contradict each other, and readers differ in what they believe.  So both kinds of headers are looked for in all of
the bytes, and the names of both count, with those that extra fields give.  Entries are unpacked in memory within a budget
that all of a message shares.  PKWARE APPNOTE 6.3.10.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import _unpacking
from _unpacking import LIMIT as LIMIT
from _unpacking import RATIO_FREE, Decompressor, Fault
from _unpacking import UNREADABLE as UNREADABLE
from _unpacking import Budget as Budget

_LOCAL = b"PK\x03\x04"
_CENTRAL = b"PK\x01\x02"
_END = b"PK\x05\x06"
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_CENTRAL_HEADER = struct.Struct("<4s6H3L5H2L")
_ENCRYPTED = 0x2041  # encrypted, strongly encrypted, or with a masked directory
_SIZES_FOLLOW = 0x0008
_UTF8 = 0x0800
# Compression methods (APPNOTE 4.4.5), and the one that says that WinZip's encryption hides the true one.
_STORED = 0
_DEFLATED = 8
_BZIP2 = 12
_LZMA = 14
_XZ = 95
_AES = 99
_UNKNOWN_SIZE = 0xFFFFFFFF
_NESTED = (".zip", ".jar", ".war", ".docx", ".docm", ".xlsx", ".xlsm", ".pptx", ".pptm", ".apk", ".xpi", ".odt", ".ods")
# The Info-ZIP Unicode Path extra field (APPNOTE 4.6.9): unzip and 7-Zip write the file under this name.
_UNICODE_PATH = b"up"
_MAX_PATHS = 4  # of them in one header
# A header states names of up to 64 kB, thousands of headers the same octets as theirs; their two ends are enough to judge by.
_MAX_NAME = 1024

ENCRYPTED = "encrypted-archive"
OVERLAP = "archive-overlap"
SIZES = "archive-sizes"
PATH = "archive-path"
NAME = "name"


@dataclass(frozen=True, slots=True)
class Entry:
    """One header of an entry.

    at     where the header stands
    start  where the local header stands, as this header says
    data   where the packed bytes start; -1 in the directory
    """

    name: str
    flags: int
    method: int
    packed: int
    size: int
    at: int
    start: int
    data: int

    @property
    def encrypted(self) -> bool:
        return bool(self.flags & _ENCRYPTED) or self.method == _AES

    @property
    def stored(self) -> bool:
        return self.method == _STORED


@dataclass(frozen=True, slots=True)
class Seen:
    """Something in an archive: kind NAME with an entry's name, or a fault.  `where` is the way through nested archives.

    A name that stands in front of packed bytes comes with its `entry`.
    """

    kind: str
    name: str
    where: tuple[str, ...] = ()
    detail: str = ""
    entry: Entry | None = None


def looks_like_zip(content: bytes) -> bool:
    """Whether some reader would open this as a zip: one at the start, or one at the end of something else."""
    return content.startswith((_LOCAL, _END)) or content.rfind(_END, max(0, len(content) - 65_557)) >= 0


def scan(content: bytes, budget: Budget, where: tuple[str, ...] = ()) -> Iterator[Seen]:
    """All names in the archive and in archives inside of it, and all that is wrong.  Never raises; `budget` is used up."""
    for seen in level(content, budget, where):
        yield seen
        if seen.entry is not None:
            yield from _nested(content, seen.entry, budget, where)


def level(content: bytes, budget: Budget, where: tuple[str, ...] = ()) -> Iterator[Seen]:
    """As `scan`, without looking into the entries."""
    local: list[Entry] = []
    central: list[Entry] = []
    for signature, entries in ((_LOCAL, local), (_CENTRAL, central)):
        at = content.find(signature)
        while at >= 0:
            if budget.entries <= 0:
                yield Seen(LIMIT, "", where, "too many entries in archives")
                return
            budget.tick()
            if named := _header(content, at, signature):
                budget.entries -= 1
                entries.append(named[0])
                yield from _look_at_names(*named, where)
            at = content.find(signature, at + 4)
    if not local and not central:
        if not (len(content) == 22 and content.startswith(_END)):
            yield Seen(UNREADABLE, "", where, "no entry found")
        return
    yield from _overlaps(content, central, where)
    yield from _contradictions(local, central, len(content), budget, where)


def _look_at_names(entry: Entry, others: list[str], where: tuple[str, ...]) -> Iterator[Seen]:
    yield Seen(NAME, entry.name, where, entry=entry if entry.data >= 0 else None)
    for other in others:
        yield Seen(NAME, other, where)
    if entry.encrypted:
        yield Seen(ENCRYPTED, entry.name, where)
    for name in (entry.name, *others):
        parts = name.replace("\\", "/").split("/")
        if ".." in parts or name.startswith(("/", "\\")) or name[1:2] == ":" or "\0" in name:
            yield Seen(PATH, name, where, "the name leaves the folder")
            return


def _name(raw: bytes, flags: int) -> str:
    if flags & _UTF8:
        return raw.decode("utf-8", "replace")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp437")


def _ends(content: bytes, at: int, length: int) -> bytes:
    if length <= _MAX_NAME:
        return content[at : at + length]
    return content[at : at + _MAX_NAME // 2] + content[at + length - _MAX_NAME // 2 : at + length]


def _header(content: bytes, at: int, signature: bytes) -> tuple[Entry, list[str]] | None:
    """The header that stands here, and the names that its extra field gives; None if the content ends within it."""
    if signature == _LOCAL:
        if at + 30 > len(content):
            return None
        _, _, flags, method, _, _, _, packed, size, length, extra = _LOCAL_HEADER.unpack_from(content, at)
        names, start = at + 30, at
        data = names + length + extra
    else:
        if at + 46 > len(content):
            return None
        _, _, _, flags, method, _, _, _, packed, size, length, extra, *_, start = _CENTRAL_HEADER.unpack_from(
            content, at
        )
        names, data = at + 46, -1
    if names + length > len(content):
        return None
    entry = Entry(_name(_ends(content, names, length), flags), flags, method, packed, size, at, start, data)
    return entry, _unicode_paths(content, names + length, names + length + extra)


def _unicode_paths(content: bytes, at: int, end: int) -> list[str]:
    """The names of all Unicode Path fields; whether their checksum is right is for each reader to decide."""
    found: list[str] = []
    at = content.find(_UNICODE_PATH, at, end)
    while at >= 0 and len(found) < _MAX_PATHS:
        length = int.from_bytes(content[at + 2 : at + 4], "little") - 5
        if length > 0 and content[at + 4 : at + 5] == b"\x01" and at + 9 + length <= end:
            found.append(_ends(content, at + 9, length).decode("utf-8", "replace"))
        at = content.find(_UNICODE_PATH, at + 2, end)
    return found


def _overlaps(content: bytes, central: list[Entry], where: tuple[str, ...]) -> Iterator[Seen]:
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
    local: list[Entry], central: list[Entry], length: int, budget: Budget, where: tuple[str, ...]
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
    if promised > max(budget.ratio * length, RATIO_FREE * 16):
        yield Seen(LIMIT, "", where, f"{promised} bytes packed into {length}")


def _nested(content: bytes, entry: Entry, budget: Budget, where: tuple[str, ...]) -> Iterator[Seen]:
    """Go into an entry that is an archive, by its name or by its first bytes."""
    if entry.encrypted or entry.method == _STORED:
        # Headers of stored archives were found in the outer bytes; only what they compress is left to look at.
        return
    named = entry.name.lower().endswith(_NESTED)
    if not named and not first_bytes(content, entry).startswith((_LOCAL, _END)):
        return
    here = (*where, entry.name)
    if len(here) > budget.depth:
        yield Seen(LIMIT, entry.name, where, "archives nested too deep")
        return
    inner, fault = unpacked(content, entry, budget)
    if fault:
        yield Seen(fault[0], entry.name, where, fault[1])
    if inner:
        yield from scan(inner, budget, here)


def _stream(content: bytes, entry: Entry) -> tuple[Decompressor | None, int]:
    """What reads the packed bytes of an entry (None: nothing of ours does), and where they start."""
    if entry.method == _DEFLATED:
        return _unpacking.Inflate(-15), entry.data
    if entry.method == _BZIP2:
        return _unpacking.bzip2(), entry.data
    if entry.method == _LZMA:
        return _unpacking.zip_lzma(content[entry.data : entry.data + 9]), entry.data + 9
    if entry.method == _XZ:
        return _unpacking.xz(), entry.data
    return None, entry.data


def _end(content: bytes, entry: Entry) -> int:
    """Where the packed bytes end at the latest.  Compressed ones know their end themselves."""
    if entry.method != _STORED:
        return len(content)
    size = max(entry.packed, entry.size)
    if not size or size == _UNKNOWN_SIZE:
        # The size follows, or stands in a zip64 field: up to what would be the next header.
        following = content.find(b"PK", entry.data)
        return following if following >= 0 else len(content)
    return min(len(content), entry.data + size)


def first_bytes(content: bytes, entry: Entry, length: int = 4096) -> bytes:
    """What the unpacked entry begins with; empty if that can't be read."""
    if entry.method == _STORED:
        return content[entry.data : min(entry.data + length, _end(content, entry))]
    stream, at = _stream(content, entry)
    return _unpacking.peek(stream, content, at, len(content), length) if stream else b""


def unpacked(content: bytes, entry: Entry, budget: Budget) -> tuple[bytes, Fault | None]:
    """The unpacked entry as far as it can be read, and why that is not all of it."""
    if entry.method == _STORED:
        inner = content[entry.data : _end(content, entry)]
        budget.unpacked -= len(inner)
        return inner, (LIMIT, "too many bytes in archives") if budget.unpacked < 0 else None
    stream, at = _stream(content, entry)
    if stream is None:
        return b"", (UNREADABLE, f"compression method {entry.method}")
    inner, _, fault = _unpacking.unpack(stream, content, at, len(content), budget)
    return inner, fault
