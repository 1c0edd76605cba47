"""libdspam's directories, for what is still kept in files: mailboxes, group files, mail that waits for a busy store."""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

from .algorithms import Totals


def userdir(home: str | Path, user: str, extension: str | None = None) -> str:
    """The user's directory below `home`, or with an extension the file in it: home/data/bob/bob.mbox.

    Raises ValueError for a name that is not a single path component: names come from mail.
    """
    if not user or user in {".", ".."} or "/" in user or "\0" in user:
        raise ValueError(f"not a user name: {user[:64]!r}")
    directory = Path(home) / "data" / user
    return str(directory if extension is None else directory / f"{user}.{extension}")


def get_fcntl_lock(fd: int) -> None:
    """Lock the file of a descriptor (open for writing) for this process, waiting until it is free."""
    fcntl.lockf(fd, fcntl.LOCK_EX)


def free_fcntl_lock(fd: int) -> None:
    """Release the lock."""
    fcntl.lockf(fd, fcntl.LOCK_UN)


@contextmanager
def file_lock(fname: str) -> Iterator[IO[bytes]]:
    """Hold the lock of a file, which is created if missing, for the duration of a block, and yield the file."""
    with open(fname, "ab") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        try:
            yield file
        finally:
            fcntl.lockf(file, fcntl.LOCK_UN)


def web_stats(totals: Totals) -> str:
    """The line that DSPAM's web interface reads: TP, TN, FN, FP, spam and innocent messages from a corpus."""
    spam = totals.spam_learned + totals.spam_classified - totals.spam_misclassified - totals.spam_corpusfed
    innocent = (
        totals.innocent_learned + totals.innocent_classified - totals.innocent_misclassified - totals.innocent_corpusfed
    )
    return (
        f"{max(0, spam)},{max(0, innocent)},{totals.spam_misclassified},{totals.innocent_misclassified},"
        f"{totals.spam_corpusfed},{totals.innocent_corpusfed}\n"
    )


def replace_file(path: str, text: str) -> None:
    """Write a file atomically: readers see all of it or nothing. Its directory is created if missing. Raises OSError."""
    os.makedirs(os.path.dirname(path), mode=0o770, exist_ok=True)
    new = f"{path}.{secrets.token_hex(8)}"
    try:
        Path(new).write_text(text)
        os.replace(new, path)
    except OSError:
        Path(new).unlink(missing_ok=True)
        raise


class Quarantine(Protocol):
    """The place where spam is kept."""

    def keep(self, user: str, message: bytes) -> None:
        """Store the message durably for the user (or the group that manages its own quarantine). Raises if that fails."""


class MboxQuarantine:
    """pydspam's quarantine: a mailbox for each user below the directory."""

    def __init__(self, home: str) -> None:
        self._home = home

    def keep(self, user: str, message: bytes) -> None:
        append_mbox(userdir(self._home, user, "mbox"), "dspam", message)


def append_mbox(path: str, sender: str, message: bytes) -> None:
    """Append a message to a mailbox (the "mboxrd" form: >From), on disk when this returns."""
    os.makedirs(os.path.dirname(path), mode=0o770, exist_ok=True)
    if message.startswith(b"From "):
        message = message.partition(b"\n")[2]
    lines = [b">" + line if line.lstrip(b">").startswith(b"From ") else line for line in message.split(b"\n")]
    text = b"\n".join(lines).rstrip(b"\n") + b"\n\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o660)
    with open(descriptor, "ab") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        file.write(f"From {sender} {time.asctime(time.gmtime())}\n".encode() + text)
        file.flush()
        os.fsync(descriptor)
