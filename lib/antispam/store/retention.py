"""Retention of the quarantine: age and size limits per user, applied in slices.

Every slice is a separate transaction that leaves nothing half done. The job can be killed at any moment; the next run
does the rest of the work.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from antispam.store.engine import Store
from antispam.store.quarantine import Entry, Removed, State, lock_messages, page, remove, remove_unused
from antispam.store.schema import quarantine_entry, stored_message
from antispam.store.stored_messages import sweep

SLICE = 20  # entries deleted per transaction: each has its own pages, in two tables and four indexes
SLICE_OCTETS = 1 << 20  # SQLite overwrites deleted data while mail waits
_USERS = 20  # users per query, which reads all entries of each
_MESSAGES = 2000  # messages per query
_ORPHANS = 20  # deleted per transaction: their sizes are not known


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a user's quarantine, in seconds, octets of messages and numbers of messages; 0 means no limit.
    `released` is the time after which a released message is deleted.
    """

    keep: float
    size: int
    messages: int
    released: float


LimitsOf = Callable[[str], Limits]


class Why(enum.StrEnum):
    """The reason for deleting an entry."""

    RELEASED = "released"
    AGE = "too old"
    MESSAGES = "too many"
    SIZE = "too large together"


@dataclasses.dataclass(slots=True)
class Cleaned:
    """The deleted entries by reason, and the numbers of deleted messages: those whose last entry was deleted, and those
    without entries.
    """

    by_reason: dict[Why, Removed] = dataclasses.field(default_factory=dict)
    messages: int = 0
    orphans: int = 0

    @property
    def entries(self) -> int:
        return sum(removed.entries for removed in self.by_reason.values())

    def add(self, why: Why, removed: Removed) -> None:
        total = self.by_reason.setdefault(why, Removed())
        total.entries += removed.entries
        total.octets += removed.octets
        total.messages += removed.messages
        self.messages += removed.messages


def clean(
    store: Store,
    now: float,
    limits_of: LimitsOf,
    *,
    dry_run: bool = False,
    cleaned: Cleaned | None = None,
    rest: Callable[[], None] = lambda: None,
) -> Cleaned:
    """Delete everything beyond the limits; with dry_run only count it.

    cleaned  updated continuously, to show progress and survive interruption
    rest     called between two slices, so that mail can write to the database

    Raises StoreError; completed slices stay completed.
    """
    cleaned = Cleaned() if cleaned is None else cleaned
    for _ in cleaning(store, now, limits_of, cleaned, dry_run=dry_run):
        if not dry_run:
            rest()
    return cleaned


def cleaning(
    store: Store, now: float, limits_of: LimitsOf, cleaned: Cleaned, *, dry_run: bool = False
) -> Iterator[None]:
    """The work of clean(), slice by slice, for callers with other work in between. Raises StoreError."""
    for why, entries in surplus(store, now, limits_of):
        if not entries:
            pass
        elif dry_run:
            cleaned.add(why, Removed(len(entries), sum(entry.size for entry in entries)))
        else:
            cleaned.add(why, remove(store, entries))
        yield
    for refs in _orphans(store):
        if refs:
            cleaned.orphans += len(refs) if dry_run else _remove_orphans(store, refs)
        yield
    if not dry_run:
        yield from sweep(store)


def surplus(store: Store, now: float, limits_of: LimitsOf) -> Iterator[tuple[Why, list[Entry]]]:
    """What the limits don't keep, in slices that one transaction can delete, of which some are empty: each looks at so many
    users. Reads only; nothing that is being released is among it. Raises StoreError."""
    last: str | None = None
    while True:
        users = _some_users(store, last)
        for user in users:
            limits = limits_of(user.user_name)
            if _over(user, now, limits):
                yield from _surplus_of(store, user.user_name, now, limits)
        if len(users) < _USERS:
            return
        last = users[-1].user_name
        yield Why.AGE, []


def _some_users(store: Store, after: str | None) -> Sequence[sa.Row[Any]]:
    """The next users in order of name, each with the amount kept, the arrival time of the oldest entry, and the time of
    the first release.
    """
    table = quarantine_entry
    unreleased = sa.case((table.c.released_at.is_(None), table.c.received_at))
    query = sa.select(
        table.c.user_name,
        sa.func.count().label("messages"),
        sa.func.sum(table.c.size).label("size"),
        sa.func.min(unreleased).label("oldest"),
        sa.func.min(table.c.released_at).label("released"),
    ).group_by(table.c.user_name)
    if after is not None:
        query = query.where(table.c.user_name > after)
    with store.read() as connection:
        return connection.execute(query.order_by(table.c.user_name).limit(_USERS)).all()


