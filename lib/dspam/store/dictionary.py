"""One worker's cache of one user's tokens, kept up to date by tailing the log of trainings."""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from dspam.schema import State, dspam_fold, dspam_page, dspam_training, dspam_user
from dspam.store.database import Database
from dspam.store.records import TOTALS, Counts, Deltas, Keys, Totals, as_tokens, counts_of
from dspam.store.table import Table, table_bytes

_PAGES = 500  # that one statement reads: some 2 MB
_ROWS = 100  # of the log that one statement reads with their deltas
_BEHIND = 2_000  # trainings after which reading everything anew is quicker than catching up
_TRIES = 20

# Numbers in the log are given before the transaction commits, so that a lower one may appear after a higher one. A worker
# looks back as far as it takes a slow transaction to commit; under SQLite, where writers take turns, not at all.
OVERLAP = 30.0  # seconds
_OVERLAP_ROWS = 10_000  # where nobody knows yet which numbers are how old


# Built once, for building them takes longer than SQLite takes to answer.
_training = dspam_training.c
_LOGGED = sa.select(_training.seq, _training.sign, _training.trained_at, _training.content).order_by(_training.seq)
_IN_STATE = _LOGGED.where(
    _training.state == sa.bindparam("state"),
    _training.user_id == sa.bindparam("of"),
    _training.seq > sa.bindparam("after"),
).limit(_ROWS)
_SINCE = sa.select(_training.seq).where(
    _training.state.in_((State.PENDING, State.FOLDING, State.FOLDED)),
    _training.user_id == sa.bindparam("of"),
    _training.seq > sa.bindparam("after"),
)
_SOME_PAGES = (
    sa.select(dspam_page.c.start, dspam_page.c.content)
    .where(dspam_page.c.user_id == sa.bindparam("of"), dspam_page.c.start.in_(sa.bindparam("starts", expanding=True)))
    .order_by(dspam_page.c.start)
)
_BORDER = sa.select(dspam_fold.c.border).where(dspam_fold.c.user_id == sa.bindparam("of"))
USER = sa.select(dspam_user).where(dspam_user.c.id == sa.bindparam("of"))


class UnknownUserError(LookupError):
    """There is no user with this number."""


