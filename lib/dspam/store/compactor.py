"""Folds the log of trainings into the pages of tokens, and deletes what is too old. Any number of nodes may run it at any time,
and it may be killed at any moment: every change is one short transaction, which is rolled back if another process changed the
user's pages since they were read (dspam_user.generation). A fold takes several transactions; any node continues one that was
interrupted."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from dspam.schema import State, dspam_fold, dspam_page, dspam_training, dspam_user
from dspam.store.database import Database
from dspam.store.dictionary import USER, border_of, logged_slices, page_numbers, page_slices, pages, starts_of
from dspam.store.records import TOTALS, Deltas, Keys, Tokens, Totals, as_tokens, merge

FOLD_ENTRIES = 500_000  # keys of pending trainings that are folded together: some 50 MB while it runs
_FOLD_ROWS = 500  # trainings that are folded together: to mark them holds the lock for some 10 ms
_FOLD_KEYS, _FOLD_PAGES = 6_000, 40  # that one transaction folds, and rewrites, at most
_FULLEST = 256  # tokens of a page; one that holds more is split,
_HALF_FULL = 160  # into pages of no more than these
_PURGED = 100  # pages that one slice of a purge reads, and rewrites at most with the lock in hand
_IN = 500  # numbers in one list of a statement
_DAY = 86_400.0  # seconds
_NO_DAYS = np.empty(0, dtype=np.uint16)

# Built once, for a fold consists of hundreds of short transactions.
_CLAIM = (
    sa.update(dspam_user)
    .where(dspam_user.c.id == sa.bindparam("of"), dspam_user.c.generation == sa.bindparam("seen"))
    .values(
        {
            name: dspam_user.c[name] + sa.bindparam(f"more_{name}")
            for name in (*TOTALS, "generation", "tokens", "purges")
        }
    )
)
_GONE = sa.delete(dspam_page).where(
    dspam_page.c.user_id == sa.bindparam("of"), dspam_page.c.start.in_(sa.bindparam("starts", expanding=True))
)
_MOVE_BORDER = sa.update(dspam_fold).where(dspam_fold.c.user_id == sa.bindparam("of")).values(border=sa.bindparam("to"))
_END_FOLD = sa.delete(dspam_fold).where(dspam_fold.c.user_id == sa.bindparam("of"))


def compact(database: Database, *, rows: int = 200, before: float = math.inf) -> int:
    """Do all that compacting() does; returns how many trainings were folded."""
    return sum(compacting(database, rows=rows, before=before))


def compacting(database: Database, *, rows: int = 200, before: float = math.inf) -> Iterator[int]:
    """Fold, of every user who has `rows` pending trainings or one from before that time (seconds since the epoch), all of them.

    Yields after each transaction how many trainings it finished: whoever does this beside the mail can rest between two, or
    stop. A fold rewrites the pages it touches, so rare and large ones are cheaper than frequent small ones; workers know of
    pending trainings all the same, but a worker that starts has to read them. A training that a newer version wrote keeps
    its own user's dictionary from being folded, and no other; it raises ValueError at the end.
    """
    training = dspam_training.c
    due = sa.select(training.user_id, sa.func.count()).where(training.state == State.PENDING).group_by(training.user_id)
    if before < math.inf:
        due = due.having(sa.or_(sa.func.count() >= rows, sa.func.min(training.trained_at) < before))
    halfway = sa.select(training.user_id).where(training.state == State.FOLDING).distinct()
    with database.read() as connection:
        waiting = [(user_id, 1) for user_id in connection.scalars(halfway)]
        waiting += [(row[0], row[1]) for row in connection.execute(due)]
    unreadable: ValueError | None = None
    for user_id, left in waiting:
        try:
            # Those that come meanwhile wait for the next time, or this would never end on a busy node.
            while left > 0:
                before_batch = left
                for folded in folding(database, user_id):
                    left -= folded
                    yield folded
                if left == before_batch:
                    break
        except ValueError as error:
            unreadable = error
    if unreadable is not None:
        raise unreadable


def fold(database: Database, user_id: int, entries: int = FOLD_ENTRIES) -> int:
    """Do all that folding() does. Returns how many trainings were folded; 0 if none is pending, or somebody else changes
    the user's pages at this moment."""
    return sum(folding(database, user_id, entries))


