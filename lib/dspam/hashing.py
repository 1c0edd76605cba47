"""Stable 63-bit keys for thousands of byte strings at once.

A string's hash is the polynomial  sum of TABLE[byte] * B**position  modulo 2**64, so that one cumulative sum over a buffer
gives the hash of any slice of it; a finalizer (splitmix64, Steele et al. 2014) then spreads it over all bits.  The same bytes
give the same key on every machine and with every version of Python and numpy: keys are stored, and shared by nodes.

It is no secret hash: somebody who reads this can compute strings whose keys collide.  All they gain is that some words
of their own mail count as one another, which writing those words would have done as well.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Positions = npt.NDArray[np.intp]

MAX_BUFFER = 1 << 17
_27, _30, _31 = np.uint64(27), np.uint64(30), np.uint64(31)
_FIRST_FACTOR, _SECOND_FACTOR = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
BASE = 0x9E3779B97F4A7C15 | 1
_INVERSE = pow(BASE, -1, 1 << 64)


def _powers(base: int) -> Words:
    steps = np.full(MAX_BUFFER, base, dtype=np.uint64)
    steps[0] = 1
    return np.multiply.accumulate(steps)


def _random_table() -> Words:
    return np.array([salt(b"byte %d" % byte) for byte in range(256)], dtype=np.uint64)


@lru_cache(maxsize=4096)
def salt(name: bytes) -> int:
    """A 64-bit number that stands for a name: what is found in one place must not count for another."""
    return int.from_bytes(blake2b(name, digest_size=8).digest(), "little")


_POWERS = _powers(BASE)
_INVERSES = _powers(_INVERSE)
TABLE = _random_table()


def mix(words: Words) -> Words:
    """Spread every bit over all others (the finalizer of splitmix64)."""
    words = words ^ (words >> _30)
    words *= _FIRST_FACTOR
    words ^= words >> _27
    words *= _SECOND_FACTOR
    words ^= words >> _31
    return words


def slice_hashes(buffer: npt.NDArray[np.uint8], starts: Positions, ends: Positions) -> Words:
    """The hash of each buffer[start:end]; the buffer has at most MAX_BUFFER bytes."""
    sums = np.zeros(len(buffer) + 1, dtype=np.uint64)
    terms = TABLE.take(buffer)
    terms *= _POWERS[: len(buffer)]
    terms.cumsum(out=sums[1:])
    hashes: Words = sums.take(ends)
    hashes -= sums.take(starts)
    hashes *= _INVERSES.take(starts)
    return mix(hashes)


def merged(*keys: Keys) -> Keys:
    """Sets of ascending keys as one, each once and ascending: in half the time of np.unique, which does not know that they
    are in order."""
    together = np.concatenate(keys)
    together.sort(kind="stable")
    fresh = np.empty(len(together), dtype=np.bool_)
    fresh[:1] = True
    np.not_equal(together[1:], together[:-1], out=fresh[1:])
    return together[fresh]


def to_keys(words: Words) -> Keys:
    """Finish hashes: non-negative 63-bit integers, which every SQL database has a column for."""
    return (mix(words) >> np.uint64(1)).astype(np.int64)
