"""Forgets what is no longer needed, in small pieces beside the mail: no long lock, and nothing lost if it is cut off."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence

from antispam.store import StoreError
from antispam.text import for_log

log = logging.getLogger(__name__)

EVERY = 3600.0
PAUSE = 0.2  # between two pieces: mail wants to write to the database, too

Task = Callable[[], bool]
"""Does one piece of work; true while more is left. Raises StoreError or OSError where it can't now."""


@dataclasses.dataclass(frozen=True, slots=True)
class Chore:
    """A task, and the seconds from the end of it until it is done again."""

    task: Task
    every: float = EVERY


class Housekeeper:
    """Does all tasks soon after the start and then each at its own interval, once an hour where it has none, in a thread of its
    own, until close().

    first  seconds before the first round: a worker that just started has better things to do
    clock  seconds that never run backwards
    """

    def __init__(
        self,
        tasks: Sequence[Task | Chore],
        *,
        first: float = 30.0,
        pause: float = PAUSE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._chores = [task if isinstance(task, Chore) else Chore(task) for task in tasks]
        self._due = [clock() + first] * len(self._chores)
        self._pause = pause
        self._clock = clock
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
        self._do(range(len(self._chores)))

    def round_of_due(self) -> float:
        """Every task that is due; returns the seconds until the next one is."""
        now = self._clock()
        self._do([number for number, due in enumerate(self._due) if due <= now])
        return max(0.0, min(self._due, default=now + EVERY) - self._clock())

    def _do(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            chore = self._chores[number]
            try:
                while chore.task():
                    if self._closing.wait(self._pause):
                        return
            except (StoreError, OSError) as error:
                log.error("housekeeping: %s", for_log(str(error)))
            self._due[number] = self._clock() + chore.every

    def _work(self) -> None:
        wait = max(0.0, min(self._due, default=0.0) - self._clock())
        while not self._closing.wait(wait):
            wait = self.round_of_due()
