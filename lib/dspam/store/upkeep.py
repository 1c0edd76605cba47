"""Maintenance of the token store, in steps of one short transaction each."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator

from dspam.store.compactor import compacting, forget_deltas, forget_trainings, purging
from dspam.store.database import Database
from dspam.store.signatures import purge_signatures

DAY = 86_400.0
_SLICE = 200  # rows
_SIGNATURES = 50  # a slice of signatures: their keys are random, so that each row is in pages of its own


@dataclasses.dataclass(frozen=True, slots=True)
class Retention:
    """How long things are kept, in seconds.

    signatures  for which a user can still report a message by its signature alone
    undo        for which a training can be taken back; its deltas take some 10 kB a message
    replays     for which a training is recognised when it comes again; about 100 octets a message
    tokens      since a token was last taught
    rare        the same for a token that was in one message only; neither is forgotten while undo may need it
    """

    signatures: float = 30 * DAY
    undo: float = 30 * DAY
    replays: float = 2 * 365 * DAY
    tokens: float = 365 * DAY
    rare: float = 120 * DAY


class Folding:
    """Folds trainings regularly, so that no worker has to read many when it starts. Call it about every half minute.

    Each call does one step and returns True while more is left. The call after the last starts again. Raises what the database
    raises.

    rows   pending trainings of a user that are worth a fold
    delay  seconds after which fewer are
    now    seconds since the epoch
    """

    def __init__(
        self, database: Database, *, rows: int = 500, delay: float = 3600.0, now: Callable[[], float] = time.time
    ) -> None:
        self._pieces = _Pieces(lambda: compacting(database, rows=rows, before=now() - delay))

    def __call__(self) -> bool:
        return self._pieces()


class Forgetting:
    """Forgets what is older than `retention` says. Call it once a day or so, in the same way as Folding."""

    def __init__(
        self, database: Database, retention: Retention | None = None, *, now: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._retention = retention or Retention()
        self._now = now
        self._pieces = _Pieces(self._all)

    def __call__(self) -> bool:
        return self._pieces()

    def _all(self) -> Iterator[int]:
        database, keep, now = self._database, self._retention, self._now()
        yield from _slices(_SIGNATURES, lambda size: purge_signatures(database, now - keep.signatures, size))
        yield from _slices(_SLICE, lambda size: forget_deltas(database, now - keep.undo, size))
        yield from _slices(_SLICE, lambda size: forget_trainings(database, now - keep.replays, size))
        yield from purging(database, now - keep.tokens, rare_before=now - keep.rare)


class _Pieces:
    """Steps through an iterator; starts a new one after the end or after an error."""

    def __init__(self, start: Callable[[], Iterator[int]]) -> None:
        self._start = start
        self._running: Iterator[int] | None = None

    def __call__(self) -> bool:
        running, self._running = self._running or self._start(), None
        if next(running, None) is None:
            return False
        self._running = running
        return True


def _slices(size: int, purge: Callable[[int], int]) -> Iterator[int]:
    while count := purge(size):
        yield count
        if count < size:
            return
