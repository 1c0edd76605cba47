"""Reading messages from mbox files, maildirs, folders of files, and single files."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

MAX_MESSAGE = 100 << 20
_FROM_LINE = re.compile(rb"From [^\r\n]*\r?\n")
# The beginning of messages in DSPAM's quarantines; pydspam's have no empty line before it.
_QUARANTINED = re.compile(rb"From (?:dspam|QUARANTINE) [A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}\r?\n")
_HEADER = 256 << 10  # octets within which the header of a message must end
_USUAL_FIELD = re.compile(
    rb"^(?:From|To|Cc|Subject|Date|Message-ID|Received|Return-Path|Delivered-To|Sender|Reply-To|MIME-Version):",
    re.IGNORECASE | re.MULTILINE,
)
_QUOTED_FROM = re.compile(rb"^>(>*From )", re.MULTILINE)


class MailboxError(Exception):
    """A path cannot be read as mail. The text says which and why."""


class Stored(NamedTuple):
    """A message and its place: path, number in the file (from 1; 0 if the file is one message), octets.

    from_line  the mbox line before it; b"" for none
    cut        whether it was cut because it is longer than MAX_MESSAGE
    """

    path: Path
    number: int
    raw: bytes
    from_line: bytes = b""
    cut: bool = False

    @property
    def name(self) -> str:
        return f"{self.path}#{self.number}" if self.number else str(self.path)


def identity(raw: bytes) -> str:
    """The identity of a message, by which a repeated lesson is recognised: the hash of its octets with LF line ends and
    without the mbox line, so that the kind of mailbox does not matter.
    """
    plain = raw.replace(b"\r\n", b"\n")
    if match := _FROM_LINE.match(plain):
        plain = plain[match.end() :]
    return hashlib.sha256(plain.rstrip(b"\n")).hexdigest()


def files(paths: list[Path]) -> list[Path]:
    """The files below the paths, sorted. A maildir's tmp, hidden files and symbolic links are left out: users who may
    write into a folder must not be able to choose files outside it.

    Raises MailboxError for a path that does not exist, cannot be read, or is itself a symbolic link.
    """
    found: list[Path] = []
    for path in paths:
        try:
            found += _below(path)
        except OSError as error:
            raise MailboxError(f"{error.filename or path}: cannot be read: {error.strerror or error}") from error
    return found


def _below(path: Path) -> list[Path]:
    """The files below one path. Raises MailboxError and OSError."""
    if not path.exists():
        raise MailboxError(f"{path}: there is no such file or folder")
    if path.is_symlink():
        raise MailboxError(f"{path}: a symbolic link, which is not followed; please name {path.resolve()}")
    if path.is_file():
        return [path]
    skip = {"tmp"} if is_maildir(path) else set()
    return sorted(
        file
        for file in path.rglob("*")
        if file.is_file()
        and not file.is_symlink()
        and not any(part.startswith(".") or part in skip for part in file.relative_to(path).parts)
    )


def is_mail(raw: bytes) -> bool:
    """Whether the octets begin with a header that has any of the typical fields of mail."""
    plain = raw[:_HEADER].removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
    if match := _FROM_LINE.match(plain):
        plain = plain[match.end() :]
    return _USUAL_FIELD.search(plain.partition(b"\n\n")[0]) is not None


def is_maildir(path: Path) -> bool:
    return all((path / name).is_dir() for name in ("cur", "new", "tmp"))


def message(file: Path) -> bytes:
    """The single message of a file, without the mbox line before it, whatever its text looks like. Raises MailboxError
    if the file cannot be read.
    """
    try:
        with file.open("rb") as stream:
            raw = stream.read(MAX_MESSAGE)
    except OSError as error:
        raise MailboxError(f"{file}: cannot be read: {error.strerror or error}") from error
    found = _FROM_LINE.match(raw)
    return raw[found.end() :] if found else raw


def messages(file: Path) -> Iterator[Stored]:
    """The messages of a file. It is an mbox if it starts with a "From " line and another follows an empty line (in
    DSPAM's quarantines, any line); otherwise it is one message. A file is read message by message. Raises MailboxError
    if it cannot be read or is a symbolic link.
    """
    try:
        with open(file, "rb", opener=_not_through_a_link) as stream:
            first = stream.readline(1 << 16)
            if not _FROM_LINE.match(first):
                stream.seek(0)
                yield Stored(file, 0, stream.read(MAX_MESSAGE), cut=bool(stream.read(1)))
                return
            yield from _mbox(file, first, stream)
    except OSError as error:
        raise MailboxError(f"{file}: cannot be read: {error.strerror or error}") from error


def _not_through_a_link(path: str, flags: int) -> int:
    """An opener for open() that refuses symbolic links: the file may have been replaced since it was checked."""
    return os.open(path, flags | os.O_NOFOLLOW)


def _mbox(file: Path, from_line: bytes, lines: Iterator[bytes]) -> Iterator[Stored]:
    """The messages after the first "From " line. Without a second such line the file is one message, not an mbox."""
    number, size, empty, cut = 0, 0, False, False
    kept: list[bytes] = []
    for line in lines:
        if line.startswith(b"From ") and ((empty and _FROM_LINE.match(line)) or _QUARANTINED.match(line)):
            number += 1
            yield Stored(file, number, _unquoted(kept), from_line, cut)
            kept, size, cut, from_line = [], 0, False, line
        elif size <= MAX_MESSAGE:
            kept.append(line)
            size += len(line)
        else:
            cut = True
        empty = line[0] in b"\r\n" and not line.strip(b"\r\n")
    raw = _unquoted(kept) if number else b"".join(kept)
    yield Stored(file, number + 1 if number else 0, raw, from_line, cut)


def _unquoted(lines: list[bytes]) -> bytes:
    """A message without the final empty line of an mbox, and with ">From " unquoted."""
    if lines and not lines[-1].strip(b"\r\n"):
        lines = lines[:-1]
    return unquoted(b"".join(lines))


def unquoted(raw: bytes) -> bytes:
    """A message of an mbox with ">From " unquoted (mboxrd)."""
    return _QUOTED_FROM.sub(rb"\1", raw)