def folding(database: Database, user_id: int, entries: int = FOLD_ENTRIES) -> Iterator[int]:
    """Fold the user's oldest pending trainings, with some `entries` keys in all, or go on with those that a fold left halfway.

    One short transaction a slice of the keys: until the last, the trainings are FOLDING, and dspam_fold tells how far they are
    in the pages, so that everybody counts each of their keys once. Yields after each how many trainings are folded now: all
    of them at the last, none before.
    """
    with database.read() as connection:
        user = _user(connection, user_id)
        border = border_of(connection, user_id)
        batch = _read_batch(connection, user_id, entries, begun=border is not None) if user else None
        starts = starts_of(connection, user_id)
    if user is None or batch is None:
        return
    place: int | None = 0 if border is None else int(np.searchsorted(batch.keys, border))
    generation, begun = user.generation, border is not None
    with contextlib.suppress(_OvertakenError):
        while place is not None:
            place, rewritten = _fold_slice(database, user_id, generation, batch, place, starts, begun=begun)
            generation, begun, starts = generation + 1, True, rewritten.starts(starts)
            yield len(batch.seqs) if place is None else 0


def purging(database: Database, before: float, *, rare_before: float = 0.0) -> Iterator[int]:
    """Do what purge_tokens() does for every user. Yields after each slice how many tokens it forgot."""
    with database.read() as connection:
        users = connection.scalars(sa.select(dspam_user.c.id).order_by(dspam_user.c.id)).all()
    for user_id in users:
        yield from _purging_user(database, user_id, before, rare_before, _PURGED)


def purge_tokens(
    database: Database, user_id: int, before: float, *, rare_before: float = 0.0, pages_per_slice: int = _PURGED
) -> int:
    """Forget the user's tokens that were last taught before `before`, and those seen in a single message before `rare_before`
    (seconds since the epoch). Returns how many.

    Tokens of a training that can still be undone are kept. Each slice is one short transaction.
    """
    return sum(_purging_user(database, user_id, before, rare_before, pages_per_slice))


def forget_deltas(database: Database, before: float, slice_size: int = 200) -> int:
    """Drop the deltas of a slice of the folded trainings from before that time (seconds since the epoch); these can't be taken
    back any more, but a replay still teaches nothing. Returns how many; call again while it is `slice_size`."""
    old = sa.and_(dspam_training.c.state == State.FOLDED, dspam_training.c.trained_at < before)
    with database.read() as connection:
        seqs = connection.scalars(sa.select(dspam_training.c.seq).where(old).limit(slice_size)).all()
    if seqs:
        mine = dspam_training.c.seq.in_(seqs)
        with database.write() as connection:
            connection.execute(sa.delete(dspam_training).where(mine, old, dspam_training.c.message.is_(None)))
            connection.execute(sa.update(dspam_training).where(mine, old).values(state=State.SPENT, content=None))
    return len(seqs)


def forget_trainings(database: Database, before: float, slice_size: int = 500) -> int:
    """Forget a slice of the trainings whose deltas are gone, from before that time: the message may be taught again. Returns
    how many; call again while it is `slice_size`."""
    old = sa.and_(dspam_training.c.state == State.SPENT, dspam_training.c.trained_at < before)
    with database.read() as connection:
        seqs = connection.scalars(sa.select(dspam_training.c.seq).where(old).limit(slice_size)).all()
    if seqs:
        with database.write() as connection:
            connection.execute(sa.delete(dspam_training).where(dspam_training.c.seq.in_(seqs), old))
    return len(seqs)


class _OvertakenError(Exception):
    """Another process changed the user's pages meanwhile."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Batch:
    """Trainings, added up; keys sorted and unique."""

    seqs: list[int]
    keys: Keys
    counts: npt.NDArray[np.int64]
    days: npt.NDArray[np.uint16]
    totals: Totals


@dataclasses.dataclass(slots=True)
class _Rewritten:
    """The pages to delete, the pages to insert, and the change in the number of tokens."""

    gone: list[int] = dataclasses.field(default_factory=list)
    come: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    tokens: int = 0

    def replace(self, user_id: int, starts: Sequence[int], old: Tokens, new: Tokens) -> None:
        self.gone += starts
        self.tokens += len(new) - len(old)
        self.come += [
            {"user_id": user_id, "start": int(page["key"][0]), "content": page.tobytes()}
            for page in _split(new, np.asarray(starts, dtype=np.int64))
        ]

    def starts(self, before: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Those of all pages, which were these before."""
        stay = np.ones(len(before), dtype=np.bool_)
        stay[before.searchsorted(np.array(self.gone, dtype=np.int64))] = False
        come = np.array([page["start"] for page in self.come], dtype=np.int64)
        return np.sort(np.concatenate((before[stay], come)))

    def write(self, connection: sa.Connection, user_id: int) -> None:
        for begin in range(0, len(self.gone), _IN):
            starts = self.gone[begin : begin + _IN]
            connection.execute(_GONE, {"of": user_id, "starts": starts})
        if self.come:
            connection.execute(sa.insert(dspam_page), self.come)


