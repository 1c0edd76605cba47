"""Replace a file as the passwd programs do: lock, write the new version beside it, rename."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TextIO


class PLock:
    """One update of the file ``basename``, by one process at a time.

    The lock is a file beside it, ``basename.lock``, which at the same time is the new version being written: readers
    see the old file or the new one, never half of one. A lock left behind by a crash has to be removed by hand.
    """

    def __init__(self, basename: str) -> None:
        self.basename = basename
        self.fp: TextIO | None = None
        self.lockname: str | None = None

    def lock(self, lockname: str | None = None, mode: int = 0o660, strict_perms: bool = False) -> TextIO:
        """Begin an update; returns the file to write the new version to.

        The new version gets the old one's mode and owner, or ``mode`` if there is none. Not being allowed to set
        the owner is an error only with ``strict_perms``. Raises FileExistsError if another update is going on.
        """
        self.unlock()
        name = lockname or self.basename + ".lock"
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self.lockname = name
        self.fp = open(fd, "w", encoding="utf-8", errors="surrogateescape")  # noqa: SIM115  # closed by commit()
        try:
            self._inherit_permissions(fd, mode, strict_perms)
        except OSError:
            self.unlock()
            raise
        return self.fp

    def _inherit_permissions(self, fd: int, mode: int, strict: bool) -> None:
        try:
            old = os.stat(self.basename)
        except FileNotFoundError:
            os.fchmod(fd, mode)
            return
        try:
            os.fchown(fd, old.st_uid, old.st_gid)
        except PermissionError:
            if strict:
                raise
        os.fchmod(fd, old.st_mode & 0o7777)  # after the owner, whose change clears bits

    def wlock(self, lockname: str | None = None) -> TextIO:
        """Like :meth:`lock`, but wait for as long as another update is going on."""
        while True:
            try:
                return self.lock(lockname)
            except FileExistsError:
                time.sleep(0.05)

    def commit(self, backname: str | None = None) -> None:
        """Put the new version in place; the old one stays as ``backname`` if that is given.

        Raises OSError if no update was begun, or if the new version could not be written in full; the old one
        is then still in place.
        """
        if self.fp is None or self.lockname is None:
            raise OSError("File not locked")
        try:
            self.fp.flush()
            os.fsync(self.fp.fileno())
            self.fp.close()
            if backname:
                self._keep_old_version(backname)
            os.rename(self.lockname, self.basename)
        except OSError:
            self.unlock()
            raise
        self.fp = self.lockname = None

    def _keep_old_version(self, backname: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(backname)
        with contextlib.suppress(FileNotFoundError):  # there may be no old version
            os.link(self.basename, backname)

    def unlock(self) -> None:
        """Give up the update, if there is one: the file stays as it was."""
        fp, name = self.fp, self.lockname
        self.fp = self.lockname = None
        if fp is not None:
            with contextlib.suppress(OSError):  # a full disk may refuse the last block, which is thrown away anyway
                fp.close()
        if name is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
