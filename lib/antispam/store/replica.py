"""Reading from a replica of the database. It may lag behind; the lag is measured and reported."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa

from antispam.deadline import Clock
from antispam.store.engine import Store, StoreError
from antispam.store.schema import history

log = logging.getLogger(__name__)

MOST_BEHIND = 300.0  # seconds; with less, the hourly counts of the history wait for the missing rows
EVERY = 5.0  # seconds between two measurements of the lag

T = TypeVar("T")


class Replica:
    """The replica of a process. Thread-safe.

    clock  seconds since the epoch
    """

    def __init__(self, primary: Store, replica: Store, clock: Clock) -> None:
        self._primary = primary
        self._replica = replica
        self._clock = clock
        self._lock = threading.Lock()
        self._looked_at = float("-inf")
        self._behind: float | None = None
        self._well = True

    def ask(self, question: Callable[[Store], T]) -> T:
        """The replica's answer to a question; the primary's if the replica does not answer or lags by more than
        MOST_BEHIND seconds. Raises StoreError if the primary does not answer either.
        """
        if self.behind() is not None:
            try:
                return question(self._replica)
            except StoreError as error:
                self._failed(str(error))
        return question(self._primary)

    def behind(self) -> float | None:
        """The number of seconds for which the replica has lacked a message of the history; 0 if it lacks none, None if
        it is not in use. Raises StoreError if the primary does not answer.
        """
        with self._lock:
            now = self._clock()
            if not 0 <= now - self._looked_at < EVERY:
                self._looked_at = now
                self._behind = self._look(now)
            return self._behind

    def _look(self, now: float) -> float | None:
        arrived = history.c.received_at
        try:
            with self._replica.read() as connection:
                last = connection.scalar(sa.select(sa.func.max(arrived)))
        except StoreError as error:
            self._tell(f"the replica does not answer: {error}")
            return None
        missing = (
            sa.select(sa.func.min(arrived)) if last is None else sa.select(sa.func.min(arrived)).where(arrived > last)
        )
        with self._primary.read() as connection:
            first = connection.scalar(missing)
        behind = 0.0 if first is None else max(0.0, now - first)
        if behind > MOST_BEHIND:
            self._tell(f"the replica is {behind:.0f} seconds behind")
            return None
        self._well = True
        return behind

    def _failed(self, why: str) -> None:
        with self._lock:
            self._behind, self._looked_at = None, self._clock()
            self._tell(f"the replica does not answer: {why}")

    def _tell(self, why: str) -> None:
        """Log a problem once, until the replica works again."""
        if self._well:
            log.warning("%s; the database itself is asked", why)
        self._well = False
