from __future__ import annotations

import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

from antispam.service import allocation

# Sixteen threads that are all alive allocate and free; then glibc tells in XML how many heaps there are, and what they keep.
_MANY_THREADS = """
import ctypes, os, sys, threading
from antispam.service import allocation

if sys.argv[1] == "kept":
    allocation.keep_little()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes, libc.fdopen.restype = ctypes.c_void_p, [ctypes.c_void_p], ctypes.c_void_p
together = threading.Barrier(16)

def use():
    together.wait()
    place = libc.malloc(1000)
    together.wait()
    libc.free(place)

threads = [threading.Thread(target=use) for _ in range(16)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
stream = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, stream)
libc.fflush(stream)
"""


def heaps(how: str) -> int:
    lib = str(Path(allocation.__file__).parents[2])
    command = [sys.executable, "-c", _MANY_THREADS, how]
    done = subprocess.run(command, env={"PYTHONPATH": lib}, capture_output=True, text=True, check=True)
    return len(re.findall(r"<heap nr=", done.stdout))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no mallopt()")
def test_threads_share_a_few_heaps():
    assert heaps("default") > allocation.ARENAS, "this test shows nothing"
    assert heaps("kept") <= allocation.ARENAS


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(allocation.ctypes, "CDLL", lambda name: object())
    allocation.keep_little()
