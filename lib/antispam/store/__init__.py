"""The SQL store: SQLite embedded, PostgreSQL or MariaDB for several nodes."""

from antispam.store.engine import Store, StoreError
from antispam.store.migrate import migrate

__all__ = ["Store", "StoreError", "migrate"]
