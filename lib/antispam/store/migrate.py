"""Brings a database to the newest schema; safe where several nodes start at once."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

import alembic.command
import alembic.config
import sqlalchemy as sa

from antispam import resources

_LOCK = 0x626D73  # any number that all nodes agree on


def migrate(url: str, revision: str = "head") -> None:
    """Create or upgrade the tables, up to `revision`. Waits while another process does. Raises sqlalchemy.exc.SQLAlchemyError,
    and TimeoutError where the other one never ends."""
    parsed = sa.engine.make_url(url)
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(parsed, poolclass=sa.pool.NullPool)
    with _alone(engine), engine.begin() as connection:
        _let_readers_pass_writers(connection)
        config = alembic.config.Config()
        config.set_main_option("script_location", str(resources.folder("sql")).replace("%", "%%"))
        config.attributes["connection"] = connection
        alembic.command.upgrade(config, revision)
    engine.dispose()


def _let_readers_pass_writers(connection: sa.Connection) -> None:
    """SQLite's file remembers its mode. Set here and not by the first worker, who would wait where somebody holds a lock."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")


@contextlib.contextmanager
def _alone(engine: sa.Engine) -> Iterator[None]:
    """Hold the one lock for migrations, which the database (or, for SQLite, the kernel) drops if we die."""
    backend = engine.dialect.name
    if backend == "sqlite":
        if not engine.url.database:
            yield
            return
        with open(f"{engine.url.database}.migrate", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        return
    with engine.connect() as connection:
        if backend == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_lock(_LOCK)))
        else:
            if connection.scalar(sa.select(sa.func.get_lock(f"bms-{_LOCK}", 600))) != 1:
                raise TimeoutError("another process has been migrating the database for ten minutes")
        yield  # the lock belongs to this connection and ends with it
        connection.invalidate()
