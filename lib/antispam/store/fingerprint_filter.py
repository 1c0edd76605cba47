"""A filter in memory of the marks in all reports. Nearly all mail has none of them, and so need not query the database
for its hundreds of marks.

False positives are possible: marks of reports that expired or were withdrawn stay until all are read again. False
negatives last for a second at most, until the report of another worker was read. After a positive answer the database
is queried.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from antispam.deadline import Deadline
from antispam.store.engine import Store
from antispam.store.schema import fingerprint

REFRESH = 1.0  # seconds until new reports are read
RELOAD = 6 * 3600.0  # seconds until all are read again
_CHUNK = 50_000  # rows read during one message
# Two transactions may commit in a different order from that of their row numbers, so this many rows are read again.
_OVERLAP = 1000
_RECENT = 20_000
_MOST = 4_000_000  # marks, 32 MB; with more the database is queried for every message
Marks = npt.NDArray[np.int64]
_NONE: Marks = np.array([], dtype=np.int64)


class MarkFilter:
    """The filter of a worker. Thread-safe.

    clock  seconds that never run backwards
    """

    def __init__(self, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self._marks = _NONE
        self._recent: set[int] = set()  # not yet in the sorted array: sorting a million again takes long
        self._last = 0  # the highest row number read
        self._complete = False
        self._next = 0.0
        self._reload = self._clock() + RELOAD

    def is_empty(self, deadline: Deadline | None = None) -> bool:
        """Whether there are no reports. Raises StoreError."""
        self._refresh(deadline)
        return self._complete and not len(self._marks) and not self._recent

    def possible(self, marks: Sequence[int], deadline: Deadline | None = None) -> list[int]:
        """The given marks that a report may contain. Raises StoreError."""
        self._refresh(deadline)
        recent = self._recent  # read first: marks that leave it are already in the other
        known = self._marks
        if not self._complete or len(known) > _MOST:
            return list(marks)
        found = recent.intersection(marks)
        if len(known) and marks:
            asked = np.array(marks, dtype=np.int64)
            at = known.searchsorted(asked)
            found.update(asked[known[np.minimum(at, len(known) - 1)] == asked].tolist())
        return [mark for mark in marks if mark in found]

    def note(self, marks: Iterable[int]) -> None:
        """Add the marks of this worker's own report, effective at once."""
        with self._lock:
            self._add(marks)

    def _add(self, marks: Iterable[int]) -> None:
        self._recent.update(marks)
        if len(self._recent) > _RECENT:
            self._marks = np.union1d(self._marks, np.fromiter(self._recent, np.int64, len(self._recent)))
            self._recent = set()

    def _refresh(self, deadline: Deadline | None) -> None:
        """Read new rows if it is time. If another thread is doing so, do not wait for it."""
        if self._clock() < self._next or not self._lock.acquire(blocking=False):
            return
        try:
            if self._clock() >= self._reload:
                self._forget()
            since = max(0, self._last - _OVERLAP)
            table = fingerprint.c
            query = sa.select(table.id, table.mark).where(table.id > since).order_by(table.id).limit(_CHUNK)
            with self._store.read(deadline) as connection:
                rows = connection.execute(query).all()
            if rows:
                self._last = rows[-1].id
                self._add(row.mark for row in rows)
            self._complete = self._complete or len(rows) < _CHUNK
            self._next = self._clock() + REFRESH if len(rows) < _CHUNK else 0.0
        finally:
            self._lock.release()
