"""`bms learn` beside a Python that does nothing: how long a hook of a mail server waits for a lesson.

    python tests/bench/learn_bench.py [--short]

Both are started afresh for each message, in turns; the filter has its store on the disk and commits before it answers.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from support.filter_process import FilterProcess  # noqa: E402 - needs the path above
from support.network import Network  # noqa: E402
from support.processes import wait_until  # noqa: E402

ROUNDS = 50
CONFIG = "[learn]\nsocket = {dir}/learn.sock\n[dspam]\nreport_rate = 100000\ndspam_users = ann\nann = ann@example.com\n"
NOTHING = [sys.executable, "-c", "pass"]


def message(number: int) -> bytes:
    """Mail that nobody has taught yet."""
    text = f"some words of mail number {number}, which nobody has read before\r\n" * 20
    return f"From: a{number}@example.org\r\nSubject: hello {number}\r\n\r\n{text}".encode()


def seconds(command: Sequence[str | Path], given: bytes) -> float:
    """How long the command takes from its start to its end."""
    began = time.perf_counter()
    subprocess.run(command, input=given, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def main(arguments: list[str] | None = None) -> int:
    """Print the table; the machine decides about the figures, so the status is always 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a tenth of the messages: for a look, not for a figure")
    options, _ = parser.parse_known_args(arguments)
    rounds = ROUNDS // 10 if options.short else ROUNDS
    taken: dict[str, list[float]] = {"python -c pass": [], "bms learn": []}
    tempfile.tempdir = str(ROOT / ".cache")  # on the disk, whose commits belong to it
    with FilterProcess(Network(), CONFIG, clocked=False) as program:
        wait_until((program.directory / "learn.sock").exists, "the filter listens for lessons")
        learn = [sys.executable, ROOT / "bms.py", "-c", program.config, "learn", "--spam", "--user", "ann"]
        for number in range(-2, rounds):  # the first ones fill caches
            found = seconds(NOTHING, b""), seconds(learn, message(number))
            for times, one in zip(taken.values(), found, strict=True):
                times += [one] if number >= 0 else []
    table = Table("", "median ms", "fastest ms")
    for name, times in taken.items():
        table.add_row(name, f"{statistics.median(times) * 1e3:.1f}", f"{min(times) * 1e3:.1f}")
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
