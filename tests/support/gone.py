"""A database that is gone."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from antispam.store import StoreError


class Gone:
    """Stands for a Store: whatever is asked of the database fails."""

    dialect = "sqlite"

    def upsert(self, *args: object, **options: object) -> None:
        """Statements can be made still."""

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        return _fail


def _fail(*args: object, **options: object) -> NoReturn:
    raise StoreError("disk I/O error")
