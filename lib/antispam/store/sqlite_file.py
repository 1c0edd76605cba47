"""Watching the file of an SQLite database: writes into a file that was replaced would be lost.

SQLite keeps the file open that it found. After `mv backup.sqlite bms.sqlite` it goes on in the old one, which nobody will
ever see again, and every commit succeeds.
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
    """Make the file, empty, for our user alone, whatever the umask is: others' mail is in it. The files that SQLite puts beside
    it (-wal, -shm, -journal) get the same permissions. One that is there stays as it is. Raises OSError."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def keep_private(engine: sa.Engine) -> None:
    """Let every file that a connection of the engine makes be made privately. What hinders it, SQLite says better."""
    path = engine.url.database
    if path and path != ":memory:" and not path.startswith("file:"):

        def make(*_: Any) -> None:
            with contextlib.suppress(OSError):
                make_privately(path)

        event.listen(engine, "do_connect", make)


def compact(path: str, patience: float) -> bool:
    """Write the database anew, without what earlier deletions left in free pages; False if somebody read it meanwhile, so
    that the file beside it (-wal) could not be emptied. Writers wait, as long as it takes to copy the file. Raises
    sqlite3.Error, for example where the lock was not to be had for `patience` seconds."""
    with contextlib.closing(sqlite3.connect(path, timeout=patience, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("VACUUM")
        (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return not busy


class Replaced(Exception):
    """The database file was replaced or removed."""


class WatchedFile:
    """Lets connections to a file that is gone be replaced by new ones, and their transactions fail."""

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
        """A connection out of the pool. DisconnectionError has the pool open another one."""
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
