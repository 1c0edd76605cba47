"""A cache of conclusions that a worker may use again for a while."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterable
from typing import Any


class Memory:
    """The least recently used of at most `size` conclusions, each until its moment; for all threads of a process."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._known: OrderedDict[Hashable, tuple[float, Any]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: Hashable, now: float) -> Any:
        """What was put for the key, None if nothing was or its moment has passed."""
        with self._lock:
            entry = self._known.get(key)
            if entry is None:
                return None
            if entry[0] <= now:
                del self._known[key]
                return None
            self._known.move_to_end(key)
            return entry[1]

    def get_all(self, keys: Iterable[Hashable], now: float) -> list[Any]:
        """The same as get() of each key."""
        known, found = self._known, []
        with self._lock:
            for key in keys:
                entry = known.get(key)
                if entry is not None and entry[0] <= now:
                    del known[key]
                    entry = None
                if entry is not None:
                    known.move_to_end(key)
                found.append(None if entry is None else entry[1])
        return found

    def put(self, key: Hashable, conclusion: Any, until: float) -> None:
        """Remember a conclusion up to the moment `until`."""
        with self._lock:
            self._known[key] = (until, conclusion)
            self._known.move_to_end(key)
            if len(self._known) > self._size:
                self._known.popitem(last=False)
