"""The engines for each kind of database, and the start of their transactions."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from antispam.store.connecting import engine_of
from antispam.store.limits import watch_over
from antispam.store.prepared import BEFORE, execute
from antispam.store.sqlite_file import WatchedFile, keep_private

LONGEST = 300.0  # seconds for a transaction that nobody waits for


@dataclasses.dataclass(frozen=True, slots=True)
class Writing:
    """The properties of a writing transaction: how many seconds it waits for a lock, whether its commit survives a
    power cut, and how many seconds it may take (None: nobody waits for it). It is the connection option `bms_writing`.
    """

    patience: float
    durable: bool
    limit: float | None


def connecting_to(url: sa.engine.URL, pool: int, busy_timeout: float) -> sa.Engine:
    """An engine for the database. Raises sqlalchemy.exc.ArgumentError for an invalid URL, and ImportError if its driver
    is not installed.
    """
    if url.get_backend_name() == "sqlite":
        return _sqlite(url, pool, busy_timeout)
    by_itself = url.get_backend_name() == "postgresql"
    engine = engine_of(
        url,
        pool_size=pool,
        max_overflow=0,
        pool_timeout=busy_timeout,
        # Without BEGIN, a read costs one round trip. A writing transaction begins in _postgresql_begin().
        isolation_level="AUTOCOMMIT" if by_itself else "READ COMMITTED",
    )
    event.listen(engine, "begin", _postgresql_begin if by_itself else _mariadb_begin)
    watch_over(engine)
    return engine


def _sqlite(url: sa.engine.URL, pool: int, busy_timeout: float) -> sa.Engine:
    if url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = engine_of(
        url,
        pool_size=pool,
        max_overflow=0,
        pool_timeout=busy_timeout,
        poolclass=sa.pool.QueuePool,
        connect_args={"timeout": busy_timeout, "check_same_thread": False},
    )
    event.listen(engine, "connect", _sqlite_connect)
    event.listen(engine, "begin", _sqlite_begin)
    keep_private(engine)
    if url.database and url.database != ":memory:":
        WatchedFile(engine, url.database)
    watch_over(engine)
    return engine


def _sqlite_connect(connection: Any, _record: Any) -> None:
    # The implicit BEGIN of the driver is deferred: two writers could both read first and then deadlock. Ours is in
    # "begin".
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


def _sqlite_begin(connection: sa.Connection) -> None:
    writing: Writing | None = connection.get_execution_options().get("bms_writing")
    if writing is None:
        execute(connection, "BEGIN")
        return
    _sqlite_set(connection, writing)
    execute(connection, "BEGIN IMMEDIATE")


def _sqlite_set(connection: sa.Connection, writing: Writing) -> None:
    _demand(connection, "PRAGMA busy_timeout=%s", int(writing.patience * 1000))
    _demand(connection, "PRAGMA synchronous=%s", "FULL" if writing.durable else "NORMAL")


def for_one_statement(connection: sa.Connection, writing: Writing) -> sa.Connection:
    """A connection to SQLite or PostgreSQL on which each prepared statement is a transaction by itself: neither database begins
    a longer one unasked, and a statement of SQLite that writes takes the lock as BEGIN IMMEDIATE does."""
    if connection.dialect.name == "sqlite":
        _sqlite_set(connection, writing)
        return connection
    return connection.execution_options(**{BEFORE: limits_of(writing)})


def _demand(connection: sa.Connection, setting: str, value: object) -> None:
    """Change a setting of the connection, outside any transaction, unless it already has that value."""
    known = connection.connection.info
    if known.get(setting) != value:
        execute(connection, setting % value)
        known[setting] = value


def _postgresql_begin(connection: sa.Connection) -> None:
    """Begin a transaction on PostgreSQL, with all its settings, in one round trip."""
    writing: Writing | None = connection.get_execution_options().get("bms_writing")
    if writing is not None:
        # The server does not notice that a client machine lost power or network until TCP probes it after two hours.
        # Others would wait that long for the locks of its transaction.
        idle = f"SET LOCAL idle_in_transaction_session_timeout = {_milliseconds(_longest(writing))}"
        # Without BEGIN, each statement sees everything committed, as it does with READ COMMITTED in a transaction.
        execute(connection, f"BEGIN ISOLATION LEVEL READ COMMITTED; {limits_of(writing)}; {idle}")


def limits_of(writing: Writing) -> str:
    """The SQL that sets PostgreSQL's time limits for one transaction; behind PgBouncer the next may belong to another
    client. The statement limit is for the server, which would go on after we have disconnected.
    """
    return (
        f"SET LOCAL lock_timeout = {_milliseconds(writing.patience)}; "
        f"SET LOCAL statement_timeout = {_milliseconds(_longest(writing))}"
    )


def _longest(writing: Writing) -> float:
    return LONGEST if writing.limit is None else writing.limit


def _milliseconds(seconds: float) -> int:
    return max(1, int(seconds * 1000))  # 0 would mean no limit


def _mariadb_begin(connection: sa.Connection) -> None:
    """Begin a transaction on MariaDB, whose default is to wait 50 s for a row lock."""
    writing: Writing | None = connection.get_execution_options().get("bms_writing")
    if writing is not None:
        _demand(connection, "SET innodb_lock_wait_timeout = %s", max(1, int(writing.patience)))
        if connection.dialect.is_mariadb:  # type: ignore[attr-defined]
            _demand(connection, "SET idle_write_transaction_timeout = %s", max(1, math.ceil(_longest(writing))))
