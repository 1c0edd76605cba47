"""Work that has to be done now and then, beside the mail."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

EVERY = 3600.0  # seconds

Task = Callable[[], bool]
"""Does one piece of work; true while more is left. Raises StoreError or OSError where it can't now."""


@dataclasses.dataclass(frozen=True, slots=True)
class Chore:
    """A task, and every how many seconds it has to be done."""

    task: Task
    every: float = EVERY
