"""Background work: periodic tasks, and threads that survive exceptions."""

from __future__ import annotations

import collections
import dataclasses
import logging
import threading
from collections.abc import Callable, Iterator

log = logging.getLogger(__name__)

EVERY = 3600.0  # seconds
PAUSE = 5.0  # seconds

Task = Callable[[], bool]
"""Does one piece of work; true while more is left. Raises StoreError or OSError if it can't now."""

failures: collections.Counter[str] = collections.Counter()
"""How often each thread or chore of this process met something unexpected; the log has the tracebacks."""


@dataclasses.dataclass(frozen=True, slots=True)
class Chore:
    """A task, and its interval in seconds."""

    task: Task
    every: float = EVERY


class Pieces:
    """A task that goes through what `start` gives, one piece per call; it starts again after the end, and after an error."""

    def __init__(self, start: Callable[[], Iterator[object]]) -> None:
        self._start = start
        self._running: Iterator[object] | None = None

    def __call__(self) -> bool:
        running, self._running = self._running or self._start(), None
        for _ in running:
            self._running = running
            return True
        return False


def failed(name: str) -> None:
    """Log the exception at hand, which nobody expected, and count it."""
    failures[name] += 1
    log.exception("ERROR %s: unexpected, for the %d. time", name, failures[name])


def steady(name: str, body: Callable[[], None], closing: threading.Event, *, pause: float = PAUSE) -> threading.Thread:
    """A thread, not started yet, that runs `body` until that returns. Whatever it raises is logged and counted, and after a
    pause it is begun again, unless `closing` is set: no thread of ours dies silently."""

    def run() -> None:
        while True:
            try:
                return body()
            except Exception:  # noqa: BLE001 - whatever it is, it must be heard of, and must not be the end
                failed(name)
                if closing.wait(pause):
                    return None

    return threading.Thread(target=run, name=name, daemon=True)
