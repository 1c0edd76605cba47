"""Resources that a worker can run out of while it still accepts connections: descriptors, memory, threads."""

from __future__ import annotations

import contextlib
import mmap
import os
import resource
import threading

RESERVE = 8  # descriptors that a message may need at once
ROOM = 16 << 20  # octets of memory
MOST = 65_536  # descriptors; beyond it, some programs waste time on long tables


def raise_limits() -> None:
    """Raise the limit of descriptors as far as permitted: the soft limit of 1,024 is for programs that use select(2)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def exhausted() -> str:
    """The resource that is exhausted, and its limit; "" if all is well."""
    if not _has_descriptors():
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return f"no descriptors are left of {soft} (ulimit -n, LimitNOFILE=)"
    try:
        mmap.mmap(-1, ROOM).close()  # untouched pages cost nothing: this only tests the limits
    except (OSError, MemoryError):
        return "no memory is left (ulimit -v, LimitAS=, MemoryMax=)"
    try:
        thread = threading.Thread(target=_nothing)
        thread.start()
        thread.join()
    except (RuntimeError, MemoryError):
        return "no thread can be started (ulimit -u, TasksMax=, memory)"
    return ""


def _nothing() -> None:
    pass


def _has_descriptors() -> bool:
    taken = []
    try:
        for _ in range(RESERVE):
            taken.append(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC))  # noqa: PERF401 - each must be closed again
    except OSError:
        return False
    finally:
        for descriptor in taken:
            os.close(descriptor)
    return True
