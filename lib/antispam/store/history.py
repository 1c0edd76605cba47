"""The history of all transactions: messages, findings and decisions."""

from __future__ import annotations

import contextlib
import logging
import math
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
import sqlalchemy as sa

from antispam.chores import failed, steady
from antispam.mail.findings import Finding, Findings
from antispam.store import hidden, history_sums
from antispam.store.engine import SLICE, Store, StoreError
from antispam.store.history_search import Decision
from antispam.store.schema import history, history_address, history_sum
from antispam.text import for_log

log = logging.getLogger(__name__)

_BATCH = 200
_STOP = None
_Row = tuple[sa.Table, Mapping[str, Any]]
# Seconds between two database transactions: one per message would cost more than most checks.
_GATHER = 0.1
# Seconds within which all rows of a message arrive. After a pause it is written that soon: somebody may report it at
# once.
_TOGETHER = 0.02
_COMPLAIN_EVERY = 60.0  # seconds
# Seconds that the thread has to end after its time is over.
_LAST = 1.0


class HistoryWriter:
    """The history writer of a worker. record() and put() take microseconds; a thread writes in batches. While the
    database cannot be used, rows wait in the queue. Rows that do not fit into it are counted and logged.

    hide   whether local parts of addresses are hashed (store/hidden.py)
    pause  seconds between two attempts to write to a database that failed
    """

    def __init__(
        self,
        store: Store,
        *,
        keep: bool = True,
        hide: bool = False,
        capacity: int = 10_000,
        node: str = "",
        pause: float = 5.0,
    ) -> None:
        self.lost = 0
        self._store = store
        self._keep = keep
        self._hide = hide
        self._node = (node or socket.gethostname())[:64]
        self._pause = pause
        self._complaint = ""
        self._complain_again = 0.0
        self._ends = math.inf  # the end of the time for writing
        self._stopping = threading.Event()
        self._hurry = threading.Event()  # a caller waits for the rows
        self._queue: queue.Queue[_Row | None] = queue.Queue(capacity)
        self._thread = steady("history", self._write_all, self._stopping, pause=pause)
        self._thread.start()

    def record(
        self,
        make_row: Callable[[str], Mapping[str, Any]],
        make_addresses: Callable[[], Iterable[Mapping[str, Any]]] = tuple,
    ) -> None:
        """Record a finished transaction. `make_row` receives our node's name, `make_addresses` makes the rows of
        history_address. They are not called if no history is kept.
        """
        if self._keep:
            self.put(history, make_row(self._node))
            for row in make_addresses():
                self.put(history_address, row)

    def put(self, table: sa.Table, row: Mapping[str, Any]) -> None:
        """Queue another row, to be written when there is time, best effort."""
        try:
            self._queue.put_nowait((table, row))
        except queue.Full:
            self._count_lost(1)

    @property
    def waiting(self) -> int:
        """The number of rows that wait to be written."""
        return self._queue.qsize()

    def flush(self, timeout: float = 60.0) -> bool:
        """Wait until all queued rows are written or lost. False if that takes longer, because the database cannot be
        used.
        """
        self._hurry.set()
        with self._queue.all_tasks_done:
            done = self._queue.all_tasks_done.wait_for(lambda: not self._queue.unfinished_tasks, timeout)
        self._hurry.clear()
        return done

    def close(self, timeout: float = 10.0) -> None:
        """Write the queued rows, then stop. It does not wait for a database that cannot be used. Rows that are refused
        singly, or that need longer than `timeout` seconds, are lost.
        """
        self._ends = time.monotonic() + timeout
        self._stopping.set()
        self._hurry.set()
        with contextlib.suppress(queue.Full):  # the thread is about to notice that its time is over
            self._queue.put(_STOP, timeout=timeout)
        self._thread.join(max(_LAST, self._ends - time.monotonic()))
        if self._thread.is_alive():
            log.error("history: the database does not answer; %d rows are not written down", self.waiting)

    def _write_all(self) -> None:
        stopped, again = False, 0.0
        while not stopped:
            rows = [self._queue.get()]
            self._hurry.wait(max(_TOGETHER, again - time.monotonic()))
            again = time.monotonic() + _GATHER
            while rows[-1] is not _STOP and len(rows) < _BATCH and not self._queue.empty():
                rows.append(self._queue.get())
            stopped = rows[-1] is _STOP or (time.monotonic() >= self._ends and self._queue.empty())
            real = [row for row in rows if row is not None]
            try:
                self._write(real)
            except Exception:  # noqa: BLE001 - a defect costs these rows, not all later ones
                failed("history")
                self._count_lost(len(real))
            for _ in rows:
                self._queue.task_done()

    def _write(self, rows: list[_Row]) -> None:
        """Write the rows, waiting as long as necessary until the database can be used again."""
        while rows:
            if time.monotonic() >= self._ends:
                self._count_lost(len(rows))
                return
            try:
                rows = self._named(rows)
                made = history_sums.sums_of(values for table, values in rows if table is history)
                summed = [*rows, *((history_sum, values) for values in made)]
                with self._store.write() as connection:
                    for table in dict.fromkeys(table for table, _ in summed):
                        connection.execute(sa.insert(table), [values for of, values in summed if of is table])
                self._complaint = ""
                return
            except StoreError as error:
                self._complain(str(error))
                if self._stopping.wait(self._pause):
                    self._count_lost(len(rows))
                    return
            except sa.exc.SQLAlchemyError as error:
                # A row that the database refuses must not cost the others.
                self._complain(str(error))
                if len(rows) == 1:
                    self._count_lost(1)
                    return
                for row in rows:
                    self._write([row])
                return

    def _named(self, rows: list[_Row]) -> list[_Row]:
        """The rows in stored form, with people's addresses or their hashes. Raises StoreError."""
        if not self._hide:
            return rows
        key = hidden.key_of(self._store, time.time())
        ours = (history, history_address)
        return [(table, hidden.hide_row(key, row) if table in ours else row) for table, row in rows]

    def _complain(self, error: str) -> None:
        """Log an error once for each new reason, not for each message."""
        if error != self._complaint:
            self._complaint = error
            log.error("history: %s", for_log(error))

    def _count_lost(self, rows: int) -> None:
        self.lost += rows
        if time.monotonic() >= self._complain_again:
            self._complain_again = time.monotonic() + _COMPLAIN_EVERY
            log.error("history: %d rows were not written down so far", self.lost)


