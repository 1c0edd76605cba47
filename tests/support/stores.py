"""Databases with the newest tables, made by the real migrations once a run and copied after that: a migration takes 40 ms."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from antispam.store import migrate


def snapshot(fill: Callable[[str], None]) -> bytes:
    """The content of an SQLite file that was filled by somebody who was given its URL."""
    with tempfile.TemporaryDirectory(prefix="bms-snapshot-") as folder:
        path = Path(folder, "bms.sqlite")
        fill(sqlite_url(path))
        assert [each.name for each in Path(folder).glob("*-wal")] == [], "somebody has it open still"
        return path.read_bytes()


_with_tables = functools.cache(functools.partial(snapshot, migrate))


def sqlite_url(path: Path) -> str:
    """The URL of an SQLite file."""
    return f"sqlite:///{path}"


def make_store(where: Path | str) -> str:
    """Make an SQLite file (its path, or its URL) with the newest tables, and its folder, unless it exists; its URL."""
    path = Path(str(sa.engine.make_url(where).database) if isinstance(where, str) else where)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_with_tables())
    return sqlite_url(path)
