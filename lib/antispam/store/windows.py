"""Recent activity in sliding windows, for example of the last hour, and logins that were stopped because of it.

The count is that of the current period plus the part of the previous period that the window still covers: 100 in the
previous period count as 75 a quarter of a period later. This takes one row per name and one statement per use.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from antispam.store.engine import SLICE, Store
from antispam.store.prepared import Prepared, returning, upsert
from antispam.store.schema import rate_window, stopped_login
from antispam.text import from_wire


@dataclasses.dataclass(frozen=True, slots=True)
class Stopped:
    """A login that may not send, with the time (seconds since the epoch) and the reason."""

    login: str
    stopped_at: float
    reason: str


_WINDOW = (rate_window.c.name, rate_window.c.slot, rate_window.c.used, rate_window.c.earlier)
_FIND = sa.select(*_WINDOW).where(rate_window.c.name.in_(sa.bindparam("names", expanding=True)))
_FIND_STOPPED = Prepared(
    lambda _: sa.select(stopped_login).where(
        stopped_login.c.login == sa.bindparam("login", type_=stopped_login.c.login.type)
    )
)


def _count(dialect: str) -> sa.Executable:
    table = rate_window
    slot = sa.bindparam("slot_now", type_=table.c.slot.type)
    amount = sa.bindparam("amount", type_=table.c.used.type)
    now = sa.bindparam("now", type_=table.c.used_at.type)
    same, next_one = table.c.slot == slot, table.c.slot == slot - 1
    # MariaDB assigns from left to right, so columns that are compared come last.
    update = {
        "earlier": sa.case((same, table.c.earlier), (next_one, table.c.used), else_=0),
        "used": sa.case((same, table.c.used + amount), else_=amount),
        "slot": slot,
        "used_at": now,
    }
    return returning(upsert(dialect, table, None, ("name",), update), *_WINDOW, dialect=dialect)


_COUNT = Prepared(_count)


def use(store: Store, amounts: Mapping[str, int], now: float, period: float, deadline: Any = None) -> dict[str, float]:
    """Add an amount to each of these names. Returns the amounts in the last `period` seconds, including these. A
    negative amount reduces the count. If the clock was set back, counting starts again. Raises StoreError.
    """
    slot = int(now // period)
    common = {"slot": slot, "slot_now": slot, "used_at": now, "now": now, "earlier": 0}
    with store.write_returning(deadline) if len(amounts) == 1 else store.write(deadline) as connection:
        # The same order everywhere, so that two transactions cannot deadlock.
        counting = ({**common, "name": name, "used": used, "amount": used} for name, used in sorted(amounts.items()))
        rows = [row for one in counting for row in _COUNT.rows(connection, one)]
        if len(rows) < len(amounts):
            return _used(connection, amounts, now, period)
    return {name: _in_window(at, often, earlier, now, period) for name, at, often, earlier in rows}


def used(store: Store, names: Iterable[str], now: float, period: float, deadline: Any = None) -> dict[str, float]:
    """The amounts of these names in the last `period` seconds. Raises StoreError."""
    with store.read(deadline) as connection:
        return _used(connection, names, now, period)


def busiest(store: Store, prefix: str, now: float, period: float, most: int = 20) -> list[tuple[str, float]]:
    """The names with this prefix that have the largest current amounts, returned without the prefix. Raises StoreError."""
    recent = sa.and_(rate_window.c.used_at > now - 2 * period, rate_window.c.name.startswith(prefix, autoescape=True))
    with store.read() as connection:
        rows = connection.execute(sa.select(*_WINDOW).where(recent)).all()
    found = ((row.name.removeprefix(prefix), _in_window(*row[1:], now, period)) for row in rows)
    return sorted((one for one in found if one[1] > 0), key=lambda one: (-one[1], one[0]))[:most]


def _used(connection: sa.Connection, names: Iterable[str], now: float, period: float) -> dict[str, float]:
    wanted = list(names)
    rows = connection.execute(_FIND, {"names": wanted})
    return dict.fromkeys(wanted, 0.0) | {row.name: _in_window(*row[1:], now, period) for row in rows}


def _in_window(counted: int, used: int, earlier: int, now: float, period: float) -> float:
    """The amount in the window, from a row whose period is `counted`."""
    slot, into = divmod(now, period)
    left = 1.0 - into / period  # part of the previous period
    if counted == slot:
        return float(used + earlier * left)
    return float(used * left) if counted == slot - 1 else 0.0


def purge(store: Store, before: float, slice_size: int = SLICE) -> int:
    """Delete a slice of the names last used before that time. Call again while it returns any. Raises StoreError."""
    return store.delete_slice(rate_window, rate_window.c.used_at < before, slice_size)


def stop(store: Store, connection: sa.Connection, login: str, reason: str, now: float) -> float:
    """Stop a login, in the caller's transaction. Returns the time since which it is stopped, which may be earlier than
    now.
    """
    values = {"login": login, "stopped_at": now, "reason": from_wire(reason, 255)}
    connection.execute(store.upsert(stopped_login, values, key=("login",), update=None))
    since = sa.select(stopped_login.c.stopped_at).where(stopped_login.c.login == login)
    return float(connection.scalars(since).one())


def find_stopped(store: Store, login: str, deadline: Any = None) -> Stopped | None:
    """The stop of a login; None if it may send. Raises StoreError."""
    with store.read(deadline) as connection:
        row = _FIND_STOPPED.row(connection, {"login": login})
    return None if row is None else Stopped(*row)


def all_stopped(store: Store) -> list[Stopped]:
    """All stopped logins, the latest first. Raises StoreError."""
    with store.read() as connection:
        rows = connection.execute(sa.select(stopped_login).order_by(stopped_login.c.stopped_at.desc())).all()
    return [Stopped(row.login, row.stopped_at, row.reason) for row in rows]


def release(store: Store, login: str, name: str) -> bool:
    """Let a login send again and reset its count, which is under `name`. False if it was not stopped. Raises
    StoreError.
    """
    with store.write() as connection:
        gone = connection.execute(sa.delete(stopped_login).where(stopped_login.c.login == login)).rowcount
        if gone:
            connection.execute(sa.delete(rate_window).where(rate_window.c.name == name))
    return bool(gone)
