"""The interface that the filter needs from a database: short transactions. The application's store implements it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import sqlalchemy as sa


class Database(Protocol):
    """Temporary failures (locked, full, gone, out of time) raise the store's own exception, which is passed on."""

    @property
    def dialect(self) -> str:
        """ "sqlite", "postgresql", "mysql" or "mariadb"."""

    def read(self, deadline: Any = None) -> AbstractContextManager[sa.Connection]:
        """A connection for reading; `deadline` is of whatever type the store takes."""

    def write(self, deadline: Any = None, *, durable: bool = True) -> AbstractContextManager[sa.Connection]:
        """A transaction: committed at the end of the block, rolled back if the block raises. Unless it is durable, a power cut
        may undo it, together with all that was written after it."""

    def upsert(
        self, table: sa.Table, values: Mapping[str, Any], key: Sequence[str], update: Mapping[str, Any] | None
    ) -> sa.sql.dml.Insert:
        """One atomic statement: insert the row or, if one with this key exists, set `update` (None: leave it as it is)."""
