"""The libmilter core against pymilter 1.0.5: the same milter, the same load, in the same run.

    python tests/bench/core_bench.py [ratios] [workers] [memory] [--short]

"ratios" alternates the two cores and compares messages a second and processor seconds, "workers" compares two
workers with one where each message takes 2 ms of Python work, and "memory" watches one worker over 100,000 messages.
Ratios are what counts: absolute figures are the machine's.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from bench.core.load import Measured, measure, resident_bytes, send_messages  # noqa: E402 - needs the path above

PYMILTER = "pymilter==1.0.5"
TRIVIAL = ROOT / "tests" / "bench" / "core" / "trivial_milter.py"
KINDS = ("answered", "noreply")
ROUNDS = 5
TARGET_RATIO = 1.0
TARGET_TWO_WORKERS = 1.6
TARGET_GROWTH = 2 * 1024 * 1024
# So many that the kernel, which hands each connection to whichever worker is first, leaves no worker without one.
CONNECTIONS_FOR_WORKERS = 8
MEBIBYTE = 1024 * 1024

console = Console()


def pymilter_python() -> Path:
    """The interpreter of an environment that has pymilter, made under .cache/ when it is missing."""
    folder = ROOT / ".cache" / "pymilter"
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        console.print(f"Installing {PYMILTER} in {folder.relative_to(ROOT)} ...")
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", PYMILTER], check=True)
        (folder / "ready").touch()
    return python


@contextlib.contextmanager
def running_milter(python: Path, kind: str, workers: int = 1) -> Iterator[tuple[str, list[int]]]:
    """A trivial milter on a unix socket of its own; yields the socket's path and the workers' process ids."""
    ours = python == Path(sys.executable)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "lib") if ours else ""}
    with tempfile.TemporaryDirectory(prefix="core-bench-") as folder:
        address = f"{folder}/milter.sock"
        process = subprocess.Popen(
            [python, TRIVIAL, address, kind, str(workers)],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise SystemExit(f"the trivial milter did not start under {python}")
            yield address, [int(word) for word in line.split()]
        finally:
            # It has no state to save, and libmilter would take seconds to end on a polite signal.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def progress_bar() -> Progress:
    """One bar with what is being done, how much of it, and how long it will take."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console
    )


