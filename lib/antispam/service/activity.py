"""The load of a worker, counted in libmilter's callbacks."""

from __future__ import annotations

import contextlib
import mmap
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from typing import Literal, NamedTuple

DrainUntil = Literal["sessions", "messages"]


class Load(NamedTuple):
    """The load of a worker: open SMTP sessions, messages between MAIL and the end of message, and the age of the oldest
    unfinished callback in seconds (0.0 without one).
    """

    sessions: int = 0
    messages: int = 0
    oldest: float = 0.0

    def is_over(self, until: DrainUntil) -> bool:
        """Whether nothing is left to wait for."""
        return not self.oldest and not self.messages and (until == "messages" or not self.sessions)


class Pulse:
    """A number that a worker increments with each callback, in memory shared with its parent: it shows that the worker
    is alive even when it is too busy to report. Made before the fork. `page` is the number of the child's page on the
    board.
    """

    def __init__(self, page: int | None = None) -> None:
        self.page = page
        self._shared = mmap.mmap(-1, mmap.PAGESIZE)

    def beat(self) -> None:
        count = int.from_bytes(self._shared[:4], "little") + 1
        self._shared[:4] = (count & 0xFFFFFFFF).to_bytes(4, "little")

    def count(self) -> int:
        return int.from_bytes(self._shared[:4], "little")


class Activity:
    """The counts for Load, kept by the layer that receives libmilter's callbacks, from any thread.

    pulse     incremented with each callback
    answered  called with the seconds that each end of message took

    Keys identify sessions. Reporting something twice, or ending what never began, is harmless.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        pulse: Pulse | None = None,
        answered: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self._clock = clock
        self._pulse = pulse or Pulse()
        self._answered = answered
        self._lock = threading.Lock()
        self._sessions: set[Hashable] = set()
        self._messages: set[Hashable] = set()
        self._callbacks: dict[int, float] = {}
        self._around = _Around(self)

    def session_opened(self, key: Hashable) -> None:
        """An MTA connected."""
        with self._lock:
            self._sessions.add(key)

    def session_closed(self, key: Hashable) -> None:
        """The session ended, and with it any unfinished message."""
        with self._lock:
            self._sessions.discard(key)
            self._messages.discard(key)

    def message_began(self, key: Hashable) -> None:
        """MAIL FROM."""
        with self._lock:
            self._messages.add(key)

    def message_ended(self, key: Hashable) -> None:
        """The end of message is answered, or the message was aborted."""
        with self._lock:
            self._messages.discard(key)

    def callback(self) -> contextlib.AbstractContextManager[None]:
        """Context of every callback; callbacks do not nest within a thread."""
        return self._around

    @contextlib.contextmanager
    def end_of_message(self) -> Iterator[None]:
        """Context of the end-of-message callback, for which clients wait."""
        began = self._clock()
        with self.callback():
            yield
        self._answered(self._clock() - began)

    def callback_began(self) -> None:
        with self._lock:
            self._pulse.beat()
            self._callbacks[threading.get_ident()] = self._clock()

    def callback_ended(self) -> None:
        with self._lock:
            del self._callbacks[threading.get_ident()]

    def load(self) -> Load:
        """The counts now."""
        with self._lock:
            now = self._clock()
            # A callback that started this very instant must not look like none.
            oldest = max((max(now - began, 1e-6) for began in self._callbacks.values()), default=0.0)
            return Load(len(self._sessions), len(self._messages), oldest)


class _Around:
    """The context of a callback. Its state is kept by thread, so that one object serves all."""

    __slots__ = ("_activity",)

    def __init__(self, activity: Activity) -> None:
        self._activity = activity

    def __enter__(self) -> None:
        self._activity.callback_began()

    def __exit__(self, *exc: object) -> None:
        self._activity.callback_ended()
