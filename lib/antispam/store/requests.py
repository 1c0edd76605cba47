"""Release requests: users ask for quarantined messages that they may not release themselves, and the helpdesk decides."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from antispam.store.console_schema import release_request
from antispam.store.engine import SLICE, Store
from antispam.text import from_wire

MAX_ANSWER = 500  # characters
MAX_OPEN = 100  # per user
KEPT = 90 * 86400.0  # seconds


class TooMany(ValueError):
    """The user has too many open requests."""


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """A user's request for a message. `decided_at` is None until somebody decides. Seconds since the epoch."""

    number: int
    ref: str
    user: str
    asked_at: float
    decided_at: float | None
    decided_by: str
    granted: bool
    answer: str


def ask(store: Store, ref: str, user: str, now: float) -> bool:
    """Request a message. False if the user has already done so. Raises TooMany and StoreError."""
    table = release_request
    values = {"ref": ref, "user_name": user, "asked_at": now, "decided_by": "", "granted": False, "answer": ""}
    with store.write() as connection:
        mine = sa.and_(table.c.user_name == user, table.c.ref == ref)
        if connection.scalar(sa.select(table.c.id).where(mine)) is not None:
            return False
        waiting = sa.select(sa.func.count()).where(table.c.user_name == user, table.c.decided_at.is_(None))
        if int(connection.scalar(waiting) or 0) >= MAX_OPEN:
            raise TooMany
        connection.execute(store.upsert(table, values, key=("user_name", "ref"), update=None))
    return True


def of_entry(store: Store, ref: str, user: str) -> Request | None:
    """A user's request for a message; None if there is none. Raises StoreError."""
    found = _find(store, [release_request.c.user_name == user, release_request.c.ref == ref], 1)
    return found[0] if found else None


def of_users(store: Store, users: Sequence[str], limit: int) -> list[Request]:
    """The newest requests of these users. Raises StoreError."""
    return _find(store, [release_request.c.user_name.in_(users)], limit) if users else []


def undecided(store: Store, limit: int) -> list[Request]:
    """The open requests of all users, newest first. Raises StoreError."""
    return _find(store, [release_request.c.decided_at.is_(None)], limit)


def decided(store: Store, limit: int) -> list[Request]:
    """The newest requests with a decision. Raises StoreError."""
    return _find(store, [release_request.c.decided_at.is_not(None)], limit)


def of_number(store: Store, number: int) -> Request | None:
    """The request with that number; None if there is none. Raises StoreError."""
    found = _find(store, [release_request.c.id == number], 1)
    return found[0] if found else None


def open_ones(store: Store) -> int:
    """The number of requests that wait for a decision. Raises StoreError."""
    query = sa.select(sa.func.count()).select_from(release_request).where(release_request.c.decided_at.is_(None))
    with store.read() as connection:
        return int(connection.scalar(query) or 0)


def _find(store: Store, conditions: Sequence[sa.ColumnElement[bool]], limit: int) -> list[Request]:
    table = release_request
    query = sa.select(table).where(*conditions).order_by(table.c.asked_at.desc(), table.c.id.desc()).limit(limit)
    with store.read() as connection:
        return [_request(row) for row in connection.execute(query)]


def _request(row: sa.Row[Any]) -> Request:
    return Request(
        row.id, row.ref, row.user_name, row.asked_at, row.decided_at, row.decided_by, bool(row.granted), row.answer
    )


def decide(store: Store, number: int, *, granted: bool, by: str, answer: str, now: float) -> bool:
    """Decide about an open request. False if it was already decided. Raises StoreError."""
    table = release_request
    said = from_wire(answer, MAX_ANSWER)
    values = {"decided_at": now, "decided_by": by, "granted": granted, "answer": said}
    with store.write() as connection:
        waiting = sa.and_(table.c.id == number, table.c.decided_at.is_(None))
        return connection.execute(sa.update(table).where(waiting).values(values)).rowcount == 1


def reopen(store: Store, number: int) -> None:
    """Reopen a request whose decision could not be carried out. Raises StoreError."""
    values = {"decided_at": None, "decided_by": "", "granted": False, "answer": ""}
    with store.write() as connection:
        connection.execute(sa.update(release_request).where(release_request.c.id == number).values(values))


def purge(store: Store, before: float, slice_size: int = SLICE) -> int:
    """Delete a slice of the requests made before that time. Call again while it returns any. Raises StoreError."""
    return store.delete_slice(release_request, release_request.c.asked_at < before, slice_size)
