"""The whole filter through the milter protocol, beside rspamd with Bayes in redis, opendkim and spf-engine, in the same run.

    python -m tests.bench.filter_bench [--short] [--connections 1 4 16] [--workers 1 2]

300 messages of the SpamAssassin corpus, from clients of a hundred domains with SPF and DMARC, three of ten signed, each over
a connection of its own. Learners were taught 200 messages of each kind before. All programs are started at the beginning and
take turns, so that a busy machine hits all alike; figures are medians over the rounds, ratios are taken within a round.
Processor time and memory are those of all processes of a program: supervisor, workers, controller, redis. The exit status
says whether all goals were met.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from tests.bench.untrained.collections import UnavailableError  # noqa: E402 - needs the path above

from bench.core.load import Measured, Sample, measure  # noqa: E402
from bench.core_bench import progress_bar  # noqa: E402
from bench.small_bench import served_names  # noqa: E402
from bench.whole import mail, ours, rspamd  # noqa: E402
from support import peers  # noqa: E402
from support.processes import family  # noqa: E402

PEER = "rspamd"
SHIPPED = "as shipped"
CONTACT = "first contact"
# Issue 17's goals.
RATE = 2.0  # times the peer's messages a second
CPU = 0.35  # of the peer's processor time
CONTACT_CPU = 0.135  # a first contact, of the peer's time for a message: 2 of 14.8 ms
END = 0.5  # of the peer's wait at the end of message, median
GROWTH = 1.15  # processor time with the most connections, to that with one
RSS, PSS = 160, 90  # MiB, with one worker
WARMING = 2  # rounds before the first that counts, for each of several workers: each learns names and words for itself
SHARE = 3  # a short run sends a third of the messages in each of three rounds

Running = contextlib.AbstractContextManager[tuple[str, list[int]]]
console = Console()
if not console.is_terminal:
    console.width = 150  # in a file, columns need not be cut


@dataclasses.dataclass(frozen=True, slots=True)
class Entrant:
    """A program that is being measured: its socket, and all of its processes."""

    address: str
    processes: list[int]


@dataclasses.dataclass(frozen=True, slots=True)
class Memory:
    """What the processes of a program hold, in MiB; RSS counts what they share in each of them, PSS once."""

    rss: float
    pss: float

    @classmethod
    def of(cls, processes: Sequence[int]) -> Memory:
        """As /proc/PID/smaps_rollup (Linux) has it."""
        sums = {"Rss": 0, "Pss": 0}
        for process in processes:
            for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]:
                name, _, value = line.partition(":")
                if name in sums:
                    sums[name] += int(value.split()[0])
        return cls(sums["Rss"] / 1024, sums["Pss"] / 1024)


@dataclasses.dataclass(slots=True)
class Results:
    """What was measured with one number of workers: runs by name and number of connections, and memory at the end."""

    runs: dict[str, dict[int, list[Measured]]]
    memory: dict[str, Memory]

    def ratio(self, name: str, connections: int, of: Callable[[Measured], float]) -> float | None:
        """Of a figure to the peer's, the median over the rounds; None without the peer."""
        if PEER not in self.runs:
            return None
        pairs = zip(self.runs[name][connections], self.runs[PEER][connections], strict=True)
        return statistics.median(of(own) / of(their) for own, their in pairs)

    def median(self, name: str, connections: int, of: Callable[[Measured], float]) -> float:
        return statistics.median(map(of, self.runs[name][connections]))


def cpu_of(one: Measured) -> float:
    return one.cpu_per_thousand  # seconds for a thousand are milliseconds for one


def rate_of(one: Measured) -> float:
    return one.rate


def wait_of(one: Measured) -> float:
    return one.end_at(0.5)


def starters(port: int, workers: int, work: mail.Mail) -> Mapping[str, Callable[[], Running]]:
    """How each program is started, by its name in the table. Peers that do one check run with one worker only."""
    taught = ours.Taught(lessons=work.lessons)
    found: dict[str, Callable[[], Running]] = {
        PEER: lambda: rspamd.running(port, workers, work.lessons),
        "same work": lambda: ours.running(ours.SAME_WORK, port, workers, taught),
        SHIPPED: lambda: ours.running(ours.AS_SHIPPED, port, workers, taught),
    }
    if workers == 1:
        found[CONTACT] = lambda: ours.running(ours.FIRST_CONTACT, port, workers, taught)
        found["opendkim"] = lambda: peers.running(peers.opendkim("Mode v\n"), port)
        found["spf-engine"] = lambda: peers.running(peers.spf_engine(), port)
    return found


def start(stack: contextlib.ExitStack, names: Mapping[str, Callable[[], Running]]) -> dict[str, Entrant]:
    """Start all that can be had here; a line for each that can't."""
    entrants = {}
    for name, starter in names.items():
        try:
            address, leaders = stack.enter_context(starter())
        except (UnavailableError, peers.UnavailableError) as error:
            console.print(f"{name} is not measured: {error}")
            continue
        entrants[name] = Entrant(address, sorted(set[int]().union(*map(family, leaders))))
        let_accept(entrants[name].processes)
    return entrants


def let_accept(processes: Iterable[int]) -> None:
    """Put the threads that accept connections before the load, if this runs at real-time priority (chrt). Linux does so
    unasked at ordinary priority, for threads that sleep most of the time. At equal real-time priority such a thread waits until
    its processor is free, and one of two workers is given nearly all connections."""
    if os.sched_getscheduler(0) in (os.SCHED_FIFO, os.SCHED_RR):
        above = os.sched_param(os.sched_getparam(0).sched_priority + 1)
        for process in processes:
            os.sched_setscheduler(process, os.sched_getscheduler(0), above)


