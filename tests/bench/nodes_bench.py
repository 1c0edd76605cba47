"""Messages a second with PostgreSQL beside SQLite, and of two nodes that share it beside one, in the same run.

    python tests/bench/nodes_bench.py [--short]

A node is bms.py with one worker and a dictionary that some hundred messages taught; each gets the same real messages over four
connections of its own. Two nodes, the database and what sends the mail want four cores; with fewer they share them, and the
second figure tells of the cores, not of the second node. Look at the processor time then: what a message costs a node and
the server grows where nodes wait for one another. The exit status says whether both goals were reached.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import os
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from bench.core.load import Sample, cpu_seconds, measure  # noqa: E402 - needs the path above
from bench.day_one_bench import COMMON, Taught, running, teach  # noqa: E402
from bench.small_bench import nameserver, samples  # noqa: E402
from support.databases import PostgreSQL  # noqa: E402
from support.learning import Learned  # noqa: E402
from support.places import missing_servers  # noqa: E402
from support.processes import children_of  # noqa: E402

CONNECTIONS = 4
ROUNDS = 5
CONFIG = COMMON + "[dnsbl]\nmode = off\n"
GOALS = {"PostgreSQL, one node": ("SQLite, one node", 0.9), "PostgreSQL, two nodes": ("PostgreSQL, one node", 1.7)}
console = Console()
Node = tuple[str, list[int]]  # its socket, and the processes that count


class Run(NamedTuple):
    """Messages a second, and milliseconds of the processor a message: of the nodes, and of the database's server."""

    rate: float
    node: float
    server: float


@contextlib.contextmanager
def places() -> Iterator[tuple[dict[str, list[Node]], PostgreSQL]]:
    """What is compared: some nodes each."""
    with contextlib.ExitStack() as stack:
        config = CONFIG.replace("{port}", str(stack.enter_context(nameserver())))
        server = stack.enter_context(PostgreSQL())
        url = server.new_store()
        teach(url)
        alone = stack.enter_context(running(config, Taught()))
        both = [stack.enter_context(running(f"{config}[store]\nurl = {url}\n", Learned())) for _ in range(2)]
        found = {"SQLite, one node": [alone], "PostgreSQL, one node": both[:1], "PostgreSQL, two nodes": both}
        yield found, server


def run(nodes: Sequence[Node], server: PostgreSQL, messages: int, mail: Sequence[Sample]) -> Run:
    """Each node gets so many messages."""
    processes = [server.pid, *children_of(server.pid)]
    before = cpu_seconds(processes)
    with concurrent.futures.ThreadPoolExecutor(len(nodes)) as pool:
        done = list(pool.map(lambda node: measure(*node, messages, CONNECTIONS, mail, False), nodes))
    spent = cpu_seconds(processes) - before
    rate, node = sum(one.rate for one in done), statistics.mean(one.cpu_per_thousand for one in done)
    return Run(rate, node, 1000 * spent / messages / len(nodes))


def main(arguments: list[str] | None = None) -> int:
    """Print a table; 1 where a goal was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="fewer messages: for a look, not for a figure")
    options, _ = parser.parse_known_args(arguments)
    if reason := missing_servers():
        console.print(f"nodes: {reason}")
        return 0
    messages, mail = 300 if options.short else 1_500, samples()
    runs: dict[str, list[Run]] = defaultdict(list)
    with places() as (found, server):
        for nodes in found.values():
            run(nodes, server, len(mail), mail)
        for _ in range(ROUNDS):
            for name, nodes in found.items():
                runs[name].append(run(nodes, server, messages, mail))
    return _shown(runs)


def _shown(runs: dict[str, list[Run]]) -> int:
    table = Table("", "messages/s", "node: CPU ms", "server: CPU ms", "times", "goal")
    missed = False
    for name, own in runs.items():
        middle = Run(*map(statistics.median, zip(*own, strict=True)))
        cells = [f"{middle.rate:.0f}", f"{middle.node:.2f}", f"{middle.server:.2f}"]
        if name in GOALS:
            beside, goal = GOALS[name]
            ratio = statistics.median(one.rate / other.rate for one, other in zip(own, runs[beside], strict=True))
            missed = missed or ratio < goal
            cells += [f"{ratio:.2f}", f"[{'red' if ratio < goal else 'green'}]>= {goal}[/]"]
        table.add_row(name, *cells)
    console.print(table)
    console.print(f"medians of {ROUNDS} rounds, {CONNECTIONS} connections a node, {os.cpu_count()} cores")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
