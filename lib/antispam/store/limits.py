"""Time limits for transactions, whatever the database does. A hanging server, or a path that drops packets, gives no
sign by itself, and no driver has a time-out that suits every statement.
"""

from __future__ import annotations

import contextlib
import contextvars
import select
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from antispam.chores import failed, steady
from antispam.deadline import Clock

EVERY = 0.1  # seconds between two searches for statements that take too long
SILENT = 5.0  # seconds after which an idle connection is tested before use: firewalls drop idle connections silently
_SHORTEST_CONNECT = 1.0  # seconds; psycopg takes 2 for anything less


class Limit:
    """The time limit of a transaction. `over` is True after it was cut off."""

    __slots__ = ("ends", "over")

    def __init__(self, ends: float) -> None:
        self.ends = ends
        self.over = False

    def passed(self) -> bool:
        """Whether the time is over. The server has the same limit and may notice before the watch does."""
        return self.over or time.monotonic() >= self.ends


_current: contextvars.ContextVar[Limit | None] = contextvars.ContextVar("store_limit", default=None)


@contextlib.contextmanager
def limited(ends: float | None) -> Iterator[Limit | None]:
    """A context in which all database operations must end by that time (of time.monotonic()); None means no limit."""
    limit = None if ends is None else Limit(ends)
    token = _current.set(limit)
    try:
        yield limit
    finally:
        _current.reset(token)


class Watch:
    """Cuts off connections whose time is over. It has its own thread, which runs only while there is something to
    watch. One per engine.

    clock  seconds that never run backwards
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._watched: dict[int, tuple[Limit, Callable[[], None]]] = {}
        self._some = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, key: int, limit: Limit, cut: Callable[[], None]) -> None:
        """Call `cut` when the time is over, unless end(key) is called before."""
        with self._lock:
            self._watched[key] = limit, cut
            if self._thread is None:
                self._thread = steady("store-limits", self._work, threading.Event())
                self._thread.start()
        self._some.set()

    def end(self, key: int) -> None:
        with self._lock:
            self._watched.pop(key, None)

    def sweep(self) -> bool:
        """Cut off all connections whose time is over. Returns whether anything is left to watch."""
        with self._lock:
            now = self._clock()
            over = [key for key, (limit, _) in self._watched.items() if now >= limit.ends]
            # Under the lock, so that the connection is not given to another user meanwhile.
            for key in over:
                limit, cut = self._watched.pop(key)
                limit.over = True
                try:
                    cut()
                except Exception:  # noqa: BLE001 - whatever a driver raises, other connections still have to be cut off
                    failed("store-limits")
            if not self._watched:
                self._some.clear()
            return bool(self._watched)

    def _work(self) -> None:
        while True:
            self._some.wait()
            time.sleep(EVERY)
            self.sweep()


def watch_over(engine: sa.Engine) -> None:
    """Make connecting, and all use of the engine's connections, end at the limit in force (limited())."""
    watch = Watch()

    def begin(connection: Any, record: Any) -> None:
        limit = _current.get()
        if limit is not None and connection is not None:
            watch.begin(id(record), limit, _cut_for(engine.dialect.name, connection, record))

    def gone(_connection: Any, record: Any, *_: Any) -> None:
        watch.end(id(record))
        if (descriptor := record.info.pop("socket", None)) is not None:
            descriptor.close()

    def made(connection: Any, record: Any) -> None:
        if engine.dialect.driver == "pymysql":
            # The limit was for connecting only; the watch measures what follows. There is no public interface for this.
            connection._read_timeout = connection._write_timeout = None
        begin(connection, record)

    def checked_out(connection: Any, record: Any, _proxy: Any) -> None:
        begin(connection, record)
        if engine.dialect.name != "sqlite" and not record.info.pop("fresh", False) and not _lives(record.info):
            _demand_life(engine.dialect, connection)

    def checked_in(_connection: Any, record: Any) -> None:
        watch.end(id(record))
        record.info["idle since"] = time.monotonic()

    event.listen(engine, "do_connect", _hasten)
    event.listen(engine, "connect", lambda _connection, record: record.info.update(fresh=True))
    event.listen(engine, "connect", made, insert=True)
    event.listen(engine, "checkout", checked_out)
    event.listen(engine, "checkin", checked_in)
    event.listen(engine, "close", gone)
    event.listen(engine, "invalidate", gone)


def _lives(known: dict[str, Any]) -> bool:
    """Whether an idle connection is usable as far as this machine knows, without a round trip: it was used a moment
    ago, and nothing has arrived from the server since. A server that ends a connection says so or closes the socket,
    and both are readable.
    """
    if "socket" not in known or time.monotonic() - known.get("idle since", 0.0) > SILENT:
        return False
    look = select.poll()
    look.register(known["socket"], select.POLLIN)
    return not look.poll(0)


def _demand_life(dialect: Any, connection: Any) -> None:
    """Test a connection that was idle. If it is dead, SQLAlchemy takes a new one, and tries three times."""
    try:
        alive = dialect.do_ping(connection)
    except dialect.dbapi.Error as error:
        raise sa.exc.DisconnectionError(str(error)) from error
    if not alive:
        raise sa.exc.DisconnectionError("the server did not answer")


def _hasten(dialect: Any, _record: Any, _arguments: Any, parameters: dict[str, Any]) -> None:
    """Limit the time for connecting to the time that is left."""
    limit = _current.get()
    if limit is None or dialect.name == "sqlite":
        return
    left = max(_SHORTEST_CONNECT, limit.ends - time.monotonic())
    parameters["connect_timeout"] = left if dialect.driver == "pymysql" else max(1, int(left))
    if dialect.driver == "pymysql":
        parameters |= {"read_timeout": left, "write_timeout": left}


def _cut_for(dialect: str, connection: Any, record: Any) -> Callable[[], None]:
    """The function that cuts off a connection from another thread. It uses a second descriptor: the driver may close
    the first at any moment, and its number may then belong to another file.
    """
    if dialect == "sqlite":
        return lambda: _interrupt(connection)
    known = record.info.get("socket")
    if known is None:
        descriptor = connection.fileno() if dialect == "postgresql" else connection._sock.fileno()
        known = record.info["socket"] = socket.fromfd(descriptor, socket.AF_UNIX, socket.SOCK_STREAM)
    return lambda: _shut(known)


def _interrupt(connection: sqlite3.Connection) -> None:
    with contextlib.suppress(sqlite3.ProgrammingError):  # already closed
        connection.interrupt()


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):  # already gone
        end.shutdown(socket.SHUT_RDWR)