def _user(connection: sa.Connection, user_id: int) -> sa.Row[Any] | None:
    return connection.execute(USER, {"of": user_id}).one_or_none()


def _read_batch(connection: sa.Connection, user_id: int, entries: int, *, begun: bool) -> _Batch | None:
    """The trainings that are being folded, or else the user's oldest pending ones, added up; None if there is none."""
    seqs, keys, counts, days = [], [np.empty(0, dtype=np.int64)], [np.empty((0, 3), dtype=np.int32)], [_NO_DAYS]
    totals, size = Totals(), 0
    slices = logged_slices(connection, user_id, State.FOLDING if begun else State.PENDING)
    for seq, sign, trained_at, content in itertools.chain.from_iterable(slices):
        deltas = Deltas.unpack(content)
        seqs.append(seq)
        keys.append(deltas.keys)
        counts.append(deltas.counts if sign == 1 else -deltas.counts)
        days.append(np.full(len(deltas.keys), min(max(trained_at // _DAY, 0), 65_535), dtype=np.uint16))
        totals = totals.plus(deltas.totals, sign)
        size += len(deltas.keys)
        if not begun and (size >= entries or len(seqs) >= _FOLD_ROWS):
            break
    if not seqs and not begun:
        return None
    return _Batch(seqs, *_add_up(np.concatenate(keys), np.concatenate(counts), np.concatenate(days)), totals)


def _add_up(
    keys: Keys, counts: npt.NDArray[np.int32], days: npt.NDArray[np.uint16]
) -> tuple[Keys, npt.NDArray[np.int64], npt.NDArray[np.uint16]]:
    """Unique sorted keys, each with the sum of its counts and its latest day."""
    if not len(keys):
        return keys, counts.astype(np.int64), days
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    first = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
    sums = np.add.reduceat(counts[order], first, axis=0, dtype=np.int64)
    return keys[first], sums, np.maximum.reduceat(days[order], first)


def _fold_slice(
    database: Database,
    user_id: int,
    generation: int,
    batch: _Batch,
    place: int,
    starts: npt.NDArray[np.int64],
    *,
    begun: bool,
) -> tuple[int | None, _Rewritten]:
    """Fold the batch's keys from `place` on, as many as one short transaction may. Returns where to go on, None at the end, and
    what it wrote. Raises _OvertakenError.

    starts  of the user's pages in this generation
    begun   a slice was folded before, so that the trainings are FOLDING
    """
    end = _slice_end(starts, batch.keys, place)
    with database.read() as connection:
        user = _user(connection, user_id)
        if user is None or user.generation != generation:
            raise _OvertakenError
        rewritten = _rewrite(connection, user_id, starts, batch, slice(place, end))
    last = end == len(batch.keys)
    # A power cut may undo the last slices, in their order: the log still has what they folded, and dspam_fold how far it is.
    with database.write(durable=False) as connection:
        _claim(connection, user, rewritten, batch.totals if last else Totals(), purge=False)
        rewritten.write(connection, user_id)
        if last or not begun:
            _mark(connection, batch.seqs, State.FOLDED if last else State.FOLDING)
        _note_border(connection, user_id, None if last else int(batch.keys[end]), begun=begun)
    return None if last else end, rewritten


def _slice_end(starts: npt.NDArray[np.int64], keys: Keys, place: int) -> int:
    """The end of the keys that one transaction folds."""
    end = min(place + _FOLD_KEYS, len(keys))
    turns = np.flatnonzero(np.diff(page_numbers(starts, keys[place:end]))) + 1  # where the next page begins
    return end if len(turns) < _FOLD_PAGES else place + int(turns[_FOLD_PAGES - 1])


def _rewrite(
    connection: sa.Connection, user_id: int, starts: npt.NDArray[np.int64], batch: _Batch, part: slice
) -> _Rewritten:
    """The pages that this part of the batch touches, merged with it."""
    keys, counts, days = batch.keys[part], batch.counts[part], batch.days[part]
    touched = np.unique(page_numbers(starts, keys))
    found = list(pages(connection, user_id, starts[touched].tolist()))
    rewritten = _Rewritten()
    if len(keys):
        old = as_tokens(b"".join(content for _, content in found))
        rewritten.replace(user_id, [start for start, _ in found], old, merge(old, keys, counts, days))
    return rewritten


def _split(tokens: Tokens, starts: npt.NDArray[np.int64]) -> Iterator[Tokens]:
    """The tokens divided into pages: along the borders of the old pages; pages that are too full are split evenly."""
    borders = np.searchsorted(tokens["key"], starts[1:])
    for page in np.split(tokens, borders):
        if len(page):
            yield from [page] if len(page) <= _FULLEST else np.array_split(page, -(-len(page) // _HALF_FULL))


def _claim(connection: sa.Connection, user: sa.Row[Any], rewritten: _Rewritten, totals: Totals, *, purge: bool) -> None:
    """Increment the generation, unless another process did. The row stays locked until the transaction ends."""
    more = dict(zip(TOTALS, totals.values(), strict=True))
    more |= {"generation": 1, "tokens": rewritten.tokens, "purges": int(purge)}
    values = {"of": user.id, "seen": user.generation, **{f"more_{name}": value for name, value in more.items()}}
    if connection.execute(_CLAIM, values).rowcount != 1:
        raise _OvertakenError


def _mark(connection: sa.Connection, seqs: Sequence[int], state: State) -> None:
    unfolded = dspam_training.c.state.in_((State.PENDING, State.FOLDING))
    for begin in range(0, len(seqs), _IN):
        some = dspam_training.c.seq.in_(seqs[begin : begin + _IN])
        connection.execute(sa.update(dspam_training).where(some, unfolded).values(state=state))


def _note_border(connection: sa.Connection, user_id: int, border: int | None, *, begun: bool) -> None:
    """Record the progress of the fold; None ends it."""
    if border is None:
        connection.execute(_END_FOLD, {"of": user_id})
    elif begun:
        connection.execute(_MOVE_BORDER, {"of": user_id, "to": border})
    else:
        connection.execute(sa.insert(dspam_fold).values(user_id=user_id, border=border))


def _oldest_training(database: Database, user_id: int) -> float:
    """The time of the oldest training that can be undone; infinite if there is none."""
    training = dspam_training.c
    oldest = sa.select(sa.func.min(training.trained_at)).where(training.user_id == user_id)
    with database.read() as connection:  # one state at a time: then an index has the answer in front
        states = (State.PENDING, State.FOLDING, State.FOLDED)
        found = [connection.scalar(oldest.where(training.state == state)) for state in states]
    return min((float(at) for at in found if at is not None), default=math.inf)


def _purging_user(
    database: Database, user_id: int, before: float, rare_before: float, pages_per_slice: int
) -> Iterator[int]:
    oldest = _oldest_training(database, user_id)
    days = tuple(int(min(limit, oldest) // _DAY) for limit in (before, rare_before))
    after, going = None, True
    while going:
        with contextlib.suppress(_OvertakenError):  # then the same slice again
            count, after = _purge_slice(database, user_id, days, after, pages_per_slice)
            going = after is not None
            yield count


def _purge_slice(
    database: Database, user_id: int, days: tuple[int, ...], after: int | None, size: int
) -> tuple[int, int | None]:
    """Purge one slice of pages. Returns the number of tokens deleted and the page to continue after, None at the end. Raises
    _OvertakenError."""
    with database.read() as connection:
        user = _user(connection, user_id)
        contents = next(page_slices(connection, user_id, after, size), []) if user else []
    if user is None or not contents:
        return 0, None
    rewritten = _Rewritten()
    for start, content in contents:
        old = as_tokens(content)
        rare = old["spam"] + old["ham"] <= 1
        new = old[(old["day"] >= days[0]) & ~(rare & (old["day"] < days[1]))]
        if len(new) < len(old):
            rewritten.replace(user_id, [start], old, new)
    if rewritten.gone:
        with database.write() as connection:
            _claim(connection, user, rewritten, Totals(), purge=True)
            rewritten.write(connection, user_id)
    return -rewritten.tokens, contents[-1][0] if len(contents) == size else None
