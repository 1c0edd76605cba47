"""Forgets what is no longer needed, in small pieces beside the mail: no long lock, and nothing lost if it is cut off."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from antispam.store import StoreError
from antispam.text import for_log

log = logging.getLogger(__name__)

EVERY = 3600.0
PAUSE = 0.2  # between two pieces: mail wants to write to the database, too

Task = Callable[[], bool]
"""Does one piece of work; true while more is left. Raises StoreError or OSError where it can't now."""


class Housekeeper:
    """Does all tasks soon after the start and then once an hour, in a thread of its own, until close().

    first  seconds before the first round: a worker that just started has better things to do
    """

    def __init__(
        self, tasks: Sequence[Task], *, first: float = 30.0, every: float = EVERY, pause: float = PAUSE
    ) -> None:
        self._tasks = tasks
        self._first = first
        self._every = every
        self._pause = pause
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="housekeeping", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self, timeout: float = 5.0) -> None:
        """Stop after the piece at hand."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def round(self) -> None:
        """Every task to its end. One that fails is tried again in the next round, and keeps no other from its work."""
        for task in self._tasks:
            try:
                while task():
                    if self._closing.wait(self._pause):
                        return
            except (StoreError, OSError) as error:
                log.error("housekeeping: %s", for_log(str(error)))

    def _work(self) -> None:
        wait = self._first
        while not self._closing.wait(wait):
            self.round()
            wait = self._every