def compare(
    entrants: Mapping[str, Entrant], work: mail.Mail, options: argparse.Namespace, progress: Progress, workers: int
) -> Results:
    """Warm all up, then measure them in turn, round by round."""
    what = f"{workers} worker(s)"
    rounds, step = (SHARE, SHARE) if options.short else (5, 1)
    warming = 1 if workers == 1 else WARMING * workers
    task = progress.add_task(what, total=len(entrants) * (warming + rounds * len(options.connections)))
    runs: dict[str, dict[int, list[Measured]]] = {name: {c: [] for c in options.connections} for name in entrants}

    def run(name: str, samples: Sequence[Sample], connections: int) -> Measured:
        progress.update(task, description=f"{what}: {name}, {connections} connection(s)", advance=1)
        entrant = entrants[name]
        return measure(entrant.address, entrant.processes, len(samples), connections, samples, False, 1)

    for turn in range(warming):
        for name in entrants:  # all of them: caches of names and words are full afterwards
            run(name, mail.again(work.samples, turn), max(options.connections))
    turn = warming
    for number in range(rounds):
        for connections in options.connections:
            turn += 1
            # Other senders each time: nothing is a retry of a message before. Some huge messages are in each third.
            samples = mail.again(work.samples, turn)[number % step :: step]
            for name in sorted(entrants, reverse=number % 2 == 1):
                runs[name][connections].append(run(name, samples, connections))
    progress.update(task, description=what)
    return Results(runs, {name: Memory.of(entrant.processes) for name, entrant in entrants.items()})


def show(results: Results, workers: int) -> None:
    """The table of what was measured with so many workers."""
    table = Table(
        "program", "connections", "msg/s", "times rspamd", "CPU ms", "of rspamd's", "EOM p50 ms", "p99", "RSS MiB", "PSS",
        title=f"{workers} worker{'s' * (workers > 1)}",
    )  # fmt: skip
    for name, by_connections in results.runs.items():
        for connections in by_connections:
            memory = results.memory[name]
            first = connections == min(by_connections)
            table.add_row(
                name if first else "",
                str(connections),
                f"{results.median(name, connections, rate_of):,.0f}",
                _shown(results.ratio(name, connections, rate_of)),
                f"{results.median(name, connections, cpu_of):.2f}",
                _shown(results.ratio(name, connections, cpu_of)),
                f"{1000 * results.median(name, connections, wait_of):.1f}",
                f"{1000 * results.median(name, connections, lambda one: one.end_at(0.99)):.1f}",
                f"{memory.rss:.0f}" if first else "",
                f"{memory.pss:.0f}" if first else "",
            )
    console.print(table)


def _shown(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"


@dataclasses.dataclass(frozen=True, slots=True)
class Goal:
    """What was to be reached, and what was."""

    text: str
    figure: float
    wanted: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        return self.figure >= self.wanted if self.at_least else self.figure <= self.wanted

    def __str__(self) -> str:
        verdict = "[green]met[/]   " if self.met else "[red]missed[/]"
        return f"{verdict} {self.text}: {self.figure:.2f} (goal {'>=' if self.at_least else '<='} {self.wanted:g})"


def goals(results: Results, workers: int) -> Iterator[Goal]:
    """Those that can be judged: without rspamd, memory and growth only."""
    several = f"{workers} worker{'s' * (workers > 1)}"
    connections = list(results.runs[SHIPPED])
    for count in connections:
        where = f"as shipped, {several}, {count} connection(s)"
        for text, of, wanted in (("messages/s", rate_of, RATE), ("CPU", cpu_of, CPU), ("EOM p50", wait_of, END)):
            if (figure := results.ratio(SHIPPED, count, of)) is not None:
                yield Goal(f"{where}: {text} to rspamd's", figure, wanted, of is rate_of)
        if CONTACT in results.runs and (figure := results.ratio(CONTACT, count, cpu_of)) is not None:
            yield Goal(f"greylisted first contact, {count} connection(s): CPU to rspamd's", figure, CONTACT_CPU)
    few, many = min(connections), max(connections)
    grown = [
        more.cpu_per_thousand / less.cpu_per_thousand
        for more, less in zip(results.runs[SHIPPED][many], results.runs[SHIPPED][few], strict=True)
    ]
    yield Goal(f"as shipped, {several}: CPU with {many} connections to {few}", statistics.median(grown), GROWTH)
    if workers == 1:
        yield Goal("as shipped, one worker: RSS, MiB", results.memory[SHIPPED].rss, RSS)
        yield Goal("as shipped, one worker: PSS, MiB", results.memory[SHIPPED].pss, PSS)


def main(arguments: list[str] | None = None) -> int:
    """Print the tables and the goals; 1 where one was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--short", action="store_true", help="three rounds of 100 messages: for a look, not for a figure"
    )
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    options, _ = parser.parse_known_args(arguments)
    work = mail.read()
    judged: list[Goal] = []
    with served_names(mail.zones()) as port, progress_bar() as progress:
        for workers in options.workers:
            with contextlib.ExitStack() as stack:
                entrants = start(stack, starters(port, workers, work))
                results = compare(entrants, work, options, progress, workers)
            show(results, workers)
            judged += goals(results, workers)
    for goal in judged:
        console.print(str(goal))
    console.print("medians of the rounds; ratios of the same round; CPU and memory of all processes of a program")
    return 0 if all(goal.met for goal in judged) else 1


if __name__ == "__main__":
    sys.exit(main())
