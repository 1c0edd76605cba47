"""The greylist: one row per triplet, updated atomically by all workers and nodes.

A client that retried also has a row of its own, with an empty recipient: `attempts` counts its returns, and `passed_at`
is the time of the last counted one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa

from antispam.deadline import Deadline
from antispam.protocols.senders import stable_sender
from antispam.store import greylist_statements as statements
from antispam.store.engine import SLICE, Store, StoreBusy
from antispam.store.schema import greylist
from antispam.text import from_wire

COUNT_EVERY = 3600.0
"""Seconds between two counted returns of a client: a delivery to many recipients is one return."""

_PATIENCE = 0.5  # seconds that a message waits for its client to be counted
_REFRESH = 8  # a known client's row is rewritten after an eighth of the time for which it is remembered
_LATELY = 6 * 3600.0  # seconds for which a triplet that passed is not written again
_AT_ONCE = 100  # simultaneous attempts of one triplet, which retry until each is recorded


class State(enum.StrEnum):
    """The state of a triplet after an attempt."""

    NEW = "new"  # never seen, or expired
    EARLY = "early"  # retried too early
    PASSED = "passed"  # retried in time, for the first time
    KNOWN = "known"  # passed before
    CLIENT = "client"  # its client's network retried often enough, for any mail


@dataclasses.dataclass(frozen=True, slots=True)
class Triplet:
    """The key of greylisting (RFC 6647 section 2.3). `client` is a network ("192.0.2.0/24") or, if authentication passed, the
    authenticated domain ("spf:example.org"), so that a provider's whole pool of servers counts as one. Of senders, only the
    constant part is compared (stable_sender())."""

    client: str
    mail_from: str
    recipient: str

    @property
    def key(self) -> str:
        joined = "\0".join((self.client, stable_sender(self.mail_from), self.recipient)).lower()
        return hashlib.sha256(joined.encode("utf-8", "surrogateescape")).hexdigest()


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """The limits of greylisting in seconds: the wait, the time within which a retry must come, and how long a triplet that
    passed is remembered after its last use. `returns` is the number of returns after which a client is known; 0 means never."""

    wait: float
    expire: float
    retain: float
    returns: int = 0

    @property
    def lately(self) -> float:
        """The seconds after which a triplet that passed is written again. It is remembered for as many more."""
        return min(_LATELY, self.retain / _REFRESH)


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """The record of a triplet. Times are in seconds since the epoch."""

    first_seen: float
    last_seen: float
    passed_at: float | None
    attempts: int


@dataclasses.dataclass(frozen=True, slots=True)
class Standing:
    """The answer to an attempt. `wait` is the number of seconds left, 0 if it may pass."""

    state: State
    wait: float
    record: Record


def advance(record: Record, now: float, limits: Limits) -> Standing:
    """The result of another attempt at `now`, given the existing record. A pure function.

    A record from the future (the clock was set back) starts again, so that nobody waits longer than limits.wait."""
    seen_again = dataclasses.replace(record, last_seen=now, attempts=record.attempts + 1)
    in_future = record.first_seen > now or record.last_seen > now
    if record.passed_at is not None:
        if in_future or now - record.last_seen <= limits.retain + limits.lately:
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


class _Attempt(NamedTuple):
    """An attempt at `now`. `client_key` is the key of the client's own row; "" if networks do not count."""

    triplet: Triplet
    key: str
    client_key: str
    now: float
    limits: Limits

    @property
    def first(self) -> Standing:
        """The answer for a new triplet."""
        return _afresh(self.now, self.limits)

    def standing(self, found: Mapping[str, Record]) -> Standing | None:
        """The answer given the records found; None if none is of the triplet."""
        client, record = found.get(self.client_key), found.get(self.key)
        if client is not None and _counts(client, self.now, self.limits):
            return Standing(State.CLIENT, 0.0, client)
        return None if record is None else advance(record, self.now, self.limits)

    def is_noted(self, before: Record, standing: Standing) -> bool:
        """Whether nothing has to be written: the triplet passed and was seen recently."""
        return standing.state is State.KNOWN and abs(self.now - before.last_seen) <= self.limits.lately