class Dictionary:
    """All tokens of a user in a table. If they do not fit, only those that are not folded into the pages yet; each message then
    reads the pages it needs.

    Callers must hold `lock`. Exceptions of the database are passed on.

    room   octets that its table may take
    poll   seconds after which it asks for trainings by others
    clock  seconds that never run backwards
    """

    def __init__(
        self, database: Database, user_id: int, *, room: Callable[[], int], poll: float, clock: Callable[[], float]
    ) -> None:
        self.lock = threading.Lock()
        self._database = database
        self._user_id = user_id
        self._room = room
        self._poll = poll
        self._clock = clock
        self._overlap = 0.0 if database.dialect == "sqlite" else OVERLAP
        self._loaded = False
        self._polled_at = 0.0
        self._totals = Totals()
        self._table = Table()
        self._starts: npt.NDArray[np.int64] | None = None  # of the pages, where the tokens aren't all in the table
        self._generation = self._purges = 0
        # Every training up to _floor is known, and of the later ones those in _known.
        self._floor = 0
        self._known: set[int] = set()
        self._marks: collections.deque[tuple[float, int]] = collections.deque()

    @property
    def nbytes(self) -> int:
        return self._table.nbytes + (0 if self._starts is None else self._starts.nbytes)

    @property
    def whole(self) -> bool:
        """Whether all tokens are in memory."""
        return self._starts is None

    def counts(self, keys: Keys, deadline: Any = None) -> Counts:
        """Shape (n, 3). Raises UnknownUserError."""
        self._refresh(deadline)
        while not self.whole:
            paged = self._paged(keys, deadline)
            if paged is not None:
                return paged + self._table.get(keys)
            self._load(deadline)
        return self._table.get(keys)

    def totals(self, deadline: Any = None) -> Totals:
        """Raises UnknownUserError."""
        self._refresh(deadline)
        return self._totals

    def learned(self, seq: int, sign: int, deltas: Deltas) -> None:
        """Add a committed training, unless it is already known."""
        if not self._loaded or seq <= self._floor or seq in self._known:
            return
        if (
            self.whole
            and (more := self._table.would_take(len(deltas.keys))) > self._table.nbytes
            and more > self._room()
        ):
            self._loaded = False
            return
        self._known.add(seq)
        self._table.add(deltas.keys, deltas.counts, sign)
        self._totals = self._totals.plus(deltas.totals, sign)

    def learned_together(self, seqs: Sequence[int], sums: Deltas) -> None:
        """Add trainings that were committed together, of which these are the sums."""
        unknown = [seq for seq in seqs if seq > self._floor and seq not in self._known]
        if self._loaded and unknown and len(unknown) < len(seqs):
            self._loaded = False  # some of them were read from the log meanwhile
        elif unknown:
            self.learned(unknown[0], 1, sums)
            self._known.update(unknown)

    def _refresh(self, deadline: Any) -> None:
        now = self._clock()
        if not self._loaded:
            self._load(deadline)
        elif now - self._polled_at >= self._poll:
            with self._database.read(deadline) as connection:
                user = self._user(connection)
                # A purge does not pass through the log, and what is folded is no longer to be added to the pages.
                current = user.purges == self._purges and (self.whole or user.generation == self._generation)
                current = current and self._catch_up(connection, now)
            if current:
                self._polled_at = now
            else:
                self._load(deadline)

    def _catch_up(self, connection: sa.Connection, now: float) -> bool:
        """Read the trainings of other workers. Returns False if there are too many."""
        seqs = connection.scalars(_SINCE, {"of": self._user_id, "after": self._floor})
        new = [seq for seq in seqs if seq not in self._known]
        if len(new) > _BEHIND:
            return False
        for begin in range(0, len(new), _ROWS):
            rows = connection.execute(_LOGGED.where(_training.seq.in_(new[begin : begin + _ROWS])))
            for seq, sign, _, content in rows:
                if content is None:
                    return False
                self.learned(seq, sign, Deltas.unpack(content))
        if not self._loaded:
            return False
        self._advance_floor(now)
        return True

    def _advance_floor(self, now: float) -> None:
        self._marks.append((now, max(self._known, default=self._floor)))
        while self._marks and self._marks[0][0] <= now - self._overlap:
            self._floor = max(self._floor, self._marks.popleft()[1])
        self._known = {seq for seq in self._known if seq > self._floor}

    def _user(self, connection: sa.Connection) -> sa.Row[Any]:
        row = connection.execute(USER, {"of": self._user_id}).one_or_none()
        if row is None:
            raise UnknownUserError(f"there is no user number {self._user_id}")
        return row

    def _load(self, deadline: Any) -> None:
        """Read everything. On databases where each statement sees its own snapshot, equal generations before and after prove
        that nothing was folded meanwhile."""
        whole, room = True, self._room()
        for _ in range(_TRIES):
            now = self._clock()
            with self._database.read(deadline) as connection:
                user = self._user(connection)
                whole = whole and table_bytes(user.tokens) <= room
                self._start_afresh(connection, user, whole)
                fits = self._read_pages(connection, room) if whole else self._read_starts(connection)
                fits = fits and self._read_log(connection, room)
                self._loaded = fits and self._user(connection).generation == self._generation
            if self._loaded:
                self._polled_at = now
                self._marks = collections.deque([(now, max(self._known, default=self._floor))])
                return
            whole = whole and fits
        raise RuntimeError(f"the tokens of user number {self._user_id} change faster than they can be read")

    def _start_afresh(self, connection: sa.Connection, user: sa.Row[Any], whole: bool) -> None:
        self._loaded = False
        self._generation, self._purges = user.generation, user.purges
        self._totals = Totals(*(getattr(user, name) for name in TOTALS))
        self._table = Table(user.tokens if whole else 0)
        self._starts = None if whole else np.empty(0, dtype=np.int64)
        highest = connection.scalar(sa.select(sa.func.max(dspam_training.c.seq))) or 0
        self._floor = highest if not self._overlap else max(0, highest - _OVERLAP_ROWS)
        self._known = set()

    def _read_pages(self, connection: sa.Connection, room: int) -> bool:
        """Returns False if they do not fit into memory."""
        for contents in page_slices(connection, self._user_id):
            tokens = as_tokens(b"".join(content for _, content in contents))
            if self._table.would_take(len(tokens)) > room:
                return False
            self._table.add(tokens["key"].astype(np.int64), counts_of(tokens))
        return True

    def _read_starts(self, connection: sa.Connection) -> bool:
        self._starts = starts_of(connection, self._user_id)
        return True

    def _read_log(self, connection: sa.Connection, room: int) -> bool:
        """Returns False if it does not fit into memory beside the tokens."""
        border = border_of(connection, self._user_id)
        for state, rows in unfolded_slices(connection, self._user_id):
            lessons = [(sign, Deltas.unpack(content)) for _, sign, _, content in rows]
            if state is State.FOLDING and border is not None:
                lessons = [(sign, deltas.from_key(border)) for sign, deltas in lessons]
            keys = np.concatenate([deltas.keys for _, deltas in lessons])
            if self.whole and self._table.would_take(len(keys)) > room:
                return False
            self._table.add(keys, np.concatenate([deltas.counts * np.int32(sign) for sign, deltas in lessons]))
            for sign, deltas in lessons:
                self._totals = self._totals.plus(deltas.totals, sign)
            self._known.update(seq for seq, *_ in rows)
        folded = sa.select(dspam_training.c.seq).where(
            dspam_training.c.state == State.FOLDED,
            dspam_training.c.user_id == self._user_id,
            dspam_training.c.seq > self._floor,
        )
        self._known.update(connection.scalars(folded))
        return True

    def _paged(self, keys: Keys, deadline: Any) -> Counts | None:
        """The counts in the pages; None if they were rewritten meanwhile."""
        assert self._starts is not None
        counts = np.zeros((len(keys), 3), dtype=np.int32)
        starts = self._starts[np.unique(page_numbers(self._starts, keys))].tolist()
        with self._database.read(deadline) as connection:
            tokens = as_tokens(b"".join(content for _, content in pages(connection, self._user_id, starts)))
            if self._user(connection).generation != self._generation:
                return None
        if len(tokens):
            where = np.minimum(np.searchsorted(tokens["key"], keys), len(tokens) - 1)
            found = np.flatnonzero(tokens["key"][where] == keys)
            counts[found] = counts_of(tokens[where[found]])
        return counts


