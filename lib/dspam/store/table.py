"""A hash table from keys to counts, in three numpy arrays: 20 octets per slot, with vectorised look-up of whole messages."""

from __future__ import annotations

import secrets

import numpy as np
import numpy.typing as npt

from dspam.store.records import Counts, Keys

try:
    from dspam import _cutting
except ImportError:  # see dspam.features
    _cutting = None  # type: ignore[assignment]

_KEY = 8  # octets
_SLOT = _KEY + 3 * 4
_BUCKET_BITS = 3
_BUCKET = 1 << _BUCKET_BITS  # slots: the keys of a bucket fill one line of the processor's cache
_FILL = 0.6  # beyond it, too many buckets are full
_SMALLEST = 7  # bits of the number of buckets


class Table:
    """Open addressing with buckets. The preferred bucket of a key depends on a secret of this table, so nobody can send mail
    whose tokens all collide. Buckets fill from the front; if one is full, a key goes to the next. Key 0 marks an empty slot
    (records.usable)."""

    def __init__(self, expected: int = 0) -> None:
        self.size = 0
        self._factor = np.uint64(secrets.randbits(64) | 1)
        self._allot(buckets_for(expected))

    @property
    def nbytes(self) -> int:
        return self._keys.nbytes + self._counts.nbytes

    def get(self, keys: Keys) -> Counts:
        """The counts of each key, zeros for unknown keys; shape (n, 3)."""
        if _cutting:
            found: Counts = np.empty((len(keys), 3), dtype=np.int32)
            _cutting.counts(
                np.ascontiguousarray(keys), self._keys, self._counts, int(self._factor), int(self._shift), found
            )
            return found
        slots = self._find(keys)
        counts: Counts = self._counts.take(slots, axis=0, mode="clip")
        counts[slots < 0] = 0
        return counts

    def add(self, keys: Keys, deltas: Counts, sign: int = 1) -> None:
        """Add sign * deltas, shape (n, 3), to the keys; keys may repeat. Grows as needed."""
        if _cutting:
            self._add_compiled(np.ascontiguousarray(keys), np.ascontiguousarray(deltas, dtype=np.int32), sign)
        else:
            self._add(keys, deltas, sign)

    def _add_compiled(self, keys: Keys, deltas: Counts, sign: int = 1) -> None:
        """The same by _counting.c."""
        at = 0
        while True:
            room = max(0, int(_FILL * _BUCKET * len(self._keys)) - self.size)
            at, fresh = _cutting.add(
                keys, self._keys, self._counts, int(self._factor), int(self._shift), deltas, sign, at, room
            )
            self.size += fresh
            if at == len(keys):
                return
            rest = keys[at:]
            self._grow(self.size + len(np.unique(rest[self._find(rest) < 0])))

    def _add(self, keys: Keys, deltas: Counts, sign: int = 1) -> None:
        """The same in Python."""
        slots = self._find(keys)
        missing = np.flatnonzero(slots < 0)
        if missing.size:
            fresh, inverse = np.unique(keys[missing], return_inverse=True)
            if self.size + len(fresh) > _FILL * _BUCKET * len(self._keys):
                self._grow(self.size + len(fresh))
                slots = self._find(keys)
            slots[missing] = self._insert(fresh)[inverse]
        deltas = deltas if sign == 1 else -deltas
        if bool((keys[1:] > keys[:-1]).all()):  # each once, as in one message
            self._counts[slots] += deltas
        else:
            cells = (slots * 3)[:, np.newaxis] + np.arange(3)
            np.add.at(self._counts.reshape(-1), cells.ravel(), deltas.ravel())

    def would_take(self, more: int) -> int:
        """Octets that the table takes once `more` keys have come."""
        return max(len(self._keys), buckets_for(self.size + more)) * _BUCKET * _SLOT

    def _allot(self, buckets: int) -> None:
        self._shift = np.uint64(65 - buckets.bit_length())
        room = np.zeros((buckets + 1) * _BUCKET, dtype=np.int64)
        start = -(room.ctypes.data // _KEY) % _BUCKET  # where a line of the cache begins
        self._keys = room[start : start + buckets * _BUCKET].reshape(buckets, _BUCKET)
        self._counts = np.zeros((buckets * _BUCKET, 3), dtype=np.int32)

    def _preferred(self, keys: Keys) -> npt.NDArray[np.int64]:
        return ((keys.view(np.uint64) * self._factor) >> self._shift).astype(np.int64)

    def _find(self, keys: Keys) -> npt.NDArray[np.int64]:
        """The slot of each key, -1 for unknown keys."""
        if _cutting:
            slots = np.empty(len(keys), dtype=np.int64)
            _cutting.slots(np.ascontiguousarray(keys), self._keys, int(self._factor), int(self._shift), slots)
            return slots
        buckets = self._preferred(keys)
        result, on = self._find_in(keys, buckets)
        while on.size:  # a few, as long as the table is not too full
            buckets[on] = self._after(buckets[on])
            found, further = self._find_in(keys[on], buckets[on])
            result[on] = found
            on = on[further]
        return result

    def _find_in(
        self, keys: Keys, buckets: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.intp]]:
        """The slot of each key in its bucket, -1 for one that isn't there, and which keys may be in the next bucket."""
        candidates = self._keys.take(buckets, axis=0)
        result = np.empty(len(keys), dtype=np.int64)
        result.fill(-1)
        cells = (candidates == keys[:, np.newaxis]).ravel().nonzero()[0]
        rows = cells >> _BUCKET_BITS
        result[rows] = (buckets.take(rows) << _BUCKET_BITS) + (cells & (_BUCKET - 1))
        return result, ((candidates[:, -1] != 0) & (result < 0)).nonzero()[0]

    def _insert(self, keys: Keys) -> npt.NDArray[np.int64]:
        """Insert keys, which must be new and unique. Returns their slots."""
        result = np.empty(len(keys), dtype=np.int64)
        waiting, buckets = np.arange(len(keys)), self._preferred(keys)
        flat = self._keys.reshape(-1)
        while waiting.size:
            candidates = self._keys[buckets]
            full = candidates[:, -1] != 0
            slots = buckets * _BUCKET + (candidates == 0).argmax(axis=1)
            wanted = slots[~full]
            flat[wanted] = keys[waiting[~full]]
            # Of several that wanted one slot the last has it; the others try the same bucket again.
            has = ~full & (flat[slots] == keys[waiting])
            result[waiting[has]] = slots[has]
            buckets = np.where(full, self._after(buckets), buckets)[~has]
            waiting = waiting[~has]
        self.size += len(keys)
        return result

    def _after(self, buckets: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return (buckets + 1) & (len(self._keys) - 1)

    def _grow(self, expected: int) -> None:
        slots = np.flatnonzero(self._keys)
        keys, counts = self._keys.reshape(-1)[slots], self._counts[slots]
        self.size = 0
        self._allot(buckets_for(expected))
        self.add(keys, counts)


def buckets_for(size: int) -> int:
    """How many buckets a table of so many keys has: a power of two."""
    return 1 << max(_SMALLEST, int(size / (_FILL * _BUCKET)).bit_length())


def table_bytes(size: int) -> int:
    """Octets that a table of so many keys takes."""
    return buckets_for(size) * _BUCKET * _SLOT
