"""Migration of a database to the newest schema. Safe if several nodes start at once.

Alembic is imported only where it is needed: the supervisor and its workers never migrate and would waste 10 MiB each.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from antispam import resources
from antispam.store.connecting import engine_of
from antispam.store.engine import StoreError
from antispam.store.sqlite_file import keep_private

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import ScriptDirectory


class NewerSchema(StoreError):
    """A newer version of this program has upgraded the tables; this version would misread them."""


class HalfMoved(StoreError):
    """The database is half of a move: copying another one into it was interrupted, or everything was moved away."""


class ForeignFolder(PermissionError):
    """Root would create files that the filter's user could not write."""


_LOCK = 0x626D73  # an arbitrary number, the same on all nodes
MOVED_AWAY = "moved_away"  # a table that exists after everything was moved to another database
MOVE_BEGUN = "move_begun"  # the table with the progress of a move into this database; dropped on completion


def migrate(url: str, revision: str = "head", *, moving: bool = False) -> None:
    """Create or upgrade the tables, up to `revision`. Waits while another process does. `moving` says that a move fills
    them. Raises sqlalchemy.exc.SQLAlchemyError, TimeoutError if the other process never ends, NewerSchema, HalfMoved
    unless `moving`, StoreError if Alembic finds no path, NoPasswordError, and ForeignFolder, before anything is
    written, if root would create files in another user's folder.
    """
    leave_to_its_owner(url)
    parsed = sa.engine.make_url(url)
    if (folder := _folder(parsed)) is not None:
        folder.mkdir(parents=True, exist_ok=True)
    engine = engine_of(parsed, poolclass=sa.pool.NullPool)
    if engine.dialect.name == "sqlite":
        keep_private(engine)
    with _alone(engine), engine.begin() as connection:
        _demand_known(connection)
        if not moving:
            _demand_whole(connection)
        _demand_present(connection)
        _let_readers_pass_writers(connection)
        _upgrade(connection, revision)
    engine.dispose()


def _upgrade(connection: sa.Connection, revision: str) -> None:
    import alembic.command
    import alembic.util

    config = _config()
    config.attributes["connection"] = connection
    try:
        alembic.command.upgrade(config, revision)
    except alembic.util.CommandError as error:
        raise StoreError(str(error)) from error


def revision_of(connection: sa.Connection) -> str | None:
    """The schema revision of a database; None if it has no tables yet."""
    from alembic.runtime.migration import MigrationContext

    return MigrationContext.configure(connection).get_current_revision()


def _demand_known(connection: sa.Connection) -> None:
    found = revision_of(connection)
    if found is not None and found not in revisions():
        raise NewerSchema(
            f"its tables were upgraded by a newer version of this program (schema {found}): install that version here, too. "
            "To go back to this one, move the database away and restore a backup"
        )


def _demand_whole(connection: sa.Connection) -> None:
    if sa.inspect(connection).has_table(MOVE_BEGUN):
        raise HalfMoved(
            "only a part of another database has been moved here: complete the move with the same `bms db move` command, "
            "or let [store] url name the former database"
        )


def _demand_present(connection: sa.Connection) -> None:
    if sa.inspect(connection).has_table(MOVED_AWAY):
        raise HalfMoved(
            "everything in it was moved to another database: let [store] url name that one. `bms db move --cancel` makes this "
            "one usable again, without what came since"
        )


def revisions() -> set[str]:
    """The schema revisions that this version knows."""
    return {script.revision for script in _scripts().walk_revisions()}


def newest() -> str:
    """The schema revision of this version."""
    return str(_scripts().get_current_head())


def _scripts() -> ScriptDirectory:
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(_config())


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(resources.folder("sql")).replace("%", "%%"))
    return config


def _folder(url: sa.URL) -> Path | None:
    """The folder of SQLite's files; None for other databases."""
    return Path(url.database).parent if url.get_backend_name() == "sqlite" and url.database else None


def leave_to_its_owner(url: str) -> None:
    """Raises ForeignFolder if root would open another user's database.

    Administrators often run commands as root. The database or its lock would then belong to root, and the filter could
    not start. Switching to the owner instead would surprise administrators who train with mail that only root can read.
    """
    folder = _folder(sa.engine.make_url(url))
    if folder is None or os.geteuid() != 0 or not folder.exists() or (owner := folder.stat().st_uid) == 0:
        return
    try:
        name = pwd.getpwuid(owner).pw_name
    except KeyError:
        name = f"#{owner}"
    raise ForeignFolder(
        f"{folder} belongs to {name}, who could not write what root leaves there. Please give the command as {name}: "
        f"sudo -u {name if name[0] != '#' else repr(name)} bms ..."
    )


def _let_readers_pass_writers(connection: sa.Connection) -> None:
    """Set SQLite's WAL mode, which its file stores. The first worker would have to wait if another process held a lock."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")


@contextlib.contextmanager
def _alone(engine: sa.Engine) -> Iterator[None]:
    """Hold the single lock for migrations. The database (for SQLite, the kernel) releases it if we die."""
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
            # A lock of the transaction, not of the session: behind a pool (PgBouncer) a session is not one server
            # connection.
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        else:
            if connection.scalar(sa.select(sa.func.get_lock(f"bms-{_LOCK}", 600))) != 1:
                raise TimeoutError("another process has been migrating the database for ten minutes")
        yield  # the lock belongs to this connection and ends with it
        connection.invalidate()
