"""Backup and restore of the whole store while the filter runs.

An SQLite file cannot be copied by `cp`: recent commits are in a second file beside it. SQLite's own backup copies one
state of the database while others go on writing. Database servers have their own programs for this; this module only
names them.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sqlite3
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

PAGES = 2_000  # copied at a time; takes a few milliseconds
Progress = Callable[[int, int], None]
"""Called with the number of pages left to copy and the total."""


class BackupError(Exception):
    """The backup cannot be made or used; the text says why."""


def of_server(url: sa.engine.URL, file: Path) -> tuple[str, str] | None:
    """The commands that save and restore the data of a database server; None for SQLite. They do not contain the
    password: both clients read it from their own file or ask for it.
    """
    name = shlex.quote(url.database or "")
    host = f" --host={shlex.quote(url.host)}" if url.host else ""
    user = f" --username={shlex.quote(url.username)}" if url.username else ""
    port = f" --port={url.port}" if url.port else ""
    place = shlex.quote(str(file))
    match url.get_backend_name():
        case "postgresql":
            where = f"{host}{port}{user} --dbname={name}"
            return (
                f"pg_dump --format=custom --file={place}{where}",
                f"pg_restore --clean --if-exists --single-transaction{where} {place}",
            )
        case "mysql" | "mariadb":
            where = f"{host}{port}{user.replace('--username', '--user')}"
            return (
                f"mariadb-dump --single-transaction --result-file={place}{where} {name}",
                f"mariadb{where} {name} < {place}",
            )
    return None


def save(database: Path, file: Path, progress: Progress = lambda left, total: None) -> None:
    """Copy an SQLite database to `file`, which appears only when complete and is readable by its owner only. Raises
    BackupError.
    """
    if not database.exists():
        raise BackupError(f"there is no database {database} yet")
    if file.exists():
        raise BackupError(f"{file} exists; please name another file, or move it away")
    part = file.with_name(f"{file.name}.part")
    try:
        os.close(os.open(part, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600))
        _copy(database, part, progress)
        with part.open("rb+") as written:
            os.fsync(written.fileno())
        os.link(part, file)  # unlike rename(), it never replaces a file created meanwhile
    except (OSError, sqlite3.Error) as error:
        raise BackupError(f"{file} can't be written: {error}") from error
    finally:
        part.unlink(missing_ok=True)


def check(file: Path, known: set[str]) -> None:
    """Raises BackupError if the file is not one of our backups, is damaged, or comes from a newer version. `known`
    holds the schema revisions that this version knows.
    """
    if not file.is_file():
        raise BackupError(f"there is no file {file}")
    try:
        with contextlib.closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            (revision,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except (sqlite3.Error, TypeError) as error:
        raise BackupError(f"{file} is no backup of this program: {error}") from error
    if found != "ok":
        raise BackupError(f"{file} is damaged: {found}")
    if revision not in known:
        raise BackupError(
            f"{file} was made by a newer version of this program (schema {revision}); please update first"
        )


def put_back(file: Path, database: Path, progress: Progress = lambda left, total: None) -> None:
    """Replace the content of an SQLite database with that of a backup, completely or not at all. Raises BackupError."""
    try:
        _copy(file, database, progress)
    except (OSError, sqlite3.Error) as error:
        raise BackupError(f"{database} can't be restored: {error}") from error


def _copy(source: Path, target: Path, progress: Progress) -> None:
    reading = sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True, timeout=30, isolation_level=None)
    with contextlib.closing(reading), contextlib.closing(sqlite3.connect(target, timeout=30)) as writing:
        # The whole copy sees one state of the database; otherwise each write by another process would restart it.
        reading.execute("BEGIN")
        reading.execute("SELECT count(*) FROM sqlite_master").fetchone()
        reading.backup(writing, pages=PAGES, progress=lambda status, left, total: progress(left, total), sleep=0.05)
