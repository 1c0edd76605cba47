"""A point in time by which a piece of work must end, passed from caller to callee."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

Clock = Callable[[], float]
"""Returns seconds that never run backwards, like `time.monotonic`."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """The moment `ends` on `clock` (seconds) at which work must be over.

    A deadline is passed down instead of a time-out because time-outs add up: ten look-ups of five seconds each
    are fifty seconds, ten look-ups under one deadline are not.
    """

    ends: float
    clock: Clock = time.monotonic

    @classmethod
    def after(cls, seconds: float, clock: Clock = time.monotonic) -> Deadline:
        """The deadline that ends `seconds` from now."""
        return cls(clock() + seconds, clock)

    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.ends - self.clock())

    @property
    def expired(self) -> bool:
        return self.clock() >= self.ends

    def at_least(self, seconds: float) -> Deadline:
        """This deadline, or the one `seconds` from now if that comes later."""
        return Deadline(max(self.ends, self.clock() + seconds), self.clock)

    def at_most(self, seconds: float) -> Deadline:
        """This deadline, or the one `seconds` from now if that comes sooner."""
        return Deadline(min(self.ends, self.clock() + seconds), self.clock)
