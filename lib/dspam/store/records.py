"""The formats of blobs: the tokens of a page, the deltas of a training, the keys of a message."""

from __future__ import annotations

import dataclasses
import sys
from typing import Self

import numpy as np
import numpy.typing as npt

try:
    from dspam import _cutting
except ImportError:  # see dspam.features
    _cutting = None  # type: ignore[assignment]

Keys = npt.NDArray[np.int64]
Counts = npt.NDArray[np.int32]
"""One row a key: spam hits, ham hits, weight (fixed point, the learner's own scale)."""

TOKEN = np.dtype([("key", "<i8"), ("spam", "<i4"), ("ham", "<i4"), ("weight", "<i4"), ("day", "<u2")])
"""One token: `day` is when it was last taught, in days since the epoch."""

Tokens = np.ndarray[tuple[int], np.dtype[np.void]]

_COLUMNS = ("spam", "ham", "weight")
_WIDTHS = (np.dtype("<i1"), np.dtype("<i2"), np.dtype("<i4"))
_VERSION = 1


def usable(keys: npt.ArrayLike) -> Keys:
    """The keys as an array of int64. 0 marks an empty slot of a table, so a token with that key is counted under another."""
    array = np.ascontiguousarray(keys, dtype=np.int64)
    return np.where(array == 0, np.int64(1), array) if array.size and not array.all() else array


@dataclasses.dataclass(frozen=True, slots=True)
class Totals:
    """Messages counted, in DSPAM's terms: learned as they came, corrected by the user, fed from a corpus, classified."""

    spam_learned: int = 0
    ham_learned: int = 0
    spam_misclassified: int = 0
    ham_misclassified: int = 0
    spam_corpusfed: int = 0
    ham_corpusfed: int = 0
    spam_classified: int = 0
    ham_classified: int = 0

    @property
    def spam(self) -> int:
        """Spam messages in the dictionary."""
        return self.spam_learned

    @property
    def ham(self) -> int:
        """Ham messages in the dictionary."""
        return self.ham_learned

    def plus(self, other: Totals, sign: int = 1) -> Totals:
        return Totals(*(a + sign * b for a, b in zip(self.values(), other.values(), strict=True)))

    def values(self) -> tuple[int, ...]:
        return tuple(getattr(self, name) for name in TOTALS)


TOTALS = tuple(field.name for field in dataclasses.fields(Totals))


@dataclasses.dataclass(frozen=True, slots=True)
class Deltas:
    """What one training adds to the totals and to each key."""

    keys: Keys
    counts: Counts
    totals: Totals

    def __post_init__(self) -> None:
        if self.counts.shape != (len(self.keys), 3):
            raise ValueError(f"{len(self.keys)} keys, but deltas of shape {self.counts.shape}")

    def from_key(self, border: int) -> Self:
        """The part for the keys that are not below the border, and for the totals."""
        above = self.keys >= border
        return dataclasses.replace(self, keys=self.keys[above], counts=self.counts[above])

    def pack(self) -> bytes:
        """A version, the number of keys, the totals; the keys; then each column as narrow as it can be, after a code: 0 for a
        column that is the same all the way down, else octets a number."""
        columns = [_pack_column(self.counts[:, column]) for column in range(3)]
        head = np.array([_VERSION, len(self.keys), *self.totals.values()], dtype="<i4")
        return b"".join([head.tobytes(), self.keys.astype("<i8", copy=False).tobytes(), *columns])

    @classmethod
    def unpack(cls, content: bytes) -> Self:
        """Decode what pack() made. Raises ValueError for anything else."""
        head = np.frombuffer(content, "<i4", count=2 + len(TOTALS))
        if head[0] != _VERSION:
            raise ValueError(f"deltas of version {head[0]}, which this program does not know")
        size = int(head[1])
        keys = np.frombuffer(content, "<i8", count=size, offset=head.nbytes)
        counts = np.empty((size, 3), dtype=np.int32)
        offset = head.nbytes + keys.nbytes
        for column in range(3):
            offset = _unpack_column(content, offset, counts[:, column])
        return cls(keys.astype(np.int64, copy=False), counts, Totals(*map(int, head[2:])))


