"""References that identify a connection or a message in logs and replies."""

from __future__ import annotations

import os
import struct

_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS = [one + other for one in _BASE32 for other in _BASE32]
_AT_ONCE = 256

# Random numbers for the next ones. Asking the system for each would let go of the interpreter's lock each time.
_numbers: list[int] = []
os.register_at_fork(after_in_child=_numbers.clear)


def new_reference() -> str:
    """Twelve characters that can be read out on the telephone (base32 has neither 0 nor 1): 60 random bits, unique across
    workers and nodes, and nobody can guess it."""
    try:
        number = _numbers.pop()
    except IndexError:  # another thread may do the same: then there are more
        first, *others = struct.unpack(f"{_AT_ONCE}Q", os.urandom(8 * _AT_ONCE))
        _numbers.extend(others)
        number = first
    return "".join([_PAIRS[number >> shift & 1023] for shift in (0, 10, 20, 30, 40, 50)])
