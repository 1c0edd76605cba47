"""A separate store for programs that use the engine without the mail filter: one SQLite file in the home directory."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from .schema import metadata
from .sqlstorage import SqlStorage

FILE: Final = "dspam.sqlite"
_PATIENCE = 10.0  # seconds for which a writer waits for another


class LocalDatabase:
    """A `store.Database` over an SQLite file, which is created if missing. Raises SQLAlchemy's exceptions."""

    dialect = "sqlite"

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o770, parents=True, exist_ok=True)
        url = sa.engine.URL.create("sqlite", database=str(path))
        self._engine = sa.create_engine(url, connect_args={"timeout": _PATIENCE})
        sa.event.listen(self._engine, "connect", _connected)
        sa.event.listen(self._engine, "begin", _begun)
        with self.write() as connection:
            metadata.create_all(connection)

    @contextmanager
    def read(self, deadline: Any = None) -> Iterator[sa.Connection]:
        """A connection for reading; there are no deadlines here."""
        with self._engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self, deadline: Any = None, *, durable: bool = True) -> Iterator[sa.Connection]:
        """A transaction that holds the write lock from its beginning; all are durable here."""
        with self._engine.connect().execution_options(dspam_write=True) as connection, connection.begin():
            yield connection

    def upsert(
        self, table: sa.Table, values: Mapping[str, Any], key: Sequence[str], update: Mapping[str, Any] | None
    ) -> sa.sql.dml.Insert:
        """Insert, or update the row with this key."""
        statement = sqlite.insert(table).values(**values)
        if update is None:
            return statement.on_conflict_do_nothing(index_elements=list(key))
        return statement.on_conflict_do_update(index_elements=list(key), set_=dict(update))

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


def _connected(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver would begin transactions that read first and deadlock then
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begun(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("dspam_write") else "BEGIN")


_lock = threading.Lock()
_open: dict[tuple[int, str], tuple[LocalDatabase, SqlStorage]] = {}


def storage(home: str) -> SqlStorage:
    """The store of a home directory. Each process has its own, because connections do not survive a fork."""
    key = os.getpid(), os.path.realpath(home)
    with _lock:
        if key not in _open:
            database = LocalDatabase(Path(key[1]) / FILE)
            _open[key] = database, SqlStorage(database)
        return _open[key][1]


def close_all() -> None:
    """Close this process's stores; the next `storage` opens them again."""
    with _lock:
        for key in [key for key in _open if key[0] == os.getpid()]:
            _open.pop(key)[0].close()
