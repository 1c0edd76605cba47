"""Signals for the supervisor, delivered as bytes in a pipe."""

from __future__ import annotations

import contextlib
import gc
import os
import selectors
import signal
from collections.abc import Iterator

HEARD_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD)


class Wakeup:
    """The pipe to which signals are written; their Python handlers do nothing."""

    def __init__(self) -> None:
        self._read = self._write = -1

    @contextlib.contextmanager
    def hearing(self, selector: selectors.BaseSelector) -> Iterator[None]:
        """Receive HEARD_SIGNALS; the selector has None as the data of the pipe."""
        self._read, self._write = os.pipe()
        for descriptor in (self._read, self._write):
            os.set_blocking(descriptor, False)
        selector.register(self._read, selectors.EVENT_READ)
        before = {number: signal.signal(number, lambda *_: None) for number in HEARD_SIGNALS}
        wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)
            self.close()

    def read(self) -> bytes:
        """The numbers of the signals received."""
        return os.read(self._read, 4096)

    def close(self) -> None:
        os.close(self._read)
        os.close(self._write)


def fork_with_signals_blocked() -> int:
    """os.fork(); the child, which must not act on a signal as the parent would, unblocks HEARD_SIGNALS itself."""
    signal.pthread_sigmask(signal.SIG_BLOCK, HEARD_SIGNALS)
    gc.freeze()  # the child's collector must not write to pages shared with the parent
    pid = -1
    try:
        pid = os.fork()
        return pid
    finally:
        if pid != 0:
            gc.unfreeze()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, HEARD_SIGNALS)
