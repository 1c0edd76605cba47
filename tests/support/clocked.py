"""Runs a program under a clock that a test can put forward: clocked.py OFFSET_FILE PROGRAM ARGUMENTS...

The program needs to know nothing of it, and carries no hook for tests: `time.time` is replaced before its first line
runs. OFFSET_FILE holds eight octets, a double: the seconds to add. All processes that the program forks share it.
"""

from __future__ import annotations

import mmap
import runpy
import struct
import sys
import time
from pathlib import Path

_DOUBLE = struct.Struct("=d")


class Offset:
    """The test's end: a file with the seconds by which the program's clock is ahead."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seconds = 0.0
        path.write_bytes(_DOUBLE.pack(0.0))

    def advance(self, seconds: float) -> None:
        self.seconds += seconds
        with self.path.open("r+b") as file:
            file.write(_DOUBLE.pack(self.seconds))


_real = time.time
_ahead = memoryview(_DOUBLE.pack(0.0))


def _clock() -> float:
    return _real() + float(_DOUBLE.unpack_from(_ahead)[0])


def replace_clock() -> None:
    """From now on `time.time` of this process, and of those that it forks, can be ahead of the real one."""
    time.time = _clock


def follow(offset_file: str) -> None:
    """It is ahead by what the file says at any moment."""
    global _ahead
    with open(offset_file, "rb") as file:
        _ahead = memoryview(mmap.mmap(file.fileno(), _DOUBLE.size, access=mmap.ACCESS_READ))


if __name__ == "__main__":
    replace_clock()
    follow(sys.argv[1])
    del sys.argv[:2]
    sys.path[0] = str(Path(sys.argv[0]).resolve().parent)
    runpy.run_path(sys.argv[0], run_name="__main__")
