"""The observations of identities, in SQL.

A vote is one row in a log: an insert that never waits for a lock. From time to time the log is folded into the rings. The first
statement for each identity is an upsert that locks its row, so two nodes may fold at the same time. Readers add the rows that
are still in the log.
"""

from __future__ import annotations

import operator
import time
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from dspam.store.database import Database
from gossip.observations import MOST, MOST_OF_PEER, Observations
from gossip.schema import reputation, reputation_vote

PEER = "PEER"  # in place of the method of authentication: how often another node agreed with us
_FOLDED = 500  # messages per call
_OF_ONE = 100  # and per identity
HOLD = 0.01  # seconds
_LONGEST = 320


def identity(domain: str, how: str) -> str:
    """The name under which a domain authenticated in this way is stored."""
    return f"{domain.lower()}:{how}"[:_LONGEST]


def vote_row(
    umis: str, identity: str, now: float, *, ref: str = "", vote: int | None = None, asked_at: float | None = None
) -> dict[str, object]:
    """A row of the log: a message that was asked about, and its verdict if known."""
    return {
        "umis": umis,
        "identity": identity,
        "ref": ref,
        "asked_at": now if asked_at is None else asked_at,
        "voted_at": None if vote is None else now,
        "vote": vote,
        "number": None,
        "told": None,
    }


def _size_of(name: str) -> int:
    return MOST_OF_PEER if name.endswith(f":{PEER}") else MOST


