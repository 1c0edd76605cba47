"""What the filter wants of a database: short transactions. The application's own store offers it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import sqlalchemy as sa


class Database(Protocol):
    """What can't be done now (locked, full, gone, out of time) raises the store's own exception, which passes through here."""

    @property
    def dialect(self) -> str:
        """ "sqlite", "postgresql", "mysql" or "mariadb"."""

    def read(self, deadline: Any = None) -> AbstractContextManager[sa.Connection]:
        """A connection for reading; `deadline` is of whatever type the store takes."""

    def write(self, deadline: Any = None) -> AbstractContextManager[sa.Connection]:
        """A transaction, committed at the end of the block, rolled back where the block raises."""

    def upsert(
        self, table: sa.Table, values: Mapping[str, Any], key: Sequence[str], update: Mapping[str, Any] | None
    ) -> sa.sql.dml.Insert:
        """One atomic statement: insert the row, or, where one with this key exists, set `update` (None: leave it alone)."""
