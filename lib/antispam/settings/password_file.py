"""Passwords in files of their own: configurations are copied, printed and backed up."""

from __future__ import annotations

import os
import stat
from pathlib import Path

_LONGEST = 4_000  # octets


def password_in(file: Path) -> str:
    """The first line of a file. Raises OSError, with a sentence, also where others can read it or nothing is in it."""
    with file.open(encoding="utf-8", errors="surrogateescape") as opened:
        if os.fstat(opened.fileno()).st_mode & stat.S_IRWXO:
            raise PermissionError(f"{file} can be read by others; give it mode 0600 or 0640")
        password = opened.readline(_LONGEST).rstrip("\r\n")
    if not password:
        raise OSError(f"{file} is empty; its first line must be the password")
    return password
