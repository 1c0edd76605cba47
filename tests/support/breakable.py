"""Databases that `make soak` can break: each kind locks what mail needs, and a server can be away for a while."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import sqlalchemy as sa

from support.databases import MariaDB, PostgreSQL
from support.stores import make_store


@dataclasses.dataclass(frozen=True, slots=True)
class Breakable:
    """A database with the newest tables, which are empty.

    lock     keeps everybody else from writing to the quarantine for so many seconds
    restart  ends the server, and starts it again after so many seconds; None for SQLite, which has none
    """

    url: str
    lock: Callable[[float], None]
    restart: Callable[[float], None] | None = None


def _locking(url: str, statement: str) -> Callable[[float], None]:
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)

    def lock(seconds: float) -> None:
        # The lock may not be had in time, or a limit of the server may end it: both are faults as good as this one.
        with contextlib.suppress(sa.exc.DBAPIError), engine.connect() as connection:
            connection.exec_driver_sql(statement)
            time.sleep(seconds)

    return lock


@contextlib.contextmanager
def _sqlite() -> Iterator[Breakable]:
    with tempfile.TemporaryDirectory(prefix="bms-soak-") as folder:
        url = make_store(Path(folder, "bms.sqlite"))
        yield Breakable(url, _locking(url, "BEGIN IMMEDIATE"))


@contextlib.contextmanager
def _server(kind: type[PostgreSQL] | type[MariaDB], statement: str) -> Iterator[Breakable]:
    with kind() as server:
        server.keep_promises()

        def restart(seconds: float) -> None:
            server.stop()
            time.sleep(seconds)
            server.restart()

        url = server.new_store()
        yield Breakable(url, _locking(url, statement), restart)


STORES: dict[str, Callable[[], AbstractContextManager[Breakable]]] = {
    "sqlite": _sqlite,
    "postgresql": lambda: _server(PostgreSQL, "LOCK TABLE quarantine_entry IN EXCLUSIVE MODE"),
    "mariadb": lambda: _server(MariaDB, "LOCK TABLES quarantine_entry WRITE"),
}
