"""Rate limits, counted in the memory of the console's only process."""

from __future__ import annotations

import threading
from collections.abc import Callable

PERIOD = 60.0  # seconds
MAX_NAMES = 10_000  # beyond that, the oldest name is dropped


class Limiter:
    """At most `most` times within PERIOD for each name; safe from any thread."""

    def __init__(self, most: int, clock: Callable[[], float]) -> None:
        self._most = most
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: dict[str, tuple[float, int]] = {}

    def admits(self, name: str) -> bool:
        """Count one more; False if it is too many."""
        now = self._clock()
        with self._lock:
            since, count = self._counts.get(name, (now, 0))
            if not since <= now < since + PERIOD:
                del self._counts[name]  # keeps the oldest first
                since, count = now, 0
            elif name not in self._counts and len(self._counts) >= MAX_NAMES:
                del self._counts[next(iter(self._counts))]
            self._counts[name] = since, count + 1
            return count < self._most
