"""What work costs in processor time, compared with other work: the same answer on each machine, busy or slow."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import TypeVar

FACTOR = 8
"""How much more work is given the second time."""

_HEADROOM = 3  # caches overflow: in proportion is not exactly in proportion. Quadratic work takes FACTOR times too long
_GRAIN = 0.01  # seconds of processor time that say nothing
_ATTEMPTS = 5

Given = TypeVar("Given")


def effort(work: Callable[[], object], clock: Callable[[], float] = time.thread_time) -> float:
    """The processor seconds of this thread that it takes, without those for collecting the garbage of others."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        began = clock()
        work()
        return clock() - began
    finally:
        if collecting:
            gc.enable()


def no_dearer(
    work: Callable[[], object],
    than: Callable[[], object],
    times: float,
    clock: Callable[[], float] = time.thread_time,
) -> bool:
    """Whether the work costs at most so many times as much as the other.

    Both are measured again, a few times, until the quickest of each say so: what waited for the caches of other programs once
    does not each time, and what is dearer is so each time.
    """
    least_work = least_other = float("inf")
    for _ in range(_ATTEMPTS):
        least_other = min(least_other, effort(than, clock))
        least_work = min(least_work, effort(work, clock))
        if least_work <= times * least_other + _GRAIN:
            return True
    return False


def in_proportion(
    work: Callable[[Given], object],
    make: Callable[[int], Given],
    count: int,
    clock: Callable[[], float] = time.thread_time,
) -> bool:
    """Whether work(make(count)) costs no more, in proportion, than work(make(count // FACTOR)): quadratic work does."""
    small, large = make(count // FACTOR), make(count)
    return no_dearer(lambda: work(large), lambda: work(small), _HEADROOM * FACTOR, clock)
