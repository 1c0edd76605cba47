"""Fuzz one parser of hostile input, or each in turn: python -m tests.fuzz [PARSER ...] [--minutes M].

What was found is kept under .cache/fuzz/PARSER/: `corpus` (what reaches new code; the next run begins with it) and `crash-...`
(what raised, or took too long). Ctrl-C ends the run and loses nothing. Exit status 1 where something was found.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent)]
SEEDS = TESTS / "fuzz" / "seeds"
KEPT = TESTS.parent / ".cache" / "fuzz"
LONGEST = 10  # seconds that one input may take
MEMORY = 2048  # MB
_SHOWN = 40  # lines of a fault

_OUTCOMES = {
    0: "nothing found",
    72: "interrupted, nothing found",  # libFuzzer's own status after INT or TERM
    -signal.SIGINT: "interrupted, nothing found",
    -signal.SIGTERM: "interrupted, nothing found",
}


def names() -> list[str]:
    """The parsers, by their seeds: to import them all takes seconds."""
    return sorted(folder.name for folder in SEEDS.iterdir())


def fuzz(parser: str, minutes: float) -> bool:
    """Whether nothing was found. In a process of its own: a crash must not end the run of the others."""
    kept = KEPT / parser
    (kept / "corpus").mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable, "-m", "fuzz.one", parser, f"-max_total_time={round(minutes * 60)}", f"-timeout={LONGEST}",
        f"-rss_limit_mb={MEMORY}", "-print_final_stats=1", f"-artifact_prefix={kept}/", str(kept / "corpus"),
        str(SEEDS / parser),
    ]  # fmt: skip
    path = os.pathsep.join((str(TESTS), str(TESTS.parent), str(TESTS.parent / "lib")))
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path})
    assert process.stderr is not None
    try:
        said = list(_watched(parser, minutes, process.stderr))
    finally:
        process.terminate()
        process.wait()
    ran = next((line.split()[-1] for line in said if "number_of_executed_units" in line), "no")
    outcome = _OUTCOMES.get(process.returncode, "something found")
    print(f"{parser}: {ran} inputs, {outcome}", flush=True)
    if process.returncode not in _OUTCOMES:
        print("".join(said[-_SHOWN:]), f"The input is kept in {kept}", sep="", flush=True)
    return process.returncode == 0


def _watched(parser: str, minutes: float, lines: Iterator[str]) -> Iterator[str]:
    """The lines, with the last one of libFuzzer's progress shown on a terminal."""
    for line in lines:
        if line.startswith("#") and sys.stderr.isatty():
            print(f"\r{parser}, {minutes:g} min: {line.strip()[:90]:90}", end="\r", file=sys.stderr, flush=True)
        yield line


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parsers", nargs="*", metavar="PARSER", help="all if none is named: " + ", ".join(names()))
    parser.add_argument("--minutes", type=float, default=10.0, help="for each (default: 10)")
    arguments = parser.parse_args()
    if unknown := set(arguments.parsers) - set(names()):
        parser.error(f"there is no parser {', '.join(sorted(unknown))}; there are {', '.join(names())}")
    try:
        found_nothing = [fuzz(one, arguments.minutes) for one in arguments.parsers or names()]
    except KeyboardInterrupt:
        return 130
    return 0 if all(found_nothing) else 1


if __name__ == "__main__":
    sys.exit(main())