def _over(user: sa.Row[Any], now: float, limits: Limits) -> bool:
    """Whether the user exceeds a limit; most are below all limits."""
    return bool(
        (limits.keep and user.oldest is not None and user.oldest < now - limits.keep)
        or (limits.released and user.released is not None and user.released < now - limits.released)
        or (limits.messages and user.messages > limits.messages)
        or (limits.size and user.size > limits.size)
    )


def _surplus_of(store: Store, user: str, now: float, limits: Limits) -> Iterator[tuple[Why, list[Entry]]]:
    table = quarantine_entry
    of_user = table.c.user_name == user
    waiting = table.c.released_at.is_(None)
    released = sa.and_(table.c.released_at < now - limits.released, sa.true() if limits.released else sa.false())
    old = sa.and_(waiting, table.c.received_at < now - limits.keep, sa.true() if limits.keep else sa.false())
    for why, condition in ((Why.RELEASED, released), (Why.AGE, old)):
        yield from _slices((why, entry) for entry in _oldest_first(store, sa.and_(of_user, condition)))
    # The complement is written out: with NULL a plain NOT would be unknown.
    stays = sa.or_(
        sa.and_(waiting, table.c.received_at >= now - limits.keep) if limits.keep else waiting,
        table.c.released_at >= now - limits.released if limits.released else table.c.released_at.is_not(None),
    )
    yield from _slices(_beyond(store, sa.and_(of_user, stays), limits))


def _beyond(store: Store, condition: sa.ColumnElement[bool], limits: Limits) -> Iterator[tuple[Why, Entry]]:
    """The oldest entries, until the rest is within the limits. Entries being released count, but stay."""
    if not (limits.messages or limits.size):
        return
    table = quarantine_entry
    query = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(table.c.size), 0)).where(condition)
    with store.read() as connection:
        messages, size = map(int, connection.execute(query).one())
    for entry in _oldest_first(store, condition):
        if limits.messages and messages > limits.messages:
            yield Why.MESSAGES, entry
        elif limits.size and size > limits.size:
            yield Why.SIZE, entry
        else:
            return
        messages -= 1
        size -= entry.size


def _oldest_first(store: Store, condition: sa.ColumnElement[bool]) -> Iterator[Entry]:
    """The entries that meet the condition, read page by page, without those being released."""
    last: Entry | None = None
    while True:
        entries = page(store, [condition], SLICE, after=last, oldest_first=True)
        yield from (entry for entry in entries if entry.state is not State.UNDER_WAY)
        if len(entries) < SLICE:
            return
        last = entries[-1]


def _slices(doomed: Iterator[tuple[Why, Entry]]) -> Iterator[tuple[Why, list[Entry]]]:
    """The entries in slices with the same reason, as many as one short transaction may delete."""
    why: Why | None = None
    entries: list[Entry] = []
    octets = 0
    for reason, entry in doomed:
        if why is not None and (reason is not why or len(entries) >= SLICE or octets + entry.size > SLICE_OCTETS):
            yield why, entries
            entries, octets = [], 0
        why = reason
        entries.append(entry)
        octets += entry.size
    if why is not None and entries:
        yield why, entries


def _orphans(store: Store) -> Iterator[Sequence[str]]:
    """The messages without entries, in slices, some of them empty: each examines a fixed number of messages. A message
    that is just being written is never visible without its entries.
    """
    table, last = stored_message, ""
    while True:
        used = sa.exists().where(quarantine_entry.c.ref == table.c.ref)
        here = sa.select(table.c.ref).where(table.c.ref > last).order_by(table.c.ref).limit(_MESSAGES).subquery()
        with store.read() as connection:
            end = connection.scalar(sa.select(sa.func.max(here.c.ref)))
            if end is None:
                return
            unused = sa.select(table.c.ref).where(~used, table.c.ref > last, table.c.ref <= end).order_by(table.c.ref)
            refs = connection.scalars(unused).all()
        yield from (refs[at : at + _ORPHANS] for at in range(0, max(1, len(refs)), _ORPHANS))
        last = end


def _remove_orphans(store: Store, refs: Sequence[str]) -> int:
    with store.write() as connection:
        return remove_unused(connection, lock_messages(connection, set(refs)))
