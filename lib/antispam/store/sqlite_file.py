"""Watching the file of an SQLite database: writes to a replaced file would be lost.

SQLite keeps its file open. After `mv backup.sqlite bms.sqlite` it continues in the old file, which nobody will ever see
again, and every commit succeeds.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

log = logging.getLogger(__name__)

_Identity = tuple[int, int]


def make_privately(path: str) -> None:
    """Create the empty file with access for our user only, whatever the umask: it will contain other people's mail. The
    files that SQLite creates beside it (-wal, -shm, -journal) get the same permissions. An existing file is left
    unchanged. Raises OSError.
    """
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def keep_private(engine: sa.Engine) -> None:
    """Make the engine's connections create their file privately. Errors are left to SQLite, whose messages are better."""
    path = engine.url.database
    if path and path != ":memory:" and not path.startswith("file:"):

        def make(*_: Any) -> None:
            with contextlib.suppress(OSError):
                make_privately(path)

        event.listen(engine, "do_connect", make)


def compact(path: str, patience: float) -> bool:
    """Rewrite the database without the remains of deleted data in free pages. False if another process was reading, so
    that the -wal file could not be emptied. Writers wait for as long as copying the file takes. Raises sqlite3.Error,
    for example if the lock was not free within `patience` seconds.
    """
    with contextlib.closing(sqlite3.connect(path, timeout=patience, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("VACUUM")
        (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return not busy


class Replaced(Exception):
    """The database file was replaced or removed."""


class WatchedFile:
    """Replaces connections to a missing or replaced file, and makes their transactions fail."""

    def __init__(self, engine: sa.Engine, path: str) -> None:
        self._engine = engine
        self._path = path
        self._told: _Identity | None = None
        event.listen(engine, "connect", self._opened)
        event.listen(engine, "checkout", self._taken)
        event.listen(engine, "commit", demand_same_file)

    def _opened(self, connection: Any, record: Any) -> None:
        record.info["path"], record.info["file"] = self._path, _identity(self._path)

    def _taken(self, connection: Any, record: Any, proxy: Any) -> None:
        """Check a connection taken from the pool. DisconnectionError makes the pool open another."""
        now = _identity(self._path)
        if record.info.get("file") == now:
            return
        if now != self._told:
            self._told = now
            log.error("the database file %s was replaced; it is opened anew", self._path)
        raise sa.exc.DisconnectionError(f"{self._path} was replaced")


def demand_same_file(connection: sa.Connection) -> None:
    """Raises Replaced if the database file of a connection was replaced since it was opened: what is committed there is lost.
    Other databases have no such file."""
    known = connection.connection.info
    if "path" in known and _identity(known["path"]) != known["file"]:
        raise Replaced(f"the database file {known['path']} was replaced")


def _identity(path: str) -> _Identity | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
