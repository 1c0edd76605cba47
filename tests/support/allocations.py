"""What work allocates, as tracemalloc counts it."""

from __future__ import annotations

import contextlib
import tracemalloc
from collections.abc import Iterator


class Peak:
    """The most octets that were allocated at one time; known when the block has ended."""

    octets: int


@contextlib.contextmanager
def peak_of() -> Iterator[Peak]:
    """Count what the block allocates, in all threads, and stop counting however the block ends.

    Where a failed assertion left tracemalloc running, the tests that followed were several times slower.
    """
    peak = Peak()
    tracemalloc.start()
    try:
        yield peak
        peak.octets = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
