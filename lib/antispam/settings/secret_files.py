"""Secrets in files of their own: configurations are copied, printed and backed up."""

from __future__ import annotations

import os
import stat
from pathlib import Path

_LONGEST = 4_000  # octets of a password


def secret_in(file: str | Path, longest: int) -> bytes:
    """The first `longest` octets of a file that holds passwords, secrets or a private key. Raises OSError, with a sentence that
    names the file, where it can't be read, or where others can read it, or change it.

    The group may read: root:filter 0640 keeps the running filter from changing its own secrets.
    """
    try:
        # A FIFO without a writer would never be opened otherwise.
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        hint = ""
        if isinstance(error, PermissionError):
            hint = f"; the user with the number {os.geteuid()}, as whom this runs, must be able to read it and reach its folder"
        raise OSError(f"{file} cannot be read: {error.strerror}{hint}") from None
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise OSError(f"{file}: not a regular file")
        if mode & (stat.S_IRWXO | stat.S_IWGRP):
            open_to = f"others can read or change it (mode {stat.S_IMODE(mode):04o})"
            raise OSError(f"{file}: {open_to}; give it mode 0600 or 0640")
        return os.read(descriptor, longest)
    finally:
        os.close(descriptor)


def password_in(file: Path) -> str:
    """The first line of a file. Raises OSError as secret_in() does, and where nothing is in that line, or it is not UTF-8."""
    line = secret_in(file, _LONGEST).partition(b"\n")[0].rstrip(b"\r")
    if not line:
        raise OSError(f"{file}: its first line must be the password, and is empty")
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise OSError(f"{file}: its first line, the password, is not in UTF-8") from None
