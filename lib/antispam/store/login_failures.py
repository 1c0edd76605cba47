"""Delays after wrong passwords. After several in a row a name has to wait, each time twice as long, whether or not the
account exists.
"""

from __future__ import annotations

import hashlib
import unicodedata

import sqlalchemy as sa

from antispam.store.console_schema import web_failure
from antispam.store.engine import SLICE, Store

LONGEST_WAIT = 3600.0  # seconds
_KEEP = 24 * 3600.0  # seconds for which a wrong password counts


def attempt(store: Store, name: str, now: float, free: int) -> float:
    """Begin a login attempt. Returns 0 if it may proceed, else the seconds until the next attempt. After `free`
    consecutive failures these are one, two, four ... The attempt counts as a failure until forget() is called, so
    simultaneous attempts cannot evade the count. Raises StoreError.
    """
    table, digest = web_failure, _digest(name)
    with store.write(durable=False) as connection:
        query = sa.select(table.c.failures, table.c.failed_at).where(table.c.digest == digest).with_for_update()
        row = connection.execute(query).one_or_none()
        failures = row.failures if row is not None and row.failed_at > now - _KEEP else 0
        if row is not None and failures >= free:
            wait = min(2.0 ** min(failures - free, 30), LONGEST_WAIT)
            if (left := float(min(row.failed_at, now) + wait - now)) > 0:  # a clock that was ahead locks nobody out
                return left
        values = {"failures": failures + 1, "failed_at": now}
        connection.execute(store.upsert(table, {"digest": digest, **values}, key=("digest",), update=values))
    return 0.0


def forget(connection: sa.Connection, name: str) -> None:
    """Reset the count: the password was correct or was changed. Runs in the caller's transaction."""
    connection.execute(sa.delete(web_failure).where(web_failure.c.digest == _digest(name)))


def purge(store: Store, now: float, slice_size: int = SLICE) -> int:
    """Delete a slice of the failures that no longer count. Call again while it returns any. Raises StoreError."""
    return store.delete_slice(web_failure, web_failure.c.failed_at < now - _KEEP, slice_size)


def _digest(name: str) -> str:
    """The digest of the name in the form used with the site's servers. Otherwise each spelling of a name would have its
    own attempts.
    """
    known = unicodedata.normalize("NFKC", name).strip().lower()
    return hashlib.sha256(known.encode("utf-8", "replace")).hexdigest()
