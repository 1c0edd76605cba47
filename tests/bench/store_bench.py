"""What the statements cost that mail waits for, beside the driver alone, on each database that is installed.

    python tests/bench/store_bench.py [--short]

The driver alone finds a row by its key, and adds one in a transaction. Processor time is that of the calling thread; the wall's
also has the server's. The exit status says whether all rows reached their goal: how many times the driver's time.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from antispam.store import Store, attempts, greylist, lists, rates, windows  # noqa: E402
from antispam.store.greylist import Limits, Triplet  # noqa: E402
from support.databases import MariaDB, PostgreSQL  # noqa: E402 - needs the path above
from support.places import missing_servers  # noqa: E402
from support.stores import make_store  # noqa: E402

ROUNDS = 5
NOW = 1_700_000_000.0
LIMITS = Limits(300.0, 86400.0, 36 * 86400.0, returns=5)
NETWORK = "192.0.2.0/24"
console = Console()


class Operation(NamedTuple):
    """What the mail path does; `writes` says beside what it is held, and `most` how many times that it may take: with SQLite,
    and with a server, where the driver itself takes ten times as long."""

    name: str
    call: Callable[[int], object]
    writes: bool
    most: tuple[float, float]


class Spent(NamedTuple):
    """Microseconds a call."""

    processor: float
    wall: float


def triplet(number: int) -> Triplet:
    return Triplet(NETWORK, "ann@example.org", f"user{number}@example.com")


def operations(store: Store) -> list[Operation]:
    """Each may be called with any number, in any order, as often as one likes."""
    passed, listed = triplet(-1), [(lists.Kind.WHITELIST, "ann@example.org"), (lists.Kind.BLACKLIST, "ann@example.org")]
    greylist.attempt(store, passed, NOW, LIMITS)
    greylist.attempt(store, passed, NOW + 300, LIMITS)
    greylist.vouch(store, "198.51.100.0/24", NOW, LIMITS)
    for kind in (lists.Kind.WHITELIST, lists.Kind.BLACKLIST):
        lists.add(store, kind, "ann@example.net", reason="", by="bench", now=NOW)
    serial = iter(range(10**9))
    early = triplet(-2)
    return [
        Operation(
            "greylist: first contact",
            lambda _: greylist.attempt(store, triplet(next(serial)), NOW, LIMITS, network=NETWORK),
            True,
            (10, 4),
        ),
        Operation(
            "greylist: back too early",
            lambda _: greylist.attempt(store, early, NOW + next(serial) / 1e6, LIMITS, network=NETWORK),
            True,
            (10, 6),
        ),
        Operation(
            "greylist: passed lately",
            lambda number: greylist.attempt(store, passed, NOW + 300 + number, LIMITS, network=NETWORK),
            False,
            (25, 9),
        ),
        Operation(
            "greylist: known network",
            lambda number: greylist.attempt(store, triplet(number), NOW, LIMITS, network="198.51.100.0/24"),
            False,
            (25, 9),
        ),
        Operation("lists: a sender who is on none", lambda _: lists.find(store, listed, NOW), False, (50, 10)),
        Operation("rates: a message counted", lambda _: rates.use(store, "bench", 1, NOW, 3600.0), True, (5, 5)),
        Operation(
            "windows: a login counted", lambda _: windows.use(store, {"login ann": 1}, NOW, 3600.0), True, (20, 7)
        ),
        Operation("attempts: done before", lambda number: attempts.done(store, "x", str(number)), False, (15, 5)),
    ]


def driver_alone(store: Store) -> tuple[Callable[[int], object], Callable[[int], object]]:
    """Finding a row, and adding one, with a connection that somebody holds."""
    raw = store._engine.raw_connection()
    cursor = raw.cursor()
    mark = "?" if store.dialect == "sqlite" else "%s"
    serial = iter(range(10**9))
    find = f"SELECT began_at, used FROM rate WHERE name = {mark}"
    add = f"INSERT INTO rate (name, began_at, used) VALUES ({mark}, {mark}, {mark})"

    def read(_number: int) -> object:
        cursor.execute(find, ("driver",))
        return cursor.fetchall()

    def write(_number: int) -> object:
        cursor.execute("BEGIN IMMEDIATE" if store.dialect == "sqlite" else "BEGIN")
        cursor.execute(add, (f"driver{next(serial)}", NOW, 1))
        return cursor.execute("COMMIT")

    if store.dialect == "sqlite":
        cursor.execute("PRAGMA synchronous=NORMAL")  # as what is not durable
    return read, write


def spent(call: Callable[[int], object], calls: int) -> Spent:
    """The median of some rounds."""
    call(0)
    rounds = []
    for _ in range(ROUNDS):
        processor, wall = time.thread_time(), time.perf_counter()
        for number in range(calls):
            call(number)
        rounds.append((time.thread_time() - processor, time.perf_counter() - wall))
    return Spent(*(1e6 * statistics.median(one) / calls for one in zip(*rounds, strict=True)))


@contextlib.contextmanager
def databases() -> Iterator[list[Store]]:
    """A store of each kind that is installed here."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bms-bench-"))
        urls = [make_store(Path(folder, "bms.sqlite"))]
        if reason := missing_servers():
            console.print(f"without servers: {reason}")
        else:
            urls += [stack.enter_context(server()).new_store() for server in (PostgreSQL, MariaDB)]
        yield [stack.enter_context(contextlib.closing(Store(url))) for url in urls]


def main(arguments: list[str] | None = None) -> int:
    """Print a table; 1 where a row missed its goal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a tenth of the calls: for a look, not for a figure")
    options, _ = parser.parse_known_args(arguments)
    calls = 50 if options.short else 500
    missed = False
    table = Table("database", "", "CPU us", "wall us", "driver alone: CPU us", "ratio", "goal")
    with databases() as stores:
        for store in stores:
            reading, writing = (spent(call, calls) for call in driver_alone(store))
            for one in operations(store):
                took, floor = spent(one.call, calls), writing if one.writes else reading
                ratio, most = took.processor / floor.processor, one.most[store.dialect != "sqlite"]
                missed = missed or ratio > most
                cells = [f"{figure:.0f}" for figure in (*took, floor.processor)]
                colour = "red" if ratio > most else "green"
                table.add_row(store.dialect, one.name, *cells, f"{ratio:.1f}", f"[{colour}]<= {most}[/]")
    console.print(table)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