def _pack_column(column: npt.NDArray[np.int32]) -> bytes:
    if not column.size:
        return b""
    low, high = int(column.min()), int(column.max())
    if low == high:
        return b"\0" + np.array([low], dtype="<i4").tobytes()
    width = next(width for width in _WIDTHS if np.iinfo(width).min <= low and high <= np.iinfo(width).max)
    return bytes([width.itemsize]) + column.astype(width).tobytes()


def _unpack_column(content: bytes, offset: int, into: npt.NDArray[np.int32]) -> int:
    """Returns the offset behind the column."""
    if not into.size:
        return offset
    if offset >= len(content):
        raise ValueError("deltas that end too early")
    code = content[offset]
    if code == 0:
        into[:] = np.frombuffer(content, "<i4", count=1, offset=offset + 1)
        return offset + 5
    width = next((width for width in _WIDTHS if width.itemsize == code), None)
    if width is None:
        raise ValueError(f"a column of unknown width {code}")
    into[:] = np.frombuffer(content, width, count=into.size, offset=offset + 1)
    return offset + 1 + into.size * code


def as_tokens(content: bytes) -> Tokens:
    """The tokens of one page, or of several that follow each other; read-only."""
    return np.frombuffer(content, TOKEN)


def counts_of(tokens: Tokens) -> Counts:
    counts = np.empty((len(tokens), 3), dtype=np.int32)
    for index, column in enumerate(_COLUMNS):
        counts[:, index] = tokens[column]
    return counts


def merge(tokens: Tokens, keys: Keys, counts: npt.NDArray[np.int64], days: npt.NDArray[np.uint16]) -> Tokens:
    """The sum of both, sorted by key, without tokens whose counts are all zero. Both sets of keys are sorted and unique."""
    return (compiled_merge if _cutting and sys.byteorder == "little" else reference_merge)(tokens, keys, counts, days)


def compiled_merge(tokens: Tokens, keys: Keys, counts: npt.NDArray[np.int64], days: npt.NDArray[np.uint16]) -> Tokens:
    """The same by _merging.c."""
    merged = _cutting.merge(
        np.ascontiguousarray(tokens).view(np.uint8),
        np.ascontiguousarray(keys, dtype=np.int64),
        np.ascontiguousarray(counts, dtype=np.int64),
        np.ascontiguousarray(days, dtype=np.uint16),
    )
    return as_tokens(merged)


def reference_merge(tokens: Tokens, keys: Keys, counts: npt.NDArray[np.int64], days: npt.NDArray[np.uint16]) -> Tokens:
    """The same in Python."""
    where = np.searchsorted(tokens["key"], keys)
    known = np.zeros(len(keys), dtype=bool)
    inside = where < len(tokens)
    known[inside] = tokens["key"][where[inside]] == keys[inside]
    rows = np.flatnonzero(known)
    merged = np.empty(len(tokens) + len(keys) - len(rows), dtype=TOKEN)
    merged[: len(tokens)] = tokens
    fresh = merged[len(tokens) :]
    fresh["key"], fresh["day"] = keys[~known], days[~known]
    at = where[rows]
    merged["day"][at] = np.maximum(tokens["day"][at], days[rows])
    limits = np.iinfo(np.int32)
    for index, column in enumerate(_COLUMNS):
        fresh[column] = np.clip(counts[~known, index], limits.min, limits.max)
        sums = tokens[column][at].astype(np.int64) + counts[rows, index]
        merged[column][at] = np.clip(sums, limits.min, limits.max)
    merged = merged[(merged["spam"] != 0) | (merged["ham"] != 0) | (merged["weight"] != 0)]
    ordered: Tokens = merged[np.argsort(merged["key"], kind="stable")]
    return ordered


def pack_keys(keys: npt.ArrayLike) -> bytes:
    """Encode the keys of a message, to be stored with its signature."""
    return np.asarray(keys, dtype="<i8").tobytes()


def unpack_keys(content: bytes) -> Keys:
    """Decode what pack_keys() made. Raises ValueError for anything else."""
    return np.frombuffer(content, "<i8").astype(np.int64)
