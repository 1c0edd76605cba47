"""Connections, transactions, and the handling of an unreachable database."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from antispam.deadline import Deadline
from antispam.settings import Settings
from antispam.settings.program import StoreSettings
from antispam.store.beginning import LONGEST, Writing, connecting_to, for_one_statement
from antispam.store.connecting import NoPasswordError, url_from
from antispam.store.limits import limited
from antispam.store.prepared import upsert
from antispam.store.sqlite_file import Replaced, demand_same_file

SLICE = 500  # the most rows that one transaction deletes
HOLD = 0.005  # seconds after which a housekeeping transaction ends: it holds the lock that mail needs
WORK = 5.0  # seconds that a database may take for a request of mail, apart from waiting for locks
_OVER = "the database did not answer in time"
_BATCH = 10  # rows between two checks of the clock


class StoreError(Exception):
    """The database cannot be used now (locked, full, unreachable). This is expected: a check turns it into a finding's
    error.
    """


class StoreBusy(StoreError):
    """The database works, but another process holds a lock or all connections are in use. Reading is still possible."""


class Breaker:
    """A circuit breaker. After `threshold` consecutive failures the database is not asked for `pause` seconds, so a
    dead database costs a message microseconds instead of a time-out. Then one caller tries again.
    """

    def __init__(
        self,
        threshold: int = 3,
        pause: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
        error: type[StoreError] = StoreError,
    ) -> None:
        """`error` is the class that admit() raises."""
        self._error = error
        self._threshold = threshold
        self._pause = pause
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._open_until = 0.0

    def admit(self) -> None:
        """Raises a StoreError while the circuit is open."""
        with self._lock:
            if self._failures < self._threshold:
                return
            if self._clock() < self._open_until:
                raise self._error("the database failed repeatedly; waiting before the next try")
            self._open_until = self._clock() + self._pause

    def succeeded(self) -> None:
        if self._failures:
            with self._lock:
                self._failures = 0

    def failed(self) -> None:
        with self._lock:
            self._failures += 1
            if self._failures >= self._threshold:
                self._open_until = self._clock() + self._pause


class Store:
    """The store of a worker, made after the fork. Transactions are short: none stays open during DNS or SMTP."""

    def __init__(
        self,
        url: str,
        *,
        pool: int = 4,
        busy_timeout: float = 5.0,
        breaker: Breaker | None = None,
        failed: Callable[[bool], None] = lambda busy: None,
    ) -> None:
        """`failed` is called for each failed operation, with True if a lock was the only cause.

        Raises sqlalchemy.exc.ArgumentError for an invalid URL, and ImportError if its driver is not installed.
        """
        self._failed = failed
        self.url = sa.engine.make_url(url)
        self.breaker = breaker or Breaker()
        self._writers = Breaker(error=StoreBusy)  # a lock held by another process does not prevent reading
        self._patience = busy_timeout
        self._free = threading.BoundedSemaphore(pool)  # replaces the pool's own queue, whose time-out is fixed
        self._engine = connecting_to(self.url, pool, busy_timeout)
        self._epoch = 0
        event.listen(self._engine, "checkout", self._demand_present)

    @classmethod
    def from_settings(cls, settings: Settings, failed: Callable[[bool], None] = lambda busy: None) -> Store:
        store = settings[StoreSettings]
        return cls(url_from(settings), pool=store.pool, busy_timeout=store.busy_timeout, failed=failed)

    @property
    def dialect(self) -> str:
        """ "sqlite", "postgresql", "mysql" or "mariadb"."""
        return self._engine.dialect.name

    @contextlib.contextmanager
    def read(self, deadline: Deadline | None = None) -> Iterator[sa.Connection]:
        """A connection for reading. Raises StoreError if the database does not answer."""
        with self._guard(deadline), self._free_connection(deadline), self._engine.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def write(
        self, deadline: Deadline | None = None, patience: float | None = None, *, durable: bool = True
    ) -> Iterator[sa.Connection]:
        """A transaction, committed at the end of the block. SQLite takes the write lock at once (BEGIN IMMEDIATE), so
        that rows cannot change between reading and writing. Raises StoreError if it cannot be committed, StoreBusy if
        another process holds the lock.

        Waits for a connection, and then for the lock, for busy_timeout or `patience` (seconds) each, but not beyond
        `deadline`. With a deadline, a database that needs more than WORK seconds beyond it counts as dead. A power cut
        may undo a transaction with durable=False; under SQLite it does not wait for the disk while it holds the lock.
        """
        self._writers.admit()
        with self._guard(deadline), self._free_connection(deadline, patience):
            wait = self._wait(deadline, patience)
            writing = Writing(wait, durable, self._work(deadline))
            with self._engine.connect().execution_options(bms_writing=writing) as connection, connection.begin():
                yield connection
        self._writers.succeeded()

    @contextlib.contextmanager
    def write_once(
        self, deadline: Deadline | None = None, patience: float | None = None, *, durable: bool = True
    ) -> Iterator[sa.Connection]:
        """As write(), for one statement, a Prepared one: it is a transaction by itself. PostgreSQL needs one round trip for it
        instead of three, SQLite half of the time."""
        if self.dialect not in ("sqlite", "postgresql"):
            with self.write(deadline, patience, durable=durable) as connection:
                yield connection
            return
        self._writers.admit()
        with self._guard(deadline), self._free_connection(deadline, patience), self._engine.connect() as connection:
            writing = Writing(self._wait(deadline, patience), durable, self._work(deadline))
            yield for_one_statement(connection, writing)
            demand_same_file(connection)
        self._writers.succeeded()

    def write_returning(
        self, deadline: Deadline | None = None, *, durable: bool = True
    ) -> contextlib.AbstractContextManager[sa.Connection]:
        """As write(), for one statement that returns its rows (prepared.returning()). Where it can't, they may be read after
        it, before anybody else changes them."""
        if self.dialect == "postgresql":
            return self.write_once(deadline, durable=durable)
        return self.write(deadline, durable=durable)

    def _demand_present(self, _connection: Any, record: Any, _proxy: Any) -> None:
        """Have a connection of an earlier epoch replaced. The pool itself is kept: one that is in use would return to a pool
        that is not there any more, and stay open.
        """
        if record.info.setdefault("epoch", self._epoch) != self._epoch:
            raise sa.exc.DisconnectionError("the server may be another one")

    def _wait(self, deadline: Deadline | None, patience: float | None = None) -> float:
        longest = self._patience if patience is None else min(self._patience, patience)
        return longest if deadline is None else min(longest, deadline.remaining())

    @contextlib.contextmanager
    def _free_connection(self, deadline: Deadline | None, patience: float | None = None) -> Iterator[None]:
        if not self._free.acquire(timeout=self._wait(deadline, patience)):
            raise sa.exc.TimeoutError("all connections to the database are in use")
        try:
            yield
        finally:
            self._free.release()

    @contextlib.contextmanager
    def _guard(self, deadline: Deadline | None) -> Iterator[None]:
        self.breaker.admit()
        with limited(self._ends(deadline)) as limit:
            try:
                yield
            except (
                sa.exc.DatabaseError,
                sa.exc.InterfaceError,
                sa.exc.TimeoutError,
                Replaced,
                NoPasswordError,
            ) as error:
                if not _means_that_the_database_is_ill(error):
                    raise
                busy = _means_that_somebody_holds_it(error)
                self._failed(busy)
                if busy:
                    self._writers.failed()
                    raise StoreBusy(_summary(error)) from error
                self.breaker.failed()
                if isinstance(error, sa.exc.InternalError):
                    self._epoch += 1  # the server became read-only; new connections may reach the new one
                raise StoreError(_OVER if limit is not None and limit.passed() else _summary(error)) from error
        self.breaker.succeeded()

    def _work(self, deadline: Deadline | None) -> float | None:
        """The number of seconds that a transaction beginning now may take; None if nobody waits for it."""
        return None if deadline is None else min(deadline.remaining(), self._patience + WORK)

    def _ends(self, deadline: Deadline | None) -> float | None:
        """The time at which a transaction beginning now is cut off."""
        work = self._work(deadline)
        if work is None and self.dialect == "sqlite":
            return None
        return time.monotonic() + (LONGEST if work is None else work)

    def upsert(
        self, table: sa.Table, values: Mapping[str, Any], key: Sequence[str], update: Mapping[str, Any] | None
    ) -> sa.sql.dml.Insert:
        """One atomic statement that inserts the row or, if a row with this key exists, sets the `update` columns (None:
        leaves it alone). The expressions in `update` may use the columns of `table`, which stand for the existing row.
        """
        return upsert(self.dialect, table, values, key, update)

    def delete_slice(self, table: sa.Table, stale: sa.ColumnElement[bool], size: int = SLICE) -> int:
        """Delete at most `size` of the rows for which `stale` holds, in a separate transaction. Returns how many it
        examined, 0 when none is left. Raises StoreError.

        The rows are searched for before the transaction begins, and it ends after it has held the lock for HOLD
        seconds: mail waits for that lock.
        """
        (key,) = table.primary_key.columns
        with self.read() as connection:
            found = connection.scalars(sa.select(key).where(stale).limit(size)).all()
        if not found:
            return 0
        done = 0
        with self.write(durable=False) as connection:
            ends = time.monotonic() + HOLD
            while done < len(found) and (not done or time.monotonic() < ends):
                some = found[done : done + _BATCH]
                # The condition is repeated: another worker may have changed a row since it was found. The CASE keeps
                # planners from using an index for it: with a million outdated rows SQLite read all of them for each
                # batch, under the lock.
                still = sa.case((stale, 1), else_=0) == 1
                connection.execute(sa.delete(table).where(key.in_(some), still))
                done += len(some)
        return done

    def overwrite_deleted(self) -> None:
        """Make SQLite overwrite deleted data of this store with zeros from now on; other programs could read it in the
        file.
        """
        if self.dialect == "sqlite":
            event.listen(
                self._engine, "begin", lambda connection: connection.exec_driver_sql("PRAGMA secure_delete=ON")
            )

    def close(self) -> None:
        self._engine.dispose()


def _means_that_the_database_is_ill(error: Exception) -> bool:
    """Whether an error is the database's and not ours, such as a violated constraint. SQLite raises the base class
    itself for a damaged file ("malformed", "not a database"). PostgreSQL raises an internal error if the server is
    read-only (SQLSTATE 25006).
    """
    gone = (sa.exc.InterfaceError, sa.exc.TimeoutError, Replaced, NoPasswordError)
    ill = (sa.exc.OperationalError, sa.exc.InternalError, *gone)
    return isinstance(error, ill) or type(error) is sa.exc.DatabaseError or _is_moved(error)


def _is_moved(error: Exception) -> bool:
    """Whether a trigger of SQLite refused the change (change_log.py). The servers have their own errors for that."""
    code = getattr(getattr(error, "orig", None), "sqlite_errorcode", 0)
    return bool(code == sqlite3.SQLITE_CONSTRAINT_TRIGGER)


def _means_that_somebody_holds_it(error: Exception) -> bool:
    """Whether the wait for a lock (SQLITE_BUSY; PostgreSQL's 55P03; MariaDB's 1205) or for a connection timed out."""
    cause = getattr(error, "orig", None)
    if cause is None:
        return isinstance(error, sa.exc.TimeoutError)
    if isinstance(cause, sqlite3.Error):
        return getattr(cause, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
    return getattr(cause, "sqlstate", "") == "55P03" or (bool(cause.args) and cause.args[0] == 1205)


def _summary(error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    return f"{type(cause).__name__}: {cause}".splitlines()[0][:200]
