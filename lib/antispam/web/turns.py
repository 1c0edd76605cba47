"""Turns for expensive work: passwords are checked a few at a time in separate threads, so that pages do not wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.to_thread

T = TypeVar("T")


class Busy(Exception):
    """Too many are waiting for this one to get its turn in time."""


class Turns:
    """At most `at_once` at work and `waiting` behind them, in one event loop."""

    def __init__(self, at_once: int, waiting: int) -> None:
        self._limiter = anyio.CapacityLimiter(at_once)
        self._waiting = waiting

    async def take(self, work: Callable[[], T]) -> T:
        """Run the work in a thread when its turn comes, and return its result. Raises Busy, and what the work raises."""
        if self._limiter.statistics().tasks_waiting >= self._waiting:
            raise Busy
        return await anyio.to_thread.run_sync(work, limiter=self._limiter)
