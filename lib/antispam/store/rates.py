"""Rate counters, shared by all workers and nodes."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from antispam.store.engine import SLICE, Store
from antispam.store.schema import rate


def use(store: Store, name: str, amount: int, now: float, period: float, deadline: Any = None) -> int:
    """Count `amount` more under this name; returns how many there are since the period began, these included. A period of so
    many seconds begins with the first use after the end of the last one. A clock that was put back begins one, too. A power
    cut may undo what was counted last.

    Raises StoreError."""
    over = sa.or_(rate.c.began_at <= now - period, rate.c.began_at > now)
    values = {"name": name, "began_at": now, "used": amount}
    # MariaDB assigns from left to right: what is compared comes last.
    update = {
        "used": sa.case((over, amount), else_=rate.c.used + amount),
        "began_at": sa.case((over, now), else_=rate.c.began_at),
    }
    with store.write(deadline, durable=False) as connection:
        connection.execute(store.upsert(rate, values, key=("name",), update=update))
        return int(connection.scalars(sa.select(rate.c.used).where(rate.c.name == name)).one())


def used(store: Store, name: str, now: float, period: float, deadline: Any = None) -> int:
    """How many there are in the present period. Raises StoreError."""
    present = sa.and_(rate.c.name == name, rate.c.began_at > now - period, rate.c.began_at <= now)
    with store.read(deadline) as connection:
        return int(connection.scalar(sa.select(rate.c.used).where(present)) or 0)


def purge(store: Store, before: float, slice_size: int = SLICE) -> int:
    """Forget a slice of what began before that time; call again while it returns any. Raises StoreError."""
    return store.delete_slice(rate, rate.c.began_at < before, slice_size)
