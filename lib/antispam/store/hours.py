"""The history hour by hour, cached in memory, and the number of its decisions that people corrected. A past hour is
counted once, however often it is shown.
"""

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
SETTLED = 600.0  # seconds after the end of an hour until all its rows are written
KEPT = 32 * 24  # hours
REST = 5.0  # seconds
MOST = 2_000_000  # messages whose decisions are cached, 17 octets each
AUTOMATIC = 10.0  # seconds after its arrival within which the filter itself trains with a message
_FRESH = 5.0  # seconds for which the count of the current hour is reused
_SHARE = 20  # or this many times as long as counting took


@dataclasses.dataclass(slots=True)
class Hour:
    """The counts of one hour.

    begins    in seconds since the epoch
    day       the dispositions of its messages
    why       messages that were not delivered, by disposition and the check that decided
    scores    recipients by the score of their message, rounded down
    messages  the decided messages: the first half of name_of() their reference, as a number
    arrived   their arrival times, in seconds since the epoch
    spam      whether they were classified as spam
    complete  False after the list of its messages was dropped
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
    """The decisions of an hour that people corrected: spam that was delivered, and honest mail that was stopped or
    marked. `of` is the number of decisions.
    """

    missed: int
    lost: int
    of: int


@dataclasses.dataclass(slots=True)
class _Counted:
    hour: Hour
    again_at: float  # by the clock


class Hours:
    """The hours of a process. Thread-safe.

    clock  seconds that never run backwards
    count  counts the hour that begins at a time; None counts it in the store
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
        """The last hours up to `now`, oldest first. Counting, newest first, takes at most `budget` seconds. Hours that
        could not be counted in that time are missing and are counted the next time. Raises StoreError.
        """
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
        """Count the last hours in the background until `closing` is set, so that viewers do not wait: it works for a
        second, then rests for REST seconds.
        """
        while not closing.is_set():
            with contextlib.suppress(StoreError):  # the pages show it
                self.last(number, now(), 1.0)
            closing.wait(REST)

    def _count(self, begins: float, now: float) -> bool:
        """Count the hour if necessary. Returns whether it was."""
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
        """Drop hours that are too old, and the message lists of the oldest hours if there are too many messages."""
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
    """Count an hour in the store. Raises StoreError."""
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
    """The number of corrected decisions in each hour. `said` has the latest statement first, and the last statement
    about a message counts. None for an hour whose messages are no longer known.

    A lesson within AUTOMATIC seconds is the filter's own opinion, not a correction.
    """
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
