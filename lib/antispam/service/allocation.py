"""Settings of the C library's allocator for a worker, which has many threads and lives for weeks."""

from __future__ import annotations

import ctypes

# malloc.h of glibc. Setting the threshold also keeps glibc from raising it whenever a large block is freed.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
ARENAS = 2
LARGE = 128 * 1024  # octets


def keep_little() -> None:
    """Make the allocator return memory to the system: at most ARENAS heaps for all threads, and a separate mapping for
    each LARGE block.

    By default each of libmilter's threads may get its own heap, which keeps what the largest message left free. Fewer
    heaps cost little, because threads wait for Python's lock and seldom for the allocator's. Does nothing if the C
    library is not glibc.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(_M_ARENA_MAX, ARENAS)
    mallopt(_M_MMAP_THRESHOLD, LARGE)
    mallopt(_M_TRIM_THRESHOLD, LARGE)
