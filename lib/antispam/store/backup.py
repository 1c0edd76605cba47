"""Backup and restore of the whole store while the filter runs.

An SQLite file can't be copied by `cp`: what was committed lately is in a second file beside it. SQLite's own backup copies
one state of the database, while others go on writing. Servers have programs of their own for it; here they are only named.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sqlite3
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

PAGES = 2_000  # at a time: some milliseconds
Progress = Callable[[int, int], None]
"""Called with the number of pages that are still to be copied, and of all."""


class BackupError(Exception):
    """The copy cannot be made or used; the text says why."""


def of_server(url: sa.engine.URL, file: Path) -> tuple[str, str] | None:
    """The commands that save and restore a database server's data; None for SQLite. The password is not in them: both clients
    take it from a file of their own, or ask."""
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
    """Copy an SQLite database to `file`, which appears once it is whole, readable for its owner only. Raises BackupError."""
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
        os.link(part, file)  # unlike rename() it never replaces a file that came into being meanwhile
    except (OSError, sqlite3.Error) as error:
        raise BackupError(f"{file} can't be written: {error}") from error
    finally:
        part.unlink(missing_ok=True)


def check(file: Path, known: set[str]) -> None:
    """Raises BackupError for what is no backup of ours, is damaged, or is of a newer version. `known` are the revisions of the
    schema that this version knows."""
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
    """Replace the content of an SQLite database by that of a backup: all of it, or nothing. Raises BackupError."""
    try:
        _copy(file, database, progress)
    except (OSError, sqlite3.Error) as error:
        raise BackupError(f"{database} can't be restored: {error}") from error


def _copy(source: Path, target: Path, progress: Progress) -> None:
    reading = sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True, timeout=30, isolation_level=None)
    with contextlib.closing(reading), contextlib.closing(sqlite3.connect(target, timeout=30)) as writing:
        # One state of the database for the whole copy; otherwise each write by somebody else would begin it anew.
        reading.execute("BEGIN")
        reading.execute("SELECT count(*) FROM sqlite_master").fetchone()
        reading.backup(writing, pages=PAGES, progress=lambda status, left, total: progress(left, total), sleep=0.05)
