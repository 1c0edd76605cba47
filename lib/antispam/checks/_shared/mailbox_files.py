"""Appending messages to a mailbox (mbox or maildir) that other programs also read and rotate. A message is on disk when
append() returns.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import os
import re
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from antispam.deadline import Deadline
from antispam.text import for_reply

WAIT = 5.0  # seconds to wait for others who lock the mailbox
STALE = 300.0  # seconds after which a lock file counts as stale, as in liblockfile
_PAUSE = 0.02

# The threads of a process share POSIX locks, and lose them when any thread closes the file.
_ours = threading.Lock()
_numbers = itertools.count()
_FROM = re.compile(rb"^(>*From )", re.MULTILINE)


class ArchiveError(OSError):
    """The message was not archived. The text says why."""


class Envelope:
    """The sender, recipients and time (seconds since the epoch) of a message."""

    def __init__(self, sender: str, recipients: Sequence[str], now: float) -> None:
        self._sender = _plain(sender)
        self._recipients = [_plain(one) for one in recipients]
        self._now = now

    def fields(self) -> bytes:
        to = ",\n ".join(self._recipients)
        return f"Return-Path: <{self._sender}>\nEnvelope-To: {to}\n".encode()

    def from_line(self) -> bytes:
        when = time.asctime(time.gmtime(self._now))
        return f"From {self._sender.replace(' ', '_') or 'MAILER-DAEMON'} {when}\n".encode()


def append(archive: Path, is_maildir: bool, message: bytes, envelope: Envelope, deadline: Deadline) -> None:
    """Append a message. Raises ArchiveError if it cannot be written in time; then no part of it remains."""
    content = envelope.fields() + message.replace(b"\r\n", b"\n")
    try:
        if is_maildir:
            _into_maildir(archive, content)
        else:
            is_new = not archive.exists()
            _into_mbox(archive, envelope.from_line() + _quoted(content), deadline)
            if is_new:
                _sync_folder(archive.parent)
    except OSError as error:
        raise ArchiveError(f"{archive}: {error.strerror or error}") from error


def _plain(address: str) -> str:
    return for_reply(address, 500)


def _quoted(content: bytes) -> bytes:
    """The message quoted as mboxrd: each line that begins with "From ", quoted or not, gets one more ">"."""
    end = b"\n" if content.endswith(b"\n") else b"\n\n"
    return _FROM.sub(rb">\1", content) + end


def _into_mbox(path: Path, entry: bytes, deadline: Deadline) -> None:
    until = time.monotonic() + max(0.0, min(WAIT, deadline.remaining()))
    if not _ours.acquire(timeout=max(0.0, until - time.monotonic())):
        raise OSError(errno.ETIMEDOUT, "others write to it for too long")
    try:
        with _lock_file(path, until), _opened(path, until) as descriptor:
            _write_at_end(descriptor, entry)
    finally:
        _ours.release()


@contextlib.contextmanager
def _lock_file(path: Path, until: float) -> Iterator[None]:
    """Hold the dot lock, path.lock, which other programs use, too. If the folder is not writable, the lock on the file
    must do.
    """
    lock = path.with_name(f"{path.name}.lock")
    while True:
        try:
            descriptor = os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except FileExistsError:
            if not _remove_stale(lock):
                _pause(until)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
            yield
            return
        else:
            break
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(str(os.getpid()))
        yield
    finally:
        lock.unlink(missing_ok=True)


def _remove_stale(lock: Path) -> bool:
    """Remove a lock whose owner is gone, or that is stale."""
    try:
        owner = lock.read_bytes()[:20].strip()
        # A lock without a process number may be new: some programs write none.
        if time.time() - lock.stat().st_mtime < STALE and (not owner.isdigit() or _lives(int(owner))):
            return False
        lock.unlink()
    except FileNotFoundError:
        pass
    return True


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


@contextlib.contextmanager
def _opened(path: Path, until: float) -> Iterator[int]:
    """The file, locked, after checking that it was not rotated meanwhile."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _lock(descriptor, until)
            if _is_still(descriptor, path):
                yield descriptor
                return
        finally:
            os.close(descriptor)


def _lock(descriptor: int, until: float) -> None:
    while True:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            _pause(until)
        else:
            return


def _is_still(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _pause(until: float) -> None:
    if time.monotonic() >= until:
        raise OSError(errno.ETIMEDOUT, "others keep it locked for too long")
    time.sleep(_PAUSE)


def _write_at_end(descriptor: int, entry: bytes) -> None:
    """Append an entry completely or not at all."""
    size = os.fstat(descriptor).st_size
    tail = os.pread(descriptor, 2, max(0, size - 2))
    # The last writer may have omitted the final empty line, or was interrupted.
    gap = b"" if not size or tail == b"\n\n" else b"\n" if tail.endswith(b"\n") else b"\n\n"
    try:
        rest = memoryview(gap + entry)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, size)
        raise


def _into_maildir(path: Path, content: bytes) -> None:
    """Deliver into a maildir (https://cr.yp.to/proto/maildir.html): write in tmp, then move to new."""
    for name in ("", "tmp", "new", "cur"):
        with contextlib.suppress(FileExistsError):
            (path / name).mkdir(mode=0o700)
    host = socket.gethostname().replace("/", "\\057").replace(":", "\\072")
    name = f"{time.time_ns() // 10**9}.M{time.time_ns() % 10**9}P{os.getpid()}Q{next(_numbers)}.{host}"
    temporary = path / "tmp" / name
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path / "new" / name)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path / "new")


def _sync_folder(folder: Path) -> None:
    """Sync a folder: only then does a new file in it survive a crash."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