def attempt(
    store: Store, triplet: Triplet, now: float, limits: Limits, deadline: Deadline | None = None, network: str = ""
) -> Standing:
    """Record an attempt at `now` and return the state of the triplet. Nothing is written if the client's `network` is known, or
    if the triplet passed and was written recently. Raises StoreError, at the `deadline` at the latest.

    While another process holds the database's lock, nothing can be written, but existing records still count: triplets that
    passed before pass, and all others are asked to retry.

    With SQLite, a power cut may undo the most recent attempts. A 451 promises nothing, the client only waits once more, and the
    next durable transaction, for example of the history, writes this one to the disk as well."""
    one = _Attempt(triplet, triplet.key, _client_key(network) if network and limits.returns else "", now, limits)
    with contextlib.suppress(StoreBusy):
        for _ in range(_AT_ONCE):
            if (standing := _noted(store, one, deadline)) is not None:
                return standing
    try:
        return one.standing(_find(store, one, deadline)) or one.first
    except StoreBusy:
        return one.first


def _noted(store: Store, one: _Attempt, deadline: Deadline | None) -> Standing | None:
    """The answer to an attempt, which is recorded. None if another process recorded one at the same moment, so that the records
    found are outdated."""
    patience = None if deadline is None else deadline.remaining() / 2  # the rest is for reading
    found = _find_or_add(store, one, deadline, patience)
    if statements.ADDED in found:
        return one.first
    standing = one.standing(found)
    if standing is None:
        return None
    if standing.state is State.CLIENT:
        _refresh(store, one.client_key, standing.record, one.now, one.limits, deadline)
        return standing
    before, after = found[one.key], standing.record
    if one.is_noted(before, standing):
        return standing
    parameters = {
        "key": one.key,
        "seen_before": before.last_seen,
        "attempts_before": before.attempts,
        "passed_before": before.passed_at,
        "now": after.last_seen,
        "first": after.first_seen,
        "passed": after.passed_at,
        "count": after.attempts,
    }
    with store.write_once(deadline, patience, durable=False) as connection:
        return standing if statements.ADVANCE.change(connection, parameters) else None


def _find(store: Store, one: _Attempt, deadline: Deadline | None) -> dict[str, Record]:
    """The records of an attempt's triplet and of its client, by key."""
    with store.read(deadline) as connection:
        rows = statements.FIND.rows(connection, {"key": one.key, "client_key": one.client_key})
    return {key: Record(*rest) for key, *rest in rows}


def _find_or_add(store: Store, one: _Attempt, deadline: Deadline | None, patience: float | None) -> dict[str, Record]:
    """The same, but a row is added for a new triplet; the key ADDED says so."""
    if store.dialect != "postgresql":
        found = _find(store, one, deadline)
        if one.standing(found) is None:
            with store.write_once(deadline, patience, durable=False) as connection:
                if statements.ADD.change(connection, _row(one.key, one.triplet, one.first.record)):
                    found[statements.ADDED] = one.first.record
        return found
    parameters = {
        "key": one.key,
        "client_key": one.client_key,
        "returns": one.limits.returns,
        "retain": one.limits.retain,
        "client_name": from_wire(one.triplet.client, 255),
        "sender": from_wire(one.triplet.mail_from, 320),
        "rcpt": from_wire(one.triplet.recipient, 320),
        "now": one.now,
        "passed": one.first.record.passed_at,
    }
    with store.write_once(deadline, patience, durable=False) as connection:
        rows = statements.FIND_OR_ADD.rows(connection, parameters)
    return {key: Record(*rest) for key, *rest in rows}


def _row(key: str, triplet: Triplet, record: Record) -> dict[str, Any]:
    return {
        "triplet": key,
        "client": from_wire(triplet.client, 255),
        "mail_from": from_wire(triplet.mail_from, 320),
        "recipient": from_wire(triplet.recipient, 320),
        "first_seen": record.first_seen,
        "last_seen": record.last_seen,
        "passed_at": record.passed_at,
        "attempts": record.attempts,
    }


def is_known(store: Store, client: str, now: float, limits: Limits, deadline: Deadline | None = None) -> bool:
    """Whether a client (a network, as in Triplet) has retried often enough, for any mail. Raises StoreError."""
    if not limits.returns:
        return False
    key = _client_key(client)
    try:
        with store.read(deadline) as connection:
            row = statements.FIND.row(connection, {"key": key, "client_key": key})
    except StoreBusy:
        return False
    if row is None or not _counts(record := Record(*row[1:]), now, limits):
        return False
    _refresh(store, key, record, now, limits, deadline)
    return True


def _counts(client: Record, now: float, limits: Limits) -> bool:
    return client.attempts >= limits.returns and now - client.last_seen <= limits.retain


