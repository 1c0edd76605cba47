"""Housekeeping: deletes expired data in small steps without long locks."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence

import sqlalchemy as sa

from antispam.chores import Chore, Task, failed, steady
from antispam.store import StoreError
from antispam.text import for_log

log = logging.getLogger(__name__)

PAUSE = 0.2  # seconds between two pieces: mail needs the database, too


class Housekeeper:
    """Does all chores soon after the start and then at their intervals, in its own thread, until close().

    first  seconds before the first round: a worker that just started is busy
    clock  monotonic seconds
    done   called after each round
    """

    def __init__(
        self,
        chores: Sequence[Chore],
        *,
        first: float = 30.0,
        pause: float = PAUSE,
        clock: Callable[[], float] = time.monotonic,
        done: Callable[[], None] = lambda: None,
    ) -> None:
        self._due = dict.fromkeys(chores, clock() + first)
        self._pause = pause
        self._clock = clock
        self._done = done
        self._closing = threading.Event()
        self._thread = steady("housekeeping", self._work, self._closing)

    def start(self) -> None:
        self._thread.start()

    def close(self, timeout: float = 5.0) -> None:
        """Stop after the current piece."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def round(self) -> float:
        """Do every due chore to its end. Returns the seconds until the next one is due.

        A chore that fails is tried again at its next time and does not delay others.
        """
        for chore, due in self._due.items():
            if due <= self._clock() and not self._closing.is_set():
                self._do(chore.task)
                self._due[chore] = self._clock() + chore.every
        self._done()
        return max(0.0, min(self._due.values(), default=math.inf) - self._clock())

    def _do(self, task: Task) -> None:
        try:
            while task():
                if self._closing.wait(self._pause):
                    return
        except (StoreError, OSError, sa.exc.SQLAlchemyError) as error:
            log.error("housekeeping: %s", for_log(str(error)))
        except Exception:  # noqa: BLE001 - a row that a newer version wrote: what other chores do is done all the same
            failed("housekeeping")

    def _work(self) -> None:
        while self._due and not self._closing.wait(self.round()):
            pass
