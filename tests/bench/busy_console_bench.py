"""Whether mail notices a busy console: one page after the other is asked for while mail comes.

python tests/bench/busy_console_bench.py [--rows N] [--short]: bms.py with one worker and the console, on one SQLite file with
so many messages in history and quarantine. Mail comes while nobody uses the console, while a process only computes (which takes
as much of the machine), and while one client reads pages without a pause. What the last costs beyond the second is what mail
waits for: the database's lock and disk. The exit status says whether the medians differ by less than MOST.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import itertools
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from antispam.store import Store, accounts, sessions
from antispam.store.accounts import Account, Role
from antispam.store.sessions import How
from antispam.web.answers import COOKIE
from bench.core.load import Measured, measure, served
from bench.core_bench import ROUNDS, progress_bar
from bench.day_one_bench import COMMON
from bench.small_bench import nameserver, samples
from bench.web_bench import fill
from support.filter_process import FilterProcess
from support.learning import Learned
from support.network import Network
from support.ports import free_port

MOST = 1.15  # times the median wait at the end of message beside a process that only computes
CONFIG = COMMON + "[web]\nlisten = 127.0.0.1:{web}\n"
PAGES = ("/", "/?q=offer+77", "/mail", "/mail?q=offer+77", "/overview", "/stream", "/explain?to=bob@example.com")


def _computes(pages: Any) -> None:
    while True:
        sum(range(10_000))


def _reads(port: int, cookie: str, pages: Any) -> None:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for page in itertools.cycle(PAGES):
        client.request("GET", page, headers={"Cookie": f"{COOKIE}={cookie}"})
        answer = client.getresponse()
        answer.read()
        if answer.status != 200:
            sys.exit(f"{page}: {answer.status}")
        with pages.get_lock():
            pages.value += 1


@contextlib.contextmanager
def beside(work: Callable[[Any], None] | None) -> Iterator[Any]:
    """A process that does this meanwhile; how many pages it has read."""
    context = multiprocessing.get_context("fork")
    pages = context.Value("i", 0)
    process = context.Process(target=work or time.sleep, args=(pages,) if work else (1e6,), daemon=True)
    process.start()
    try:
        yield pages
    finally:
        process.kill()
        process.join()


def _login(url: str, rows: int) -> str:
    """Fill the database; the secret of an administrator's login."""
    with contextlib.closing(Store(url)) as store:
        fill(store, rows, time.time())  # in the past, housekeeping would delete it meanwhile
        accounts.add(store, Account("ann", Role.ADMINISTRATOR, "", ()), time.time())
        return sessions.begin(store, "ann", How.PASSWORD, time.time(), 86_400.0)


def main(argv: list[str] | None = None) -> int:
    """Print the table; 1 where the figure was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--short", action="store_true", help="fewer messages: for a look, not for a figure")
    given, _ = parser.parse_known_args(argv)
    messages, mail, web = 300 if given.short else 1_500, samples(), free_port()
    with nameserver() as port, progress_bar() as progress:
        config = CONFIG.replace("{port}", str(port)).replace("{web}", str(web))
        with FilterProcess(Network(), config, clocked=False, learned=Learned()) as program:
            cookie = _login(program.database, given.rows)
            address, processes = served(program)
            measure(address, processes, len(mail), 1, mail, False)
            works: dict[str, Callable[[Any], None] | None] = {
                "nobody": None,
                "a process that computes": _computes,
                "a reader of pages": lambda pages: _reads(web, cookie, pages),
            }
            runs: dict[str, list[tuple[Measured, int]]] = {name: [] for name in works}
            task = progress.add_task("rounds", total=ROUNDS)
            for _ in range(ROUNDS):
                for name, work in works.items():
                    with beside(work) as pages:
                        measured = measure(address, processes, messages, 1, mail, False)
                        runs[name].append((measured, pages.value))
                progress.advance(task)
    return _told(runs)


def _told(runs: dict[str, list[tuple[Measured, int]]]) -> int:
    table = Table("beside", "messages/s", "end of message p50 ms", "p99 ms", "pages")
    for name, of_one in runs.items():
        rate = statistics.median(one.rate for one, _ in of_one)
        half, late = (statistics.median(1000 * one.end_at(share) for one, _ in of_one) for share in (0.5, 0.99))
        table.add_row(name, f"{rate:.0f}", f"{half:.1f}", f"{late:.1f}", str(sum(pages for _, pages in of_one)))
    _, computing, reading = runs.values()
    ratio = statistics.median(
        read.end_at(0.5) / computed.end_at(0.5) for (read, _), (computed, _) in zip(reading, computing, strict=True)
    )
    console = Console()
    console.print(table)
    console.print(f"p50 beside the reader {ratio:.2f} times that beside the process that computes: "
                  f"{'met' if ratio < MOST else 'MISSED'} (< {MOST})")  # fmt: skip
    return int(ratio >= MOST)


if __name__ == "__main__":
    sys.exit(main())
