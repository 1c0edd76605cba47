"""Wrong passwords: after some in a row a name waits, twice as long each time, whether or not there is such an account."""

from __future__ import annotations

import hashlib
import unicodedata

import sqlalchemy as sa

from antispam.store.console_schema import web_failure
from antispam.store.engine import SLICE, Store

LONGEST_WAIT = 3600.0  # seconds
_KEEP = 24 * 3600.0  # seconds for which a wrong password counts


def attempt(store: Store, name: str, now: float, free: int) -> float:
    """Begin a try to log in: 0 if it may go on, else the seconds until the next one may. After `free` wrong ones in a row
    these are one, two, four ... It counts as wrong until forget(): tries at the same moment can't overtake the count. Raises
    StoreError."""
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
    """The password was right, or there is another one; within the caller's transaction."""
    connection.execute(sa.delete(web_failure).where(web_failure.c.digest == _digest(name)))


def purge(store: Store, now: float, slice_size: int = SLICE) -> int:
    """Forget a slice of what no longer counts; call again while it returns any. Raises StoreError."""
    return store.delete_slice(web_failure, web_failure.c.failed_at < now - _KEEP, slice_size)


def _digest(name: str) -> str:
    """Of the form that the site's servers are asked for: else each way to write a name would have tries of its own."""
    known = unicodedata.normalize("NFKC", name).strip().lower()
    return hashlib.sha256(known.encode("utf-8", "replace")).hexdigest()