class Records:
    """The records of this process. Thread-safe. Errors of the database are raised as they are."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, identity: str, deadline: Any = None) -> Observations | None:
        """The observations, including the log, or None if there are none."""
        with self._database.read(deadline) as connection:
            found = _ring(connection, identity)
            pending = _pending(connection, identity, newest=True)
        if found is None and not pending:
            return None
        made = found or Observations(_size_of(identity))
        _add_all(made, pending)
        return made

    def note(self, row: dict[str, object], deadline: Any = None) -> None:
        """Insert a row into the log. An existing row with the same umis is kept."""
        with self._database.write(deadline) as connection:
            connection.execute(self._database.upsert(reputation_vote, row, key=("umis",), update=None))

    def feedback(self, umis: str, vote: int, now: float, deadline: Any = None) -> bool:
        """Record or correct the verdict on a message. Returns False if the message is unknown. Repeating it changes nothing."""
        table = reputation_vote
        with self._database.read(deadline) as connection:
            name = connection.scalar(sa.select(table.c.identity).where(table.c.umis == umis))
        if name is None:
            return False
        with self._database.write(deadline) as connection:
            made = self._locked(connection, name, now)
            row = connection.execute(sa.select(table.c.vote, table.c.number).where(table.c.umis == umis)).one_or_none()
            if row is None:
                return False
            if row.vote != vote:
                if row.number is not None and made.change(row.number, vote):
                    _write(connection, name, made)
                voted_at = sa.func.coalesce(table.c.voted_at, now)
                change = sa.update(table).where(table.c.umis == umis)
                connection.execute(change.values(vote=vote, voted_at=voted_at, told=None))
        return True

    def report(self, ref: str, vote: int, now: float, deadline: Any = None) -> int:
        """The same for every identity asked about for our message with this reference. Returns their number."""
        with self._database.read(deadline) as connection:
            query = sa.select(reputation_vote.c.umis).where(
                reputation_vote.c.ref == ref, reputation_vote.c.vote.is_not(None)
            )
            known = connection.scalars(query).all() if ref else []
        return sum(self.feedback(umis, vote, now, deadline) for umis in known)

    def fold(self, now: float) -> bool:
        """Fold part of the log into the rings, the oldest rows first. Returns True while more is left. The transaction ends
        after it has held its lock for HOLD seconds."""
        with self._database.read() as connection:
            oldest = connection.scalars(_OLDEST_NAMES).all()
        names = sorted(set(oldest))  # rows are always locked in this order, which prevents deadlocks
        if not names:
            return False
        more = len(oldest) == _FOLDED
        with self._database.write() as connection:
            ends = time.monotonic() + HOLD
            for number, name in enumerate(names):
                if number and time.monotonic() >= ends and self._database.dialect == "sqlite":
                    return True
                more = self._fold(connection, name, now) or more
        return more

    def _fold(self, connection: sa.Connection, name: str, now: float) -> bool:
        """Fold the oldest rows of an identity. Returns True if there may be more."""
        made = self._locked(connection, name, now)
        pending = _pending(connection, name, newest=False)
        if not pending:
            return False  # another node did it first
        numbers = [{"of": umis, "to": number} for umis, number in _add_all(made, pending)]
        _write(connection, name, made)
        table = reputation_vote
        connection.execute(
            sa.update(table).where(table.c.umis == sa.bindparam("of")).values(number=sa.bindparam("to")), numbers
        )
        return len(pending) == _OF_ONE

    def _locked(self, connection: sa.Connection, name: str, now: float) -> Observations:
        """The ring; its row is locked until the transaction ends."""
        size = _size_of(name)
        empty = _values(name, Observations(size, first_seen=now, last_seen=now))
        lock = {"total": reputation.c.total}
        connection.execute(self._database.upsert(reputation, empty, key=("identity",), update=lock))
        made = _ring(connection, name)
        assert made is not None
        return made

    def put(self, name: str, observations: Observations, deadline: Any = None) -> None:
        """Replace the observations of an identity."""
        values = _values(name, observations)
        with self._database.write(deadline) as connection:
            connection.execute(sa.delete(reputation_vote).where(reputation_vote.c.identity == name))
            connection.execute(self._database.upsert(reputation, values, key=("identity",), update=values))

    def reset(self, name: str, deadline: Any = None) -> bool:
        """Forget an identity and its messages. Returns whether there was anything to forget."""
        with self._database.write(deadline) as connection:
            rows = connection.execute(sa.delete(reputation).where(reputation.c.identity == name)).rowcount
            rows += connection.execute(sa.delete(reputation_vote).where(reputation_vote.c.identity == name)).rowcount
        return bool(rows)

    def everything(self, names: Sequence[str] = (), page: int = 500) -> Iterator[tuple[str, Observations]]:
        """All identities in order of name, or only those that equal one of `names` or start with one and a colon. Call fold()
        first."""
        last = ""
        while True:
            query = sa.select(reputation).where(reputation.c.identity > last).order_by(reputation.c.identity)
            if names:
                query = query.where(sa.or_(*(_matches(name) for name in names)))
            with self._database.read() as connection:
                rows = connection.execute(query.limit(page)).all()
            for row in rows:
                yield row.identity, _observations(row)
            if len(rows) < page:
                return
            last = rows[-1].identity


def _matches(name: str) -> sa.ColumnElement[bool]:
    column = reputation.c.identity
    return sa.or_(column == name, column.startswith(f"{name}:", autoescape=True))


_RING = sa.select(reputation).where(reputation.c.identity == sa.bindparam("name"))
_PENDING = sa.select(*(reputation_vote.c[name] for name in ("umis", "vote", "asked_at", "voted_at"))).where(
    reputation_vote.c.number.is_(None),
    reputation_vote.c.identity == sa.bindparam("name"),
    reputation_vote.c.voted_at > 0,  # equivalent to a vote, and indexed
)
_IN_ORDER = operator.itemgetter(3, 0)
_NEWEST = _PENDING.order_by(reputation_vote.c.voted_at.desc()).limit(MOST)
_OLDEST = _PENDING.order_by(reputation_vote.c.voted_at).limit(_OF_ONE)
_OLDEST_NAMES = (
    sa.select(reputation_vote.c.identity)
    .where(reputation_vote.c.number.is_(None), reputation_vote.c.voted_at > 0)
    .order_by(reputation_vote.c.voted_at)
    .limit(_FOLDED)
)


def _ring(connection: sa.Connection, name: str) -> Observations | None:
    row = connection.execute(_RING, {"name": name}).one_or_none()
    return None if row is None else _observations(row)


def _pending(connection: sa.Connection, name: str, *, newest: bool) -> list[Any]:
    """The rows of the log that are not in the ring yet, in the order in which they happened; at most one ring of them, the
    newest or the oldest."""
    rows = connection.execute(_NEWEST if newest else _OLDEST, {"name": name}).all()
    return sorted(rows, key=_IN_ORDER) if len(rows) > 1 else list(rows)


def _add_all(made: Observations, pending: Sequence[Any]) -> list[tuple[str, int]]:
    """Add rows of the log. Returns the number given to each message. The identity is as old as the first of them."""
    if pending and not made.total:
        made.first_seen = pending[0].asked_at
    return [(umis, made.add(vote, voted_at)) for umis, vote, _, voted_at in pending]


def _write(connection: sa.Connection, name: str, made: Observations) -> None:
    connection.execute(sa.update(reputation).where(reputation.c.identity == name).values(_values(name, made)))


def _values(name: str, made: Observations) -> dict[str, object]:
    octets = (made.size + 7) // 8
    return {
        "identity": name,
        "size": made.size,
        "total": made.total,
        "ham": made.ham.to_bytes(octets, "little"),
        "unsure": made.unsure.to_bytes(octets, "little"),
        "first_seen": made.first_seen,
        "last_seen": made.last_seen,
    }


def _observations(row: sa.Row[Any]) -> Observations:
    ham, unsure = int.from_bytes(row.ham, "little"), int.from_bytes(row.unsure, "little")
    return Observations(row.size, row.total, ham, unsure, row.first_seen, row.last_seen)
