"""Small archives of every kind, written by hand where no library writes them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Mapping

import libarchive

Files = Mapping[str, bytes]
PROGRAM = b"MZ" + bytes(58) + struct.pack("<L", 64) + b"PE\0\0" + bytes(20)
"""The beginning of a Windows program."""


def zipped(files: Files, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def zip_with_unicode_path(name: str, hidden: str) -> bytes:
    """A zip whose entry is called `name`, and `hidden` by the Info-ZIP Unicode Path field of both its headers."""
    entry = zipfile.ZipInfo(name)
    path = hidden.encode()
    entry.extra = b"up" + struct.pack("<HBL", 5 + len(path), 1, zlib.crc32(name.encode())) + path
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(entry, b"MZ")
    return out.getvalue()


def encrypted_zip(files: Files) -> bytes:
    """A zip that says of its entries that a password is needed."""
    made = bytearray(zipped(files))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = made.find(mark)
        while at >= 0:
            made[at + offset] |= 1
            at = made.find(mark, at + 4)
    return bytes(made)


def tarred(files: Files, form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def written(form: str, files: Files, filters: str | None = None) -> bytes:
    """An archive in a format that libarchive writes: 7zip, iso9660, xar, cpio_newc, raw with a filter."""
    made = bytearray()

    def write(piece: bytes) -> int:
        made.extend(piece)
        return len(piece)

    with libarchive.custom_writer(write, form, filters) as archive:
        for name, content in files.items():
            archive.add_file_from_memory(name, len(content), content)
    return bytes(made)


def cabinet(files: Files) -> bytes:
    """A cabinet ([MS-CAB]) with one folder that is not compressed."""
    data = b"".join(files.values())
    entries = b""
    at = 0
    for name, content in files.items():
        entries += struct.pack("<LLHHHH", len(content), at, 0, 0x5A21, 0, 0x20) + name.encode() + b"\0"
        at += len(content)
    first = 36 + 8
    start = first + len(entries)
    block = struct.pack("<LHH", 0, len(data), len(data)) + data
    head = b"MSCF" + struct.pack("<LLLLLBBHHHHH", 0, start + len(block), 0, first, 0, 3, 1, 1, len(files), 0, 0, 0)
    return head + struct.pack("<LHH", start, 1, 0) + entries + block


def rar4(files: Files) -> bytes:
    """A RAR archive of version 1.5 to 4, stored."""
    made = b"Rar!\x1a\x07\0"
    head = struct.pack("<BHH", 0x73, 0, 13) + bytes(6)
    made += struct.pack("<H", zlib.crc32(head) & 0xFFFF) + head
    for name, content in files.items():
        encoded = name.encode()
        head = struct.pack("<BHH", 0x74, 0x8000, 32 + len(encoded))
        head += struct.pack(
            "<LLBLLBBHL", len(content), len(content), 2, zlib.crc32(content), 0, 20, 0x30, len(encoded), 0x20
        )
        head += encoded
        made += struct.pack("<H", zlib.crc32(head) & 0xFFFF) + head + content
    head = struct.pack("<BHH", 0x7B, 0x4000, 7)
    return made + struct.pack("<H", zlib.crc32(head) & 0xFFFF) + head


def _vint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _rar5_block(body: bytes, data: bytes = b"") -> bytes:
    block = _vint(len(body)) + body
    return struct.pack("<L", zlib.crc32(block)) + block + data


def rar5(files: Files) -> bytes:
    """A RAR archive of version 5, stored."""
    made = b"Rar!\x1a\x07\x01\0" + _rar5_block(_vint(1) + _vint(0) + _vint(0))
    for name, content in files.items():
        encoded = name.encode()
        body = _vint(2) + _vint(2) + _vint(len(content))
        body += _vint(4) + _vint(len(content)) + _vint(0o644) + struct.pack("<L", zlib.crc32(content))
        body += _vint(0) + _vint(1) + _vint(len(encoded)) + encoded
        made += _rar5_block(body, content)
    return made + _rar5_block(_vint(5) + _vint(0) + _vint(0))


def lha(files: Files) -> bytes:
    """An LHA archive of level 0, stored."""
    made = b""
    for name, content in files.items():
        encoded = name.encode()
        head = (
            b"-lh0-" + struct.pack("<LLLBB", len(content), len(content), 0, 0x20, 0) + bytes([len(encoded)]) + encoded
        )
        head += struct.pack("<H", _crc16(content))
        made += bytes([len(head), sum(head) & 0xFF]) + head + content
    return made + b"\0"


def _crc16(content: bytes) -> int:
    crc = 0
    for octet in content:
        crc ^= octet
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc


def winmail(files: Files, in_properties: bool = False) -> bytes:
    """A winmail.dat; with `in_properties` the names and the content stand in MAPI properties only."""
    made = struct.pack("<LH", 0x223E9F78, 1) + _attribute(1, 0x00089006, struct.pack("<L", 0x10000))
    for name, content in files.items():
        made += _attribute(2, 0x00069002, bytes(14))
        if in_properties:
            long_name = name.encode("utf-16-le") + b"\0\0"
            properties = _property(0x3707, 0x1F, long_name) + _property(0x3701, 0x102, content)
            made += _attribute(2, 0x00069005, struct.pack("<L", 2) + properties)
        else:
            made += _attribute(2, 0x00018010, name.encode() + b"\0") + _attribute(2, 0x0006800F, content)
    return made


def _attribute(level: int, kind: int, value: bytes) -> bytes:
    return struct.pack("<BLL", level, kind, len(value)) + value + struct.pack("<H", sum(value) & 0xFFFF)


def _property(tag: int, kind: int, value: bytes) -> bytes:
    return struct.pack("<HHLL", kind, tag, 1, len(value)) + value + bytes(-len(value) % 4)


ARCHIVES = {
    "zip": zipped,
    "tar": tarred,
    "tar.gz": lambda files: gzip.compress(tarred(files)),
    "tar.bz2": lambda files: bz2.compress(tarred(files)),
    "tar.xz": lambda files: lzma.compress(tarred(files)),
    "7z": lambda files: written("7zip", files),
    "iso": lambda files: written("iso9660", files),
    "xar": lambda files: written("xar", files),
    "cpio": lambda files: written("cpio_newc", files),
    "cab": cabinet,
    "rar": rar4,
    "rar5.rar": rar5,
    "lzh": lha,
    "winmail.dat": winmail,
}
"""What makes an archive of some files, by the extension that it has."""
