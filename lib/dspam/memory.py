"""The interface that a context needs from a token store, and a store in memory."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Protocol

from .algorithms import Hits, Totals


class Storage(Protocol):
    """Counts of tokens, totals and signatures, for each user. A group is stored as a user.

    Temporary failures (locked, full, gone) raise the store's own exception.
    """

    def counts(self, user: str, keys: Collection[int]) -> Mapping[int, Hits]:
        """The hits of the keys that are known. Unknown keys are left out."""

    def totals(self, user: str) -> Totals:
        """The messages that were counted."""

    def train(self, user: str, deltas: Mapping[int, Hits], totals: Totals, once: str = "") -> bool:
        """Add to counts and totals, atomically. Negative numbers subtract, but not below 0.

        With a name (`once`) this is done a single time, even if several nodes try at once. The others get False and change
        nothing. The opposite lesson under the same name replaces the first.
        """

    def get_signature(self, user: str, signature: str) -> bytes | None:
        """The signature stored under this id, or None."""

    def set_signature(self, user: str, signature: str, content: bytes) -> None:
        """Store the signature, replacing an earlier one."""

    def delete_signature(self, user: str, signature: str) -> bool:
        """Delete the signature. Returns False if there was none."""


def add_hits(hits: Hits, other: Hits) -> Hits:
    """The sums."""
    return Hits(hits.spam + other.spam, hits.innocent + other.innocent)


def add_totals(totals: Totals, other: Totals) -> Totals:
    """The sums."""
    return Totals(*(ours + theirs for ours, theirs in zip(totals, other, strict=True)))


def is_spam(deltas: Mapping[int, Hits]) -> bool:
    """Whether these add to spam."""
    return sum(hits.spam - hits.innocent for hits in deltas.values()) > 0


def down_to_zero(present: tuple[int, ...], delta: tuple[int, ...]) -> list[int]:
    """What to add to each number so that it is as much higher or lower as `delta` says, and never below 0.

    Untraining something that was never learned does not reduce what is learned later.
    """
    return [max(0, max(0, now) + change) - now for now, change in zip(present, delta, strict=True)]


_NONE = Hits(0, 0)


class MemoryStore:
    """A Storage in dictionaries, for tests and experiments. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hits: defaultdict[str, dict[int, Hits]] = defaultdict(dict)
        self._totals: defaultdict[str, Totals] = defaultdict(Totals)
        self._signatures: dict[tuple[str, str], bytes] = {}
        self._named: dict[tuple[str, str], tuple[dict[int, Hits], Totals]] = {}

    def counts(self, user: str, keys: Collection[int]) -> dict[int, Hits]:
        with self._lock:
            known = self._hits[user]
            return {key: known[key] for key in keys if key in known}

    def totals(self, user: str) -> Totals:
        with self._lock:
            return self._totals[user]

    def train(self, user: str, deltas: Mapping[int, Hits], totals: Totals, once: str = "") -> bool:
        with self._lock:
            done = self._named.get((user, once)) if once else None
            if done is not None:
                if is_spam(done[0]) == is_spam(deltas):
                    return False
                self._add(user, {key: Hits(-spam, -innocent) for key, (spam, innocent) in done[0].items()})
                self._count(user, Totals(*(-number for number in done[1])))
            before = self._present(user, deltas) if once else {}
            self._add(user, deltas)
            more = self._count(user, totals)
            if once:
                after = self._present(user, deltas)
                added = {
                    key: Hits(now.spam - before[key].spam, now.innocent - before[key].innocent)
                    for key, now in after.items()
                }
                self._named[user, once] = added, more
            return True

    def _present(self, user: str, keys: Collection[int]) -> dict[int, Hits]:
        known = self._hits[user]
        return {key: known.get(key, _NONE) for key in keys}

    def _add(self, user: str, deltas: Mapping[int, Hits]) -> None:
        known = self._hits[user]
        for key, (spam, innocent) in deltas.items():
            now = known.get(key, _NONE)
            hits = known[key] = Hits(max(0, now.spam + spam), max(0, now.innocent + innocent))
            if not any(hits):
                del known[key]

    def _count(self, user: str, totals: Totals) -> Totals:
        """Returns what was added. Not more is subtracted than there was."""
        present = self._totals[user]
        more = Totals(*down_to_zero(present, totals))
        self._totals[user] = add_totals(present, more)
        return more

    def get_signature(self, user: str, signature: str) -> bytes | None:
        return self._signatures.get((user, signature))

    def set_signature(self, user: str, signature: str, content: bytes) -> None:
        self._signatures[user, signature] = content

    def delete_signature(self, user: str, signature: str) -> bool:
        return self._signatures.pop((user, signature), None) is not None
