"""Engines for each kind of database, and how their transactions begin."""

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

LONGEST = 300.0  # seconds for what nobody waits for


@dataclasses.dataclass(frozen=True, slots=True)
class Writing:
    """A transaction that writes: how many seconds it waits for a lock, whether its commit outlives a power cut, and how many
    seconds it may take (None: nobody waits for it). As `bms_writing` among the options of its connection."""

    patience: float
    durable: bool
    limit: float | None


def connecting_to(url: sa.engine.URL, pool: int, busy_timeout: float) -> sa.Engine:
    """An engine for the database. Raises sqlalchemy.exc.ArgumentError for a URL that is none, and ImportError where its driver
    isn't installed."""
    if url.get_backend_name() == "sqlite":
        return _sqlite(url, pool, busy_timeout)
    by_itself = url.get_backend_name() == "postgresql"
    engine = engine_of(
        url,
        pool_size=pool,
        max_overflow=0,
        pool_timeout=busy_timeout,
        # Without BEGIN, what only reads costs one round trip; a transaction that writes begins in _postgresql_begin().
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
    # The driver's own implicit BEGIN is deferred, which lets two writers read first and then deadlock; ours is in "begin".
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
    """Change a setting of the connection, outside of any transaction, where it is not so already."""
    known = connection.connection.info
    if known.get(setting) != value:
        execute(connection, setting % value)
        known[setting] = value


def _postgresql_begin(connection: sa.Connection) -> None:
    """All in one round trip."""
    writing: Writing | None = connection.get_execution_options().get("bms_writing")
    if writing is not None:
        # The server does not hear of a machine that lost its power or its network: for two hours, until TCP asks, others would
        # wait for the locks of what was under way there.
        idle = f"SET LOCAL idle_in_transaction_session_timeout = {_milliseconds(_longest(writing))}"
        # Without it each statement by itself sees what is committed: no less than READ COMMITTED gives it in a transaction.
        execute(connection, f"BEGIN ISOLATION LEVEL READ COMMITTED; {limits_of(writing)}; {idle}")


def limits_of(writing: Writing) -> str:
    """What sets PostgreSQL's time limits for one transaction: behind PgBouncer the next may be somebody else's. That of the
    statement is for the server, which would go on after we have hung up."""
    return (
        f"SET LOCAL lock_timeout = {_milliseconds(writing.patience)}; "
        f"SET LOCAL statement_timeout = {_milliseconds(_longest(writing))}"
    )


def _longest(writing: Writing) -> float:
    return LONGEST if writing.limit is None else writing.limit


def _milliseconds(seconds: float) -> int:
    return max(1, int(seconds * 1000))  # 0 would be for ever


def _mariadb_begin(connection: sa.Connection) -> None:
    """MariaDB would wait for 50 s for the lock of a row."""
    writing: Writing | None = connection.get_execution_options().get("bms_writing")
    if writing is not None:
        _demand(connection, "SET innodb_lock_wait_timeout = %s", max(1, int(writing.patience)))
        if connection.dialect.is_mariadb:  # type: ignore[attr-defined]
            _demand(connection, "SET idle_write_transaction_timeout = %s", max(1, math.ceil(_longest(writing))))
