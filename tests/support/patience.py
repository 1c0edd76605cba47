"""How long tests wait, and how they judge what must be quick: no busy or slow machine makes one fail."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 300.0
"""Seconds after which something that another thread, process or server was to do counts as not done. It costs nothing if it
happens sooner."""

ATTEMPT = 1.0
"""Seconds for one attempt of many: wait_until makes further ones as long as its patience lasts."""

_ATTEMPTS = 5


def took(do: Callable[[], object], clock: Callable[[], float] = time.monotonic) -> float:
    """The seconds that it takes, by that clock."""
    began = clock()
    do()
    return clock() - began


def quickest(seconds: Callable[[], float], limit: float) -> float:
    """The least of several measurements; it measures again, a few times, until one is below the limit.

    What is too slow is too slow each time; what waited for other programs once does not each time.
    """
    best = float("inf")
    for _ in range(_ATTEMPTS):
        best = min(best, seconds())
        if best < limit:
            break
    return best
