"""Archives that libarchive reads for us: 7z, RAR, cabinets, images of disks, LHA, xar, cpio, zstd, lz4, compress.

It is C code that parses hostile input, so that it works in a process of its own (`unpacker`), which can do nothing but read
the archive and tell what is inside.  That costs some 60 ms, and only mail with such an archive pays it.  Only the reader for
the format that the octets show is switched on.
"""

from __future__ import annotations

import os
import select
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from _unpacking import LIMIT, UNREADABLE, Budget
from antispam.deadline import Deadline
from antispam.protocols.attachments import kinds
from antispam.protocols.attachments.archives.item import Item

_PROGRAM = Path(__file__).with_name("unpacker.py")
# (format, filter) by libarchive's names.
_FORMATS = {
    kinds.SEVEN_ZIP: ("7zip", "none"),
    kinds.RAR: ("rar", "none"),
    kinds.CAB: ("cab", "none"),
    kinds.ISO: ("iso9660", "none"),
    kinds.LHA: ("lha", "none"),
    kinds.XAR: ("xar", "none"),
    kinds.CPIO: ("cpio", "none"),
    kinds.ZSTD: ("raw", "zstd"),
    kinds.LZ4: ("raw", "lz4"),
    kinds.COMPRESS: ("raw", "compress"),
}
_RAR5 = b"Rar!\x1a\x07\x01"
# `7z -mx` asks for 64 MiB of dictionary, and the library for as much again; Python itself takes 40.
_MEMORY = 256 << 20
_SECONDS = 10.0
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH")  # what leads to the interpreter and its libraries, and nothing else
_HEAD = 4096
_RECORD = struct.Struct("=cI")
_MAX_RECORDS = 50_000
# So many at a time in each worker, so that a flood of archives costs time, not memory.
_seats = threading.BoundedSemaphore(2)


def items(kind: str, content: bytes, budget: Budget) -> Iterator[Item]:
    """The entries of an archive of that kind."""
    if kind not in _FORMATS:
        yield Item(UNREADABLE, detail=f"nothing here reads .{kind}")
        return
    form, filters = _FORMATS[kind]
    if content.startswith(_RAR5):
        form = "rar5"
    deadline = Deadline.after(_SECONDS)
    while not _seats.acquire(timeout=0.2):
        budget.tick()
        if deadline.expired:
            yield Item(LIMIT, detail="too many archives at a time")
            return
    try:
        output, fault = _unpack(form, filters, content, budget)
    finally:
        _seats.release()
    yield from _read(output, fault, budget)


def _unpack(form: str, filters: str, content: bytes, budget: Budget) -> tuple[bytes, Item | None]:
    """All that the unpacker says about the archive, and why that is not all."""
    most = max(0, budget.unpacked)
    command = [sys.executable, "-I", str(_PROGRAM), form, filters, str(max(0, budget.entries)), str(most)]
    command += [str(_MEMORY), str(int(_SECONDS))]
    archive = os.memfd_create("archive")
    try:
        with open(archive, "wb", closefd=False) as file:
            file.write(content)
        os.lseek(archive, 0, os.SEEK_SET)
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        child = subprocess.Popen(
            command, stdin=archive, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd="/", env=environment
        )
    except OSError as error:
        return b"", Item(UNREADABLE, detail=f"the unpacker does not start: {error}")
    finally:
        os.close(archive)
    try:
        # A name takes a kilobyte at most, which libarchive itself does not promise.
        return _listen(child, most + (max(0, budget.entries) << 11) + (1 << 16), budget)
    finally:
        _end(child)


def _listen(child: subprocess.Popen[bytes], most: int, budget: Budget) -> tuple[bytes, Item | None]:
    assert child.stdout is not None
    output = bytearray()
    deadline = Deadline.after(_SECONDS)
    descriptor = child.stdout.fileno()
    poll = select.poll()
    poll.register(descriptor, select.POLLIN | select.POLLHUP)
    while True:
        budget.tick()
        if deadline.expired:
            return bytes(output), Item(LIMIT, detail="the archive takes too long to unpack")
        if not poll.poll(100):
            continue
        piece = os.read(descriptor, 1 << 16)
        if not piece:
            return bytes(output), None
        output += piece
        if len(output) > most:
            return bytes(output), Item(LIMIT, detail="too many bytes in archives")


def _end(child: subprocess.Popen[bytes]) -> None:
    assert child.stdout is not None
    child.stdout.close()
    with suppress(ProcessLookupError):
        child.kill()
    child.wait()


def _read(output: bytes, fault: Item | None, budget: Budget) -> Iterator[Item]:
    """The records of the unpacker as items."""
    name = ""
    pieces: list[bytes] | None = None
    faulty = False
    for letter, value in _records(output):
        if letter == b"D" and pieces is not None:
            pieces.append(value)
            budget.unpacked -= len(value)
            continue
        if pieces is not None:
            yield _file(name, pieces)
            pieces = None
        if letter == b"N":
            budget.entries -= 1
            name, pieces = value.decode("utf-8", "replace"), []
        elif letter == b"F":
            reason, _, words = value.decode("utf-8", "replace").partition("\0")
            faulty = True
            yield Item(reason, name, words)
        elif letter == b"E":
            return
    if pieces is not None:
        yield _file(name, pieces)
    if fault is not None:
        yield fault
    elif not faulty:
        yield Item(UNREADABLE, detail="the unpacker gave up")


def _records(output: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(letter, value); no more than an unpacker that works writes, since one that was taken over may write anything."""
    at = 0
    for _ in range(_MAX_RECORDS):
        if at + _RECORD.size > len(output):
            return
        letter, length = _RECORD.unpack_from(output, at)
        at += _RECORD.size
        yield letter, output[at : at + length]
        at += length


def _file(name: str, pieces: list[bytes]) -> Item:
    octets = b"".join(pieces)
    return Item(name=name, head=octets[:_HEAD], whole=lambda: (octets, None))