def decisions(store: Store, ref: str) -> list[dict[str, Any]]:
    """The decisions of the checks about a message, in the order of the journey: check, action, code, mode, reason.
    Empty if the history does not have it. Raises StoreError.
    """
    with store.read() as connection:
        found = connection.scalar(sa.select(history.c.decisions).where(history.c.ref == ref))
    stored = [] if found is None else msgspec.json.decode(found, type=list[Decision])
    return [msgspec.to_builtins(decision) for decision in stored]


def findings(store: Store, ref: str, *kinds: type[Finding]) -> Findings:
    """The findings of these checks about a message; none if the history does not have it. Raises StoreError."""
    with store.read() as connection:
        stored = connection.scalar(sa.select(history.c.findings).where(history.c.ref == ref))
    raw = {} if stored is None else msgspec.json.decode(stored, type=dict[str, msgspec.Raw])
    return Findings(None, [kind.from_json(bytes(raw[kind.check])) for kind in kinds if kind.check in raw])


def purge(store: Store, before: float, slice_size: int = SLICE) -> int:
    """Delete a slice of the messages received before that time (seconds since the epoch). Call again while it returns
    any. Raises StoreError.
    """
    return sum(
        store.delete_slice(table, table.c.received_at < before, slice_size) for table in (history_address, history)
    )
