"""Rate counters, shared by all workers and nodes."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from antispam.store.engine import SLICE, Store
from antispam.store.prepared import Prepared, returning, upsert
from antispam.store.schema import rate


def _count(dialect: str) -> sa.Executable:
    """Count a use. A period that began at `ended` or before is over."""
    amount, now, ended = (
        sa.bindparam(name, type_=column.type)
        for name, column in (("amount", rate.c.used), ("now", rate.c.began_at), ("ended", rate.c.began_at))
    )
    over = sa.or_(rate.c.began_at <= ended, rate.c.began_at > now)
    # MariaDB assigns from left to right, so columns that are compared come last.
    update = {
        "used": sa.case((over, amount), else_=rate.c.used + amount),
        "began_at": sa.case((over, now), else_=rate.c.began_at),
    }
    statement = upsert(dialect, rate, None, ("name",), update)
    return returning(statement, rate.c.began_at, rate.c.used, dialect=dialect)


_COUNT = Prepared(_count)
_FIND = Prepared(
    lambda _: sa.select(rate.c.began_at, rate.c.used).where(rate.c.name == sa.bindparam("name", type_=rate.c.name.type))
)


def use(store: Store, name: str, amount: int, now: float, period: float, deadline: Any = None) -> int:
    """Add `amount` to the counter of this name. Returns the count since its period began, including this. A period (in
    seconds) begins with the first use after the end of the previous one, or if the clock was set back. A power cut may
    undo the most recent counts.

    Raises StoreError.
    """
    values = {"name": name, "began_at": now, "used": amount}
    with store.write_returning(deadline, durable=False) as connection:
        row = _COUNT.row(connection, {**values, "amount": amount, "now": now, "ended": now - period})
        row = row or _FIND.row(connection, {"name": name})
    assert row is not None
    return int(row[1])


def used(store: Store, name: str, now: float, period: float, deadline: Any = None) -> int:
    """The count in the current period. Raises StoreError."""
    with store.read(deadline) as connection:
        row = _FIND.row(connection, {"name": name})
    return int(row[1]) if row is not None and now - period < row[0] <= now else 0


def purge(store: Store, before: float, slice_size: int = SLICE) -> int:
    """Delete a slice of the periods that began before that time. Call again while it returns any. Raises StoreError."""
    return store.delete_slice(rate, rate.c.began_at < before, slice_size)