@contextlib.contextmanager
def one_processor(unpinned: bool) -> Iterator[None]:
    """Keep this process, and those it starts meanwhile, on one processor.

    A trivial milter spends four fifths of its time in the kernel, where threads wake one another across processors; on an
    idle machine that makes ratios of the same two programs differ by a quarter from run to run.
    """
    allowed = os.sched_getaffinity(0)
    if not unpinned:
        os.sched_setaffinity(0, {max(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def compare_cores(messages: int, connections: int, unpinned: bool) -> bool:
    """Print the ratios of our core to pymilter for each kind of milter; true if the target is met."""
    pythons = {"ours": Path(sys.executable), "pymilter": pymilter_python()}
    table = Table("milter", "ours msg/s", "pymilter msg/s", "ratio", "CPU s/1,000 ours", "pymilter", "ratio")
    good = True
    with progress_bar() as progress:
        task = progress.add_task("rounds", total=len(KINDS) * ROUNDS)
        for kind in KINDS:
            runs: dict[str, list[Measured]] = {"ours": [], "pymilter": []}
            for number in range(ROUNDS):
                # Who goes first alternates as well: the machine's load drifts within a round.
                for name in sorted(pythons, reverse=number % 2 == 1):
                    # Processes of their own each time: how the kernel places one's threads stays for its life.
                    with one_processor(unpinned), running_milter(pythons[name], kind) as (address, processes):
                        measure(address, processes, max(connections, messages // 10), connections)
                        runs[name].append(measure(address, processes, messages, connections))
                progress.advance(task)
            good &= _ratio_row(table, kind, runs) >= TARGET_RATIO
    console.print(table)
    console.print(f"medians of {ROUNDS} rounds, {messages} messages each, {connections} connection(s), one worker")
    if not unpinned:
        console.print("generator and milter share one processor; --unpinned lets the kernel place them")
    return good


def _ratio_row(table: Table, kind: str, runs: dict[str, list[Measured]]) -> float:
    pairs = list(zip(runs["ours"], runs["pymilter"], strict=True))
    rate_ratio = statistics.median(ours.rate / theirs.rate for ours, theirs in pairs)
    cpu_ratio = statistics.median(ours.cpu_per_thousand / theirs.cpu_per_thousand for ours, theirs in pairs)
    rate = {name: statistics.median(run.rate for run in these) for name, these in runs.items()}
    cpu = {name: statistics.median(run.cpu_per_thousand for run in these) for name, these in runs.items()}
    table.add_row(
        kind,
        f"{rate['ours']:,.0f}",
        f"{rate['pymilter']:,.0f}",
        f"[bold]{rate_ratio:.2f}[/]",
        f"{cpu['ours']:.3f}",
        f"{cpu['pymilter']:.3f}",
        f"[bold]{cpu_ratio:.2f}[/]",
    )
    return rate_ratio


def compare_workers(messages: int) -> bool:
    """Print how much faster two workers are than one with 2 ms of work a message; true if the target is met."""
    ratios: list[float] = []
    rates: dict[int, list[float]] = {1: [], 2: []}
    with progress_bar() as progress, contextlib.ExitStack() as stack:
        task = progress.add_task("rounds", total=ROUNDS)
        python = Path(sys.executable)
        places = {count: stack.enter_context(running_milter(python, "work", count)) for count in (1, 2)}
        for _ in range(ROUNDS):
            for count, (address, processes) in places.items():
                rates[count].append(measure(address, processes, messages, CONNECTIONS_FOR_WORKERS).rate)
            ratios.append(rates[2][-1] / rates[1][-1])
            progress.advance(task)
    ratio = statistics.median(ratios)
    table = Table("2 ms of work a message", "one worker msg/s", "two workers msg/s", "ratio")
    table.add_row("", *(f"{statistics.median(rates[count]):,.0f}" for count in (1, 2)), f"[bold]{ratio:.2f}[/]")
    console.print(table)
    return ratio >= TARGET_TWO_WORKERS


def watch_memory(messages: int) -> bool:
    """Print how much a worker's memory grows after the first tenth of the messages; true if below the target."""
    with running_milter(Path(sys.executable), "noreply") as (address, processes), progress_bar() as progress:
        task = progress.add_task("messages", total=messages)
        send_messages(address, messages // 10, lambda count: progress.advance(task, count))
        before = resident_bytes(processes[0])
        send_messages(address, messages - messages // 10, lambda count: progress.advance(task, count))
        after = resident_bytes(processes[0])
    table = Table("memory of a worker", f"after {messages // 10:,}", f"after {messages:,}", "growth")
    table.add_row(
        "MiB", f"{before / MEBIBYTE:.2f}", f"{after / MEBIBYTE:.2f}", f"[bold]{(after - before) / MEBIBYTE:.2f}[/]"
    )
    console.print(table)
    return after - before < TARGET_GROWTH


def main(arguments: list[str] | None = None) -> int:
    """Run the named parts (all by default); returns 0 if every target was met, else 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="*", choices=["ratios", "workers", "memory", []], help="what to measure")
    parser.add_argument("--short", action="store_true", help="a tenth of the messages: for a look, not for a figure")
    parser.add_argument("--unpinned", action="store_true", help="let the kernel choose processors for the ratios")
    parser.add_argument("--connections", type=int, default=1, help="at once, for the ratios")
    options = parser.parse_args(arguments)
    parts = options.part or ["ratios", "workers", "memory"]
    scale = 10 if options.short else 1
    results: dict[str, bool] = {}
    if "ratios" in parts:
        results[f"at least {TARGET_RATIO} times pymilter"] = compare_cores(
            5_000 // scale, options.connections, options.unpinned
        )
    if "workers" in parts:
        results[f"two workers at least {TARGET_TWO_WORKERS} times one"] = compare_workers(2_000 // scale)
    if "memory" in parts:
        results["growth below 2 MiB"] = watch_memory(100_000 // scale)
    for target, met in results.items():
        console.print(f"{'[green]met[/]    ' if met else '[red]missed[/] '} {target}")
    return 0 if all(results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
