"""What a context needs of a token store, and a store that forgets everything when the program ends."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Protocol

from .algorithms import Hits, Totals


class Storage(Protocol):
    """Counts of tokens, totals and signatures, each of a user (or of a group, which is a user that nobody is).

    What cannot be done now (locked, full, gone) raises the store's own exception.
    """

    def counts(self, user: str, keys: Collection[int]) -> Mapping[int, Hits]:
        """The hits of those keys that are known; a key that is not has none."""

    def totals(self, user: str) -> Totals:
        """The messages counted so far."""

    def train(self, user: str, deltas: Mapping[int, Hits], totals: Totals) -> None:
        """Add to counts and totals, all or nothing; what is negative takes back."""

    def get_signature(self, user: str, signature: str) -> bytes | None:
        """What was stored under this id, None if nothing was."""

    def set_signature(self, user: str, signature: str, content: bytes) -> None:
        """Store it, in place of what was there."""

    def delete_signature(self, user: str, signature: str) -> bool:
        """Forget it; False if there was none."""


def add_hits(hits: Hits, other: Hits) -> Hits:
    """The sums."""
    return Hits(hits.spam + other.spam, hits.innocent + other.innocent)


def add_totals(totals: Totals, other: Totals) -> Totals:
    """The sums."""
    return Totals(*(ours + theirs for ours, theirs in zip(totals, other, strict=True)))


class MemoryStore:
    """A Storage in dictionaries: for tests, and for trying things out. Safe to share among threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hits: defaultdict[str, dict[int, Hits]] = defaultdict(dict)
        self._totals: defaultdict[str, Totals] = defaultdict(Totals)
        self._signatures: dict[tuple[str, str], bytes] = {}

    def counts(self, user: str, keys: Collection[int]) -> dict[int, Hits]:
        with self._lock:
            known = self._hits[user]
            return {key: known[key] for key in keys if key in known}

    def totals(self, user: str) -> Totals:
        with self._lock:
            return self._totals[user]

    def train(self, user: str, deltas: Mapping[int, Hits], totals: Totals) -> None:
        with self._lock:
            known = self._hits[user]
            for key, delta in deltas.items():
                hits = add_hits(known.get(key, Hits(0, 0)), delta)
                if any(hits):
                    known[key] = hits
                else:
                    known.pop(key, None)
            self._totals[user] = add_totals(self._totals[user], totals)

    def get_signature(self, user: str, signature: str) -> bytes | None:
        return self._signatures.get((user, signature))

    def set_signature(self, user: str, signature: str, content: bytes) -> None:
        self._signatures[user, signature] = content

    def delete_signature(self, user: str, signature: str) -> bool:
        return self._signatures.pop((user, signature), None) is not None
