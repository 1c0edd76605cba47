"""The greylist: one row per triplet, updated atomically by all workers and nodes.

A client that came back has a row of its own besides, with an empty recipient: `attempts` counts how often, `passed_at` is when
it was counted last.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import hashlib
from collections.abc import Iterable, Iterator

import sqlalchemy as sa

from antispam.deadline import Deadline
from antispam.protocols.senders import stable_sender
from antispam.store.engine import SLICE, Store, StoreBusy
from antispam.store.schema import greylist
from antispam.text import from_wire

COUNT_EVERY = 3600.0
"""Seconds from one return of a client to the next that counts: one delivery to many recipients is one return."""

_PATIENCE = 0.5  # seconds that a message waits to let us count its client
_REFRESH = 8  # the row of a known client is written when an eighth of the time has passed for which it is remembered


class State(enum.StrEnum):
    """The state of a triplet after an attempt."""

    NEW = "new"  # never seen, or forgotten
    EARLY = "early"  # back before the time was up
    PASSED = "passed"  # back in time, for the first time
    KNOWN = "known"  # passed before


@dataclasses.dataclass(frozen=True, slots=True)
class Triplet:
    """What RFC 6647 section 2.3 greylists by. `client` is a network ("192.0.2.0/24") or, where authentication passed, the
    domain that it passed for ("spf:example.org"), so that a provider's whole pool of servers counts as one. Senders are
    compared by what stays the same in them (stable_sender())."""

    client: str
    mail_from: str
    recipient: str

    @property
    def key(self) -> str:
        joined = "\0".join((self.client, stable_sender(self.mail_from), self.recipient)).lower()
        return hashlib.sha256(joined.encode("utf-8", "surrogateescape")).hexdigest()


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """In seconds: how long to wait, until when a retry must have come, how long a triplet that passed is remembered after it
    was last seen. `returns` is how often a client has to come back until it is known; 0 is never."""

    wait: float
    expire: float
    retain: float
    returns: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """What is known about a triplet; times in seconds since the epoch."""

    first_seen: float
    last_seen: float
    passed_at: float | None
    attempts: int


@dataclasses.dataclass(frozen=True, slots=True)
class Standing:
    """The answer to an attempt; `wait` is how many seconds are left, 0 where it may pass."""

    state: State
    wait: float
    record: Record


def advance(record: Record, now: float, limits: Limits) -> Standing:
    """Pure: what another attempt at `now` makes of a record that was there before.

    A record from the future (the clock was set back) starts afresh, so that nobody waits for longer than limits.wait.
    """
    seen_again = dataclasses.replace(record, last_seen=now, attempts=record.attempts + 1)
    in_future = record.first_seen > now or record.last_seen > now
    if record.passed_at is not None:
        if in_future or now - record.last_seen <= limits.retain:
            return Standing(State.KNOWN, 0.0, seen_again)
        return _afresh(now, limits)
    if in_future or now - record.first_seen > limits.expire:
        return _afresh(now, limits)
    left = record.first_seen + limits.wait - now
    if left > 0:
        return Standing(State.EARLY, left, seen_again)
    return Standing(State.PASSED, 0.0, dataclasses.replace(seen_again, passed_at=now))


def _afresh(now: float, limits: Limits) -> Standing:
    if limits.wait <= 0:
        return Standing(State.PASSED, 0.0, Record(now, now, now, 1))
    return Standing(State.NEW, limits.wait, Record(now, now, None, 1))


def attempt(store: Store, triplet: Triplet, now: float, limits: Limits, deadline: Deadline | None = None) -> Standing:
    """Note an attempt at `now` and say where the triplet stands. Raises StoreError, at the `deadline` at the latest.

    While somebody else holds the database's lock nothing can be noted, but what is remembered still counts: who passed before
    passes, and everybody else is asked to come back.
    """
    try:
        return _noted(store, triplet, now, limits, deadline)
    except StoreBusy:
        return _remembered(store, triplet, now, limits, deadline)


def _remembered(store: Store, triplet: Triplet, now: float, limits: Limits, deadline: Deadline | None) -> Standing:
    columns = (greylist.c.first_seen, greylist.c.last_seen, greylist.c.passed_at, greylist.c.attempts)
    try:
        with store.read(deadline) as connection:
            row = connection.execute(sa.select(*columns).where(greylist.c.triplet == triplet.key)).one_or_none()
    except StoreBusy:
        row = None
    return _afresh(now, limits) if row is None else advance(Record(*row), now, limits)


def _noted(store: Store, triplet: Triplet, now: float, limits: Limits, deadline: Deadline | None) -> Standing:
    """The upsert comes first: whether it inserts or changes nothing, it takes the lock of the row, under which the rest of the
    transaction reads and writes.
    """
    table = greylist
    first = _afresh(now, limits)
    patience = None if deadline is None else deadline.remaining() / 2  # the rest is for reading
    with store.write(deadline, patience) as connection:
        connection.execute(
            store.upsert(
                table,
                {
                    "triplet": triplet.key,
                    "client": from_wire(triplet.client, 255),
                    "mail_from": from_wire(triplet.mail_from, 320),
                    "recipient": from_wire(triplet.recipient, 320),
                    **dataclasses.asdict(first.record),
                    "attempts": 0,
                },
                key=("triplet",),
                update={"attempts": table.c.attempts},
            )
        )
        row = connection.execute(
            sa.select(table.c.first_seen, table.c.last_seen, table.c.passed_at, table.c.attempts).where(
                table.c.triplet == triplet.key
            )
        ).one()
        # attempts is 0 only in the row that this very transaction inserted.
        standing = advance(Record(*row), now, limits) if row.attempts else first
        connection.execute(
            sa.update(table).where(table.c.triplet == triplet.key).values(**dataclasses.asdict(standing.record))
        )
    return standing


def is_known(store: Store, client: str, now: float, limits: Limits, deadline: Deadline | None = None) -> bool:
    """Whether a client (a network, as in Triplet) has come back often enough, for whatever mail. Raises StoreError."""
    if not limits.returns:
        return False
    table, key = greylist, _client_key(client)
    query = sa.select(table.c.last_seen, table.c.attempts).where(table.c.triplet == key)
    try:
        with store.read(deadline) as connection:
            row = connection.execute(query).first()
    except StoreBusy:
        return False
    if row is None or row.attempts < limits.returns or now - row.last_seen > limits.retain:
        return False
    if abs(now - row.last_seen) > limits.retain / _REFRESH:
        with contextlib.suppress(StoreBusy), store.write(deadline, _PATIENCE) as connection:
            connection.execute(sa.update(table).where(table.c.triplet == key).values(last_seen=now))
    return True


def came_back(store: Store, client: str, now: float, limits: Limits, deadline: Deadline | None = None) -> None:
    """Count a return of this client, one each COUNT_EVERY; not while somebody else holds the lock. Raises StoreError."""
    table = greylist
    forgotten = table.c.last_seen < now - limits.retain
    due = sa.or_(table.c.passed_at <= now - COUNT_EVERY, table.c.passed_at > now)
    counted = sa.case((forgotten, 1), (due, table.c.attempts + 1), else_=table.c.attempts)
    _note(store, client, now, 1, counted, due, deadline)


def vouch(store: Store, client: str, now: float, limits: Limits, deadline: Deadline | None = None) -> None:
    """Let this client be known from now on, however often it came back; not while somebody else holds the lock. Raises
    StoreError."""
    table = greylist
    enough = sa.case((table.c.attempts < limits.returns, limits.returns), else_=table.c.attempts)
    _note(store, client, now, limits.returns, enough, sa.true(), deadline)


def _note(
    store: Store,
    client: str,
    now: float,
    first: int,
    attempts: sa.ColumnElement[int],
    due: sa.ColumnElement[bool],
    deadline: Deadline | None,
) -> None:
    values = {
        "triplet": _client_key(client),
        "client": from_wire(client, 255),
        "mail_from": "",
        "recipient": "",
        **dataclasses.asdict(Record(now, now, now, first)),
    }
    passed_at = sa.case((due, sa.cast(now, sa.Double)), else_=greylist.c.passed_at)
    # MariaDB assigns from left to right: what is compared comes last.
    update = {"attempts": attempts, "passed_at": passed_at, "last_seen": now}
    with contextlib.suppress(StoreBusy), store.write(deadline, _PATIENCE) as connection:
        connection.execute(store.upsert(greylist, values, key=("triplet",), update=update))


def _client_key(client: str) -> str:
    """No triplet has this key: a client is never called so."""
    return hashlib.sha256(f"client\0{client.lower()}".encode("utf-8", "surrogateescape")).hexdigest()


def take_over(store: Store, known: Iterable[tuple[Triplet, Record]]) -> int:
    """Remember what another greylist knew, a slice of it a transaction; returns how many. A triplet that is known here already
    stays as it is, unless it waits here and passed there. Raises StoreError."""
    best: dict[str, tuple[Triplet, Record]] = {}
    for triplet, record in known:
        before = best.get(triplet.key)
        if before is None or _worth(record) > _worth(before[1]):
            best[triplet.key] = triplet, record
    ordered = sorted(best.items())  # two that take over at once must not wait for each other
    table = greylist
    for start in range(0, len(ordered), SLICE):
        with store.write() as connection:
            for key, (triplet, record) in ordered[start : start + SLICE]:
                values = {
                    "triplet": key,
                    "client": from_wire(triplet.client, 255),
                    "mail_from": from_wire(triplet.mail_from, 320),
                    "recipient": from_wire(triplet.recipient, 320),
                    **dataclasses.asdict(record),
                }
                passed = sa.func.coalesce(table.c.passed_at, sa.cast(record.passed_at, sa.Double))
                connection.execute(store.upsert(table, values, key=("triplet",), update={"passed_at": passed}))
    return len(ordered)


def _worth(record: Record) -> tuple[bool, float]:
    """Of clients that are one network to us, the one that passed speaks for all."""
    return record.passed_at is not None, record.last_seen


def everything(store: Store) -> Iterator[tuple[Triplet, Record]]:
    """All triplets, page by page; not the clients that are known. Raises StoreError."""
    table, last = greylist, ""
    while True:
        with store.read() as connection:
            query = sa.select(table).where(table.c.triplet > last, table.c.recipient != "")
            query = query.order_by(table.c.triplet).limit(SLICE)
            rows = connection.execute(query).all()
        for row in rows:
            record = Record(row.first_seen, row.last_seen, row.passed_at, row.attempts)
            yield Triplet(row.client, row.mail_from, row.recipient), record
        if len(rows) < SLICE:
            return
        last = rows[-1].triplet


@dataclasses.dataclass(frozen=True, slots=True)
class Listed:
    """A triplet with what is known about it; `key` names it in let_pass() and in `after` of newest()."""

    key: str
    triplet: Triplet
    record: Record


def newest(store: Store, limit: int, *, passed: bool, after: tuple[float, str] | None = None) -> list[Listed]:
    """Triplets that passed, or that are waiting, those that were seen last first. A page begins after the one whose `last_seen`
    and `key` are given. Raises StoreError."""
    table = greylist
    state = table.c.passed_at.is_not(None) if passed else table.c.passed_at.is_(None)
    query = sa.select(table).where(state, table.c.recipient != "")
    if after is not None:
        seen, key = after
        later = sa.and_(table.c.last_seen == seen, table.c.triplet > key)
        query = query.where(table.c.last_seen <= seen, sa.or_(table.c.last_seen < seen, later))
    with store.read() as connection:
        rows = connection.execute(query.order_by(table.c.last_seen.desc(), table.c.triplet).limit(limit)).all()
    return [
        Listed(
            row.triplet,
            Triplet(row.client, row.mail_from, row.recipient),
            Record(row.first_seen, row.last_seen, row.passed_at, row.attempts),
        )
        for row in rows
    ]


def let_pass(store: Store, key: str, now: float) -> bool:
    """Let a waiting triplet pass at its next attempt, however soon that comes; false where it does not wait. Raises
    StoreError."""
    waiting = sa.and_(greylist.c.triplet == key, greylist.c.passed_at.is_(None), greylist.c.recipient != "")
    with store.write() as connection:
        return connection.execute(sa.update(greylist).where(waiting).values(passed_at=now, last_seen=now)).rowcount == 1


def purge(store: Store, now: float, limits: Limits, slice_size: int = SLICE) -> int:
    """Forget a slice of the triplets that no longer count; call again while it returns any. Raises StoreError.

    Two statements, each with an index of its own: with OR, databases read every row."""
    table = greylist
    waiting = sa.and_(table.c.passed_at.is_(None), table.c.last_seen < now - limits.expire)
    gone = store.delete_slice(table, waiting, slice_size)
    return gone or store.delete_slice(table, table.c.last_seen < now - limits.retain, slice_size)


def counts(store: Store) -> dict[str, int]:
    """How many triplets passed and how many are waiting. Raises StoreError."""
    passed = sa.case((greylist.c.passed_at.is_(None), "waiting"), else_="passed")
    with store.read() as connection:
        query = sa.select(passed, sa.func.count()).where(greylist.c.recipient != "").group_by(passed)
        rows = connection.execute(query).all()
    return {row[0]: row[1] for row in rows}
