"""Many messages taught in one transaction: what they count is looked up once, and added up in memory before it is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dspam.hashing import merged
from dspam.store.records import Counts, Deltas, Totals, usable
from dspam.store.table import Table


class Material(NamedTuple):
    """A message to teach: what makes it this one for all time, its features (each once), and what computes what it adds to them
    from their present counts and the totals; shape (n, 3) both."""

    message_id: str | bytes
    keys: npt.ArrayLike
    deltas: Callable[[Counts, Totals], npt.NDArray[Any]]


class Sums:
    """The counts of all keys of some messages, while one after the other of them is learned.

    keys  of all messages, sorted, each once
    """

    def __init__(self, material: Sequence[Material]) -> None:
        self._material = material
        self._found = [usable(one.keys) for one in material]
        self.keys = merged(*self._found)

    def learn(self, counts: Counts, totals: Totals, each: Totals) -> tuple[list[Deltas], Counts]:
        """What each message adds, `each` of them that much to the totals; and what all add to the keys.

        counts, totals  those of the keys before
        """
        now, lessons = Table(len(self.keys)), []
        now.add(self.keys, counts)
        for keys, one in zip(self._found, self._material, strict=True):
            lesson = Deltas(keys, np.asarray(one.deltas(now.get(keys), totals), dtype=np.int32), each)
            now.add(keys, lesson.counts)
            totals = totals.plus(each)
            lessons.append(lesson)
        return lessons, now.get(self.keys) - counts
