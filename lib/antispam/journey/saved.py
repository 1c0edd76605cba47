"""Files with the originals of messages that were changed or failed, for administrators."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from antispam.mail.message import Message
from antispam.settings.program import ProgramSettings


def folder(settings: ProgramSettings) -> Path:
    return settings.tempdir or settings.datadir / "save"


def save(message: Message, kind: str, settings: ProgramSettings) -> Path:
    """Write the message as it came to <folder>/<ref>.<kind>.eml, readable by our user and group only, complete on disk before
    this returns. Raises OSError."""
    place = folder(settings)
    place.mkdir(mode=0o750, parents=True, exist_ok=True)
    path = place / f"{message.ref}.{kind}.eml"
    # Our own reference names the file: nothing that mail chose ever becomes part of a path.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o640)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(message.raw())
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink(missing_ok=True)  # half a message is no original, and each retry would leave another one
        raise
    return path


def originals(settings: ProgramSettings) -> list[Path]:
    """The files. Raises OSError if the folder cannot be used."""
    return sorted(folder(settings).glob("*.eml"))


def purge(settings: ProgramSettings, now: float) -> int:
    """Delete what is older than keep_saved, and the oldest while all of it has more than saved_size octets; returns how many
    files went. Raises OSError if the folder can't be used."""
    found = []
    for path in folder(settings).glob("*.eml"):
        # Another node that shares the folder may be at the same work.
        with contextlib.suppress(FileNotFoundError):
            status = path.lstat()
            found.append((status.st_mtime, status.st_size, path))
    found.sort()
    left, went = sum(size for _, size, _ in found), 0
    for changed, size, path in found:
        if changed >= now - settings.keep_saved and not (settings.saved_size and left > settings.saved_size):
            break
        path.unlink(missing_ok=True)
        left -= size
        went += 1
    return went
