"""libdspam's directories, for what still lies in files: mailboxes, group files, mail that waits for a busy store."""

from __future__ import annotations

import fcntl
from pathlib import Path


def userdir(home: str | Path, user: str, extension: str | None = None) -> str:
    """The user's directory below `home`, or with an extension the file in it: home/data/bob/bob.mbox.

    Raises ValueError for a name that is no single path component: names come from mail.
    """
    if not user or user in {".", ".."} or "/" in user or "\0" in user:
        raise ValueError(f"not a user name: {user[:64]!r}")
    directory = Path(home) / "data" / user
    return str(directory if extension is None else directory / f"{user}.{extension}")


def get_fcntl_lock(fd: int) -> None:
    """Wait until this process alone holds the file that the descriptor is open (for writing) on."""
    fcntl.lockf(fd, fcntl.LOCK_EX)


def free_fcntl_lock(fd: int) -> None:
    """Let others have it."""
    fcntl.lockf(fd, fcntl.LOCK_UN)
