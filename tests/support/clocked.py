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


def _replace_clock(offset_file: str) -> None:
    with open(offset_file, "rb") as file:
        shared = mmap.mmap(file.fileno(), _DOUBLE.size, access=mmap.ACCESS_READ)
    real = time.time

    def clock() -> float:
        return real() + float(_DOUBLE.unpack_from(shared)[0])

    time.time = clock


if __name__ == "__main__":
    _replace_clock(sys.argv[1])
    del sys.argv[:2]
    sys.path[0] = str(Path(sys.argv[0]).resolve().parent)
    runpy.run_path(sys.argv[0], run_name="__main__")
