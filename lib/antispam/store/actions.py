"""The log of actions by helpdesk and administrators in the console, kept for a year."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from antispam.store.console_schema import console_action
from antispam.store.engine import SLICE, Store
from antispam.text import from_wire

KEPT = 365 * 86400.0  # seconds
_LONGEST = 1000  # characters


class Action(NamedTuple):
    """One action: who did what, and when (seconds since the epoch). `number` increases with each."""

    number: int
    at: float
    account: str
    what: str


def note(store: Store, account: str, what: str, now: float) -> None:
    """Record an action. `what` completes a sentence that begins with the account. Raises StoreError."""
    values = {"at": now, "account": from_wire(account, 255), "what": from_wire(what, _LONGEST)}
    with store.write() as connection:
        connection.execute(sa.insert(console_action).values(values))


def latest(store: Store, limit: int, *, before: int | None = None) -> list[Action]:
    """The latest actions, newest first; with `before`, only those with lower numbers. Raises StoreError."""
    query = sa.select(console_action).order_by(console_action.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(console_action.c.id < before)
    with store.read() as connection:
        return [Action(*row) for row in connection.execute(query)]


def purge(store: Store, now: float, slice_size: int = SLICE) -> int:
    """Delete a slice of the actions that are too old. Call again while it returns any. Raises StoreError."""
    return store.delete_slice(console_action, console_action.c.at < now - KEPT, slice_size)