def page_numbers(starts: npt.NDArray[np.int64], keys: Keys) -> npt.NDArray[np.intp]:
    """The page of each key: the last one that does not start after it, or else the first. Empty if there are no pages."""
    if not len(starts):
        return np.empty(0, dtype=np.intp)
    return np.maximum(np.searchsorted(starts, keys, side="right") - 1, 0)


def starts_of(connection: sa.Connection, user_id: int) -> npt.NDArray[np.int64]:
    starts = sa.select(dspam_page.c.start).where(dspam_page.c.user_id == user_id).order_by(dspam_page.c.start)
    return np.fromiter(connection.scalars(starts), dtype=np.int64)


def pages(connection: sa.Connection, user_id: int, starts: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """(start, content) of these pages, which are sorted, in their order."""
    for begin in range(0, len(starts), _PAGES):
        wanted = {"of": user_id, "starts": starts[begin : begin + _PAGES]}
        yield from [(row[0], row[1]) for row in connection.execute(_SOME_PAGES, wanted).all()]


def page_slices(
    connection: sa.Connection, user_id: int, after: int | None = None, size: int = _PAGES
) -> Iterator[list[tuple[int, bytes]]]:
    """(start, content) of all pages that start after `after`, in order, in lists of at most `size`."""
    query = sa.select(dspam_page.c.start, dspam_page.c.content).where(dspam_page.c.user_id == user_id)
    query = query.order_by(dspam_page.c.start).limit(size)
    while True:
        rows = connection.execute(query if after is None else query.where(dspam_page.c.start > after)).all()
        if rows:
            yield [(row.start, row.content) for row in rows]
        if len(rows) < size:
            return
        after = rows[-1].start


Logged = tuple[int, int, float, bytes]
"""seq, sign, trained_at, content"""


def border_of(connection: sa.Connection, user_id: int) -> int | None:
    """The key below which trainings in state FOLDING are already in the pages; None if no fold is in progress."""
    return connection.scalar(_BORDER, {"of": user_id})


def unfolded_slices(connection: sa.Connection, user_id: int) -> Iterator[tuple[State, list[Logged]]]:
    """The trainings that are not folded, or not completely, in batches."""
    for state in (State.FOLDING, State.PENDING):
        yield from ((state, rows) for rows in logged_slices(connection, user_id, state))


def logged_slices(connection: sa.Connection, user_id: int, state: State) -> Iterator[list[Logged]]:
    """The user's trainings in that state, oldest first, in batches."""
    after = 0
    while True:
        rows = connection.execute(_IN_STATE, {"of": user_id, "after": after, "state": state}).all()
        if rows:
            yield [(row.seq, row.sign, row.trained_at, row.content) for row in rows]
        if len(rows) < _ROWS:
            return
        after = rows[-1].seq
