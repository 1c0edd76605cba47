"""The binding of libmilter: `ffi` and `lib` as cffi compiled them, and the socket that libmilter listens on.

lib/milter.py is the module for milters; this one is below it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

try:
    from _libmilter._binding import ffi, lib
except ImportError as failure:
    raise ImportError(
        f"the binding of libmilter is not usable ({failure}). It is compiled when this package is installed: "
        "apt-get install libmilter-dev, then pip install again."
    ) from failure

# What trampolines.c puts here, and what does not let go of the interpreter's lock, as functions of `lib` do.
# step_aside(): let other connections run Python, as turns.c has it; whether this thread had the turn, and shall step_back()
step_aside: Callable[[], bool]
step_back: Callable[[], None]
# macro(address, name): the value of a macro of the connection at that address, or None
macro: Callable[[int, bytes], str | None]
# defer_change(address, kind, index, name, value): whether a header change will be sent when the callback has returned
defer_change: Callable[[int, int, int, bytes, bytes | None], bool]

__all__ = ["ffi", "lib", "listening_sockets", "prepare_listener"]


def listening_sockets() -> set[int]:
    """The file descriptors of this process on which it listens for connections (Linux: /proc/self/fd)."""
    return {fd for fd in map(int, os.listdir("/proc/self/fd")) if _listens(fd)}


def _listens(fd: int) -> bool:
    try:
        candidate = socket.socket(fileno=fd)
    except OSError:
        return False
    try:
        return bool(candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    except OSError:
        return False
    finally:
        candidate.detach()


def prepare_listener(fd: int) -> None:
    """Make libmilter's listening socket fit for several processes, and for a milter that answers in small packets.

    Non-blocking: of several processes that poll one socket only one gets the connection; the others would hang in
    accept(), deaf to everything else. TCP_NODELAY is inherited by accepted sockets: without it the packets of one
    answer wait for the MTA's delayed acknowledgement (40 ms each).
    """
    listener = socket.socket(fileno=fd)
    try:
        listener.setblocking(False)
        if listener.family in (socket.AF_INET, socket.AF_INET6):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    finally:
        listener.detach()
