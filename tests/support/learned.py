"""A dictionary for tests and trials of the learner: all of it in the memory of one process."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dspam.hashing import Keys
from dspam.learner import Totals, deltas, score, with_marks
from dspam.lesson import Counts


class Memory:
    """Counts of keys, and what was learned."""

    def __init__(self) -> None:
        self.rows: dict[int, npt.NDArray[np.int64]] = {}
        self.totals = Totals(0, 0)

    def counts(self, keys: Keys) -> Counts:
        """The counts of these keys; zeros if nothing is known."""
        nothing = np.zeros(3, dtype=np.int64)
        return np.array([self.rows.get(key, nothing) for key in keys.tolist()], dtype=np.int32).reshape(-1, 3)

    def add(self, keys: Keys, added: Counts, is_spam: bool, sign: int = 1) -> None:
        """Apply the deltas of one training (of the keys and MARKS), or with sign -1 take them back."""
        for key, row in zip(with_marks(keys).tolist(), added.astype(np.int64), strict=True):
            self.rows[key] = self.rows.get(key, 0) + sign * row
        self.totals = Totals(self.totals.spam + sign * is_spam, self.totals.ham + sign * (not is_spam))

    def score(self, keys: Keys) -> float:
        keys = with_marks(keys)
        return score(keys, self.counts(keys), self.totals)

    def learn(self, keys: Keys, is_spam: bool) -> Counts:
        """Learn a message; returns the deltas of its keys and MARKS."""
        marked = with_marks(keys)
        added = deltas(marked, self.counts(marked), is_spam, self.totals)
        self.add(keys, added, is_spam)
        return added
