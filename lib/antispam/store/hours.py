"""The history hour by hour, kept in memory: an hour that is over is counted once, however often somebody looks at it; and how
many of its decisions people called wrong."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from antispam.store.engine import Store, StoreError
from antispam.store.tally import Day, Disposition, Report, add, rows_of
from dspam.store import Said, name_of

HOUR = 3600.0
SETTLED = 600.0  # seconds after its end when no row of an hour is still to come
KEPT = 32 * 24  # hours
REST = 5.0  # seconds
MOST = 2_000_000  # messages whose decisions are remembered, 17 octets each
AUTOMATIC = 10.0  # seconds after its arrival within which the filter itself teaches what it thinks of a message
_FRESH = 5.0  # seconds for which the count of an hour that is not over is good enough
_SHARE = 20  # or so many times as long as it took


@dataclasses.dataclass(slots=True)
class Hour:
    """One hour.

    begins    in seconds since the epoch
    day       what became of its messages
    why       of those that were not delivered, by what became of them and the check that said so
    scores    recipients by the score of their message, rounded down
    messages  of those that were decided: the first half of name_of() their reference, as a number
    arrived   when they came, in seconds since the epoch
    spam      whether they were called spam
    complete  False once it was forgotten which messages it had
    """

    begins: float
    day: Day
    why: Counter[tuple[Disposition, str]]
    scores: Counter[int]
    messages: npt.NDArray[np.uint64]
    arrived: npt.NDArray[np.float64]
    spam: npt.NDArray[np.bool_]
    complete: bool = True


@dataclasses.dataclass(frozen=True, slots=True)
class Wrong:
    """Decisions of an hour that people called wrong: spam that was delivered, and honest mail that was stopped or marked. `of`
    is how many were decided."""

    missed: int
    lost: int
    of: int


@dataclasses.dataclass(slots=True)
class _Counted:
    hour: Hour
    again_at: float  # by the clock


class Hours:
    """One a process; safe from any thread.

    clock  seconds that never run backwards
    count  reads an hour, which begins at that time; None reads it from the store
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], float] = time.monotonic,
        count: Callable[[float], Hour] | None = None,
    ) -> None:
        self._count_hour = count or (lambda begins: read_hour(store, begins))
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[float, _Counted] = {}

    def last(self, number: int, now: float, budget: float) -> list[Hour]:
        """The last hours up to `now`, the oldest first. For counting, the newest first, it takes `budget` seconds: what could
        not be counted in that time is missing, and is counted the next time. Raises StoreError."""
        newest, until = now // HOUR * HOUR, self._clock() + budget
        wanted = [newest - HOUR * back for back in range(number)]
        for begins in wanted:
            if not self._lock.acquire(timeout=max(0.0, until - self._clock())):
                break
            try:
                counted = self._count(begins, now)
            finally:
                self._lock.release()
            if counted and self._clock() >= until:
                break
        found = (self._known.get(begins) for begins in reversed(wanted))
        return [one.hour for one in found if one is not None]

    def keep(self, number: int, now: Callable[[], float], closing: threading.Event) -> None:
        """Count the last hours in the background until `closing` is set, so that nobody who looks has to wait for it: it works
        for a second, and rests for REST."""
        while not closing.is_set():
            with contextlib.suppress(StoreError):  # whoever looks at a page is told
                self.last(number, now(), 1.0)
            closing.wait(REST)

    def _count(self, begins: float, now: float) -> bool:
        """Whether the hour had to be counted."""
        known, started = self._known.get(begins), self._clock()
        if known is not None and started < known.again_at:
            return False
        hour = self._count_hour(begins)
        ended = self._clock()
        over = now >= begins + HOUR + SETTLED
        again_at = math.inf if over else ended + max(_FRESH, _SHARE * (ended - started))
        self._known[begins] = _Counted(hour, again_at)
        if len(hour.messages) or len(self._known) > KEPT:
            self._forget(now)
        return True

    def _forget(self, now: float) -> None:
        """What is too old, and of the oldest which messages there were, once there are too many."""
        room = MOST
        for begins in sorted(self._known, reverse=True):
            hour = self._known[begins].hour
            if begins < now - KEPT * HOUR:
                del self._known[begins]
                continue
            room -= len(hour.messages)
            if room < 0:
                none = _arrays([])
                forgotten = dataclasses.replace(hour, messages=none[0], arrived=none[1], spam=none[2], complete=False)
                self._known[begins].hour = forgotten


def read_hour(store: Store, begins: float) -> Hour:
    """Read an hour. Raises StoreError."""
    made, seen = Report([Day(begins)]), list[tuple[int, float, bool]]()
    for row in rows_of(store, begins, math.nextafter(begins + HOUR, begins)):
        spam = add(made, row)
        if spam is not None:
            seen.append((_number(name_of(row["ref"])), row["received_at"], spam))
    return Hour(begins, made.days[0], made.why, made.scores, *_arrays(seen))


def _number(name: str) -> int:
    return int(name[:16], 16)


def _arrays(
    seen: Sequence[tuple[int, float, bool]],
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    return (
        np.array([one[0] for one in seen], dtype=np.uint64),
        np.array([one[1] for one in seen], dtype=np.float64),
        np.array([one[2] for one in seen], dtype=np.bool_),
    )


def judged(hours: Iterable[Hour], said: Iterable[Said]) -> list[Wrong | None]:
    """How many decisions of each hour were called wrong by what was said of the messages, the latest first: what is said last
    counts. None for an hour of which that is no longer known.

    What is taught within AUTOMATIC seconds is the filter's own opinion and no correction."""
    latest: dict[int, tuple[bool, float]] = {}
    for one in said:
        latest.setdefault(_number(one.message), (one.is_spam, one.taught_at))
    ordered = sorted(latest.items())
    names = np.array([name for name, _ in ordered], dtype=np.uint64)
    spam = np.array([what for _, (what, _) in ordered], dtype=np.bool_)
    at = np.array([when for _, (_, when) in ordered], dtype=np.float64)
    return [_wrong(hour, names, spam, at) if hour.complete else None for hour in hours]


def _wrong(
    hour: Hour, names: npt.NDArray[np.uint64], spam: npt.NDArray[np.bool_], at: npt.NDArray[np.float64]
) -> Wrong:
    if not len(names) or not len(hour.messages):
        return Wrong(0, 0, len(hour.messages))
    place = np.minimum(np.searchsorted(names, hour.messages), len(names) - 1)
    by_people = (names[place] == hour.messages) & (at[place] > hour.arrived + AUTOMATIC)
    missed = by_people & spam[place] & ~hour.spam
    lost = by_people & ~spam[place] & hour.spam
    return Wrong(int(missed.sum()), int(lost.sum()), len(hour.messages))
