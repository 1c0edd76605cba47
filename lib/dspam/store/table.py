"""A hash table from keys to counts, in three numpy arrays: 20 octets a slot, and whole messages looked up at once."""

from __future__ import annotations

import secrets

import numpy as np
import numpy.typing as npt

from dspam.store.records import Counts, Keys

_SLOT = 8 + 3 * 4  # octets
_FILL = 0.7  # beyond it, chains of occupied slots get long
_SMALLEST = 10  # bits


class Table:
    """Open addressing with linear probing. Which slot a key prefers depends on a secret of this table, so that nobody can send
    mail whose tokens crowd into one place. Key 0 is none (records.usable)."""

    def __init__(self, expected: int = 0) -> None:
        self.size = 0
        self._factor = np.uint64(secrets.randbits(64) | 1)
        self._allot(slots_for(expected).bit_length() - 1)

    @property
    def nbytes(self) -> int:
        return self._keys.nbytes + self._counts.nbytes

    def get(self, keys: Keys) -> Counts:
        """The counts of each key, zeros for one that isn't there; shape (n, 3)."""
        slots, found = self._find(keys)
        counts = self._counts[slots]
        counts[~found] = 0
        return counts

    def add(self, keys: Keys, deltas: Counts, sign: int = 1) -> None:
        """Add sign * deltas, shape (n, 3), to the keys; a key may be there several times. Grows as needed."""
        slots, found = self._find(keys)
        if not found.all():
            fresh = np.unique(keys[~found])
            if self.size + len(fresh) > _FILL * len(self._keys):
                self._grow(self.size + len(fresh))
            self._insert(fresh)
            slots, _ = self._find(keys)
        np.add.at(self._counts, slots, deltas if sign == 1 else -deltas)

    def would_take(self, more: int) -> int:
        """Octets that the table takes once `more` keys have come."""
        return max(len(self._keys), slots_for(self.size + more)) * _SLOT

    def _allot(self, bits: int) -> None:
        self._shift = np.uint64(64 - bits)
        self._mask = np.int64((1 << bits) - 1)
        self._keys = np.zeros(1 << bits, dtype=np.int64)
        self._counts = np.zeros((1 << bits, 3), dtype=np.int32)

    def _slots(self, keys: Keys) -> npt.NDArray[np.int64]:
        return ((keys.view(np.uint64) * self._factor) >> self._shift).astype(np.int64)

    def _find(self, keys: Keys) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """For each key its slot and True, or the empty slot where the search ended and False."""
        slots = self._slots(keys)
        there = self._keys[slots]
        found = there == keys
        searching = np.flatnonzero(~found & (there != 0))
        while searching.size:
            ahead = (slots[searching] + 1) & self._mask
            slots[searching] = ahead
            there = self._keys[ahead]
            hit = there == keys[searching]
            found[searching[hit]] = True
            searching = searching[~hit & (there != 0)]
        return slots, found

    def _insert(self, keys: Keys) -> npt.NDArray[np.int64]:
        """Give each of the keys, none of which is there yet or twice, a slot; returns the slots."""
        result = self._slots(keys)
        waiting = np.arange(len(keys))
        while waiting.size:
            slots = result[waiting]
            free = self._keys[slots] == 0
            self._keys[slots[free]] = keys[waiting[free]]
            # Of several that wanted one slot the last has it; the others go on.
            waiting = waiting[self._keys[slots] != keys[waiting]]
            result[waiting] = (result[waiting] + 1) & self._mask
        self.size += len(keys)
        return result

    def _grow(self, expected: int) -> None:
        occupied = self._keys != 0
        keys, counts = self._keys[occupied], self._counts[occupied]
        self.size = 0
        self._allot(slots_for(expected).bit_length() - 1)
        self._counts[self._insert(keys)] = counts


def slots_for(size: int) -> int:
    """How many slots a table of so many keys has: a power of two."""
    return 1 << max(_SMALLEST, int(size / _FILL).bit_length())


def table_bytes(size: int) -> int:
    """Octets that a table of so many keys takes."""
    return slots_for(size) * _SLOT