def _refresh(store: Store, key: str, client: Record, now: float, limits: Limits, deadline: Deadline | None) -> None:
    """Renew a known client: it is remembered from now on."""
    if abs(now - client.last_seen) > limits.retain / _REFRESH:
        with contextlib.suppress(StoreBusy), store.write_once(deadline, _PATIENCE) as connection:
            statements.REFRESH.change(connection, {"key": key, "now": now})


def came_back(store: Store, client: str, now: float, limits: Limits, deadline: Deadline | None = None) -> None:
    """Count a return of this client, at most one per COUNT_EVERY. Does nothing while another process holds the lock. Raises
    StoreError."""
    since = {"now": now, "counted": now - COUNT_EVERY, "forgotten": now - limits.retain}
    parameters = _client_row(client, now, 1) | since
    with contextlib.suppress(StoreBusy), store.write_once(deadline, _PATIENCE) as connection:
        statements.COUNT_RETURN.change(connection, parameters)


def vouch(store: Store, client: str, now: float, limits: Limits, deadline: Deadline | None = None) -> None:
    """Make this client known from now on, however often it has retried. Does nothing while another process holds the lock.
    Raises StoreError."""
    parameters = _client_row(client, now, limits.returns) | {"now": now, "returns": limits.returns}
    with contextlib.suppress(StoreBusy), store.write_once(deadline, _PATIENCE) as connection:
        statements.VOUCH.change(connection, parameters)


def _client_row(client: str, now: float, returns: int) -> dict[str, Any]:
    return _row(_client_key(client), Triplet(client, "", ""), Record(now, now, now, returns))


def _client_key(client: str) -> str:
    """The key of the client's own row. No triplet has this key, because no client has such a name."""
    return hashlib.sha256(f"client\0{client.lower()}".encode("utf-8", "surrogateescape")).hexdigest()


def take_over(store: Store, known: Iterable[tuple[Triplet, Record]]) -> int:
    """Import the triplets of another greylist, one slice per transaction. Returns their number. A triplet that exists here is
    kept, unless it waits here and passed there. Raises StoreError."""
    best: dict[str, tuple[Triplet, Record]] = {}
    for triplet, record in known:
        before = best.get(triplet.key)
        if before is None or _worth(record) > _worth(before[1]):
            best[triplet.key] = triplet, record
    ordered = sorted(best.items())  # two simultaneous imports must not deadlock
    table = greylist
    for start in range(0, len(ordered), SLICE):
        with store.write() as connection:
            for key, (triplet, record) in ordered[start : start + SLICE]:
                values = _row(key, triplet, record)
                passed = sa.func.coalesce(table.c.passed_at, sa.cast(record.passed_at, sa.Double))
                connection.execute(store.upsert(table, values, key=("triplet",), update={"passed_at": passed}))
    return len(ordered)


def _worth(record: Record) -> tuple[bool, float]:
    """The sort key for clients of one network: the one that passed counts for all."""
    return record.passed_at is not None, record.last_seen


def everything(store: Store) -> Iterator[tuple[Triplet, Record]]:
    """All triplets, page by page, without the known clients. Raises StoreError."""
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
    """A triplet with its record. `key` identifies it in let_pass() and in `after` of newest()."""

    key: str
    triplet: Triplet
    record: Record


def newest(store: Store, limit: int, *, passed: bool, after: tuple[float, str] | None = None) -> list[Listed]:
    """The triplets that passed, or those that wait, the last seen first. A page begins after the triplet whose `last_seen` and
    `key` are given. Raises StoreError."""
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
    """Let a waiting triplet pass at its next attempt, however soon. False if it does not wait. Raises StoreError."""
    waiting = sa.and_(greylist.c.triplet == key, greylist.c.passed_at.is_(None), greylist.c.recipient != "")
    with store.write() as connection:
        return connection.execute(sa.update(greylist).where(waiting).values(passed_at=now, last_seen=now)).rowcount == 1


def purge(store: Store, now: float, limits: Limits, slice_size: int = SLICE) -> int:
    """Delete a slice of the triplets that no longer count. Call again while it returns any. Raises StoreError. It uses two
    statements, each with its own index: with OR, databases read every row."""
    table = greylist
    waiting = sa.and_(table.c.passed_at.is_(None), table.c.last_seen < now - limits.expire)
    gone = store.delete_slice(table, waiting, slice_size)
    return gone or store.delete_slice(table, table.c.last_seen < now - limits.retain - limits.lately, slice_size)
