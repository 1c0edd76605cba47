"""A month of ten million messages a day on PostgreSQL, compressed: one message in N, in the tables that the filter makes.

    python tests/bench/month_bench.py [--one-in N]

Days are added one after the other, in bulk. One in 10 messages leaves a triplet in the greylist and one in 100 an entry in
the quarantine. Then the sizes are printed, what they come to with all messages, and how long people and housekeeping wait for
answers (PostgreSQL as Debian ships it, but for 32 MB of shared buffers and without fsync). Last the first day is deleted, as
housekeeping does it: it must go quicker than mail comes.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from antispam.store import Store, history
from bench.growth import filling
from bench.growth.measuring import chores, questions
from support.console import NOW
from support.databases import PostgreSQL
from support.places import missing_servers

A_DAY = 10_000_000  # messages
DAYS = filling.DAYS
TABLES = ("history", "history_address", "history_sum", "greylist", "stored_message", "quarantine_entry")
_SIZES = "SELECT relname, pg_table_size(oid), pg_indexes_size(oid) FROM pg_class WHERE relkind = 'r'"
console = Console()


class Size(NamedTuple):
    """Of a table: rows, and octets of it and of its indexes."""

    rows: int
    octets: int
    indexes: int


def replay(store: Store, rows: int) -> Iterator[float]:
    """Add the month; seconds of each day."""
    for day in range(DAYS):
        began = time.perf_counter()
        start, stop = day * rows // DAYS, (day + 1) * rows // DAYS
        filling.add_mail(store, rows, NOW, start, stop)
        filling.add_triplets(store, rows // 10, NOW, start // 10, stop // 10)
        filling.add_kept(store, rows // 100, NOW, start // 100, stop // 100)
        filling.add_sums(store, rows, NOW, start, stop)
        yield time.perf_counter() - began
    filling.analyze(store)


def sizes(store: Store) -> dict[str, Size]:
    """The tables that grow with the mail."""
    with store.read() as connection:
        found = {name: octets for name, *octets in connection.execute(sa.text(_SIZES)).all()}
        counted = [connection.scalar(sa.text(f"SELECT count(*) FROM {name}")) or 0 for name in TABLES]
    return {name: Size(number, *found[name]) for name, number in zip(TABLES, counted, strict=True)}


def forget_a_day(store: Store) -> tuple[int, float, float]:
    """Rows that were deleted, seconds, and the longest slice."""
    gone, longest, began = 0, 0.0, time.perf_counter()
    while True:
        slice_began = time.perf_counter()
        some = history.purge(store, NOW - (DAYS - 1) * 86_400.0)
        longest = max(longest, time.perf_counter() - slice_began)
        gone += some
        if not some:
            return gone, time.perf_counter() - began, longest


def main(argv: list[str]) -> int:
    """1 if deleting does not keep up with the mail."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one-in", type=int, default=1000)
    given: Any = parser.parse_known_args(argv)[0]
    if reason := missing_servers():
        console.print(f"month: {reason}")
        return 0
    rows = A_DAY * DAYS // given.one_in
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(PostgreSQL())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        store = stack.enter_context(contextlib.closing(Store(server.new_store())))
        spent = list(replay(store, rows))
        console.print(f"{rows} messages; a day was added in {spent[0]:.1f} s at first and {spent[-1]:.1f} s at last")
        _print_sizes(sizes(store), given.one_in)
        for what, seconds in (*questions(store, rows, time.perf_counter), *chores(store, folder, time.perf_counter)):
            console.print(f"  {what:48} {1000 * seconds:9.1f} ms")
        gone, seconds, longest = forget_a_day(store)
        rate = rows / DAYS / seconds
        console.print(
            f"a day was deleted in {seconds:.1f} s: {gone} rows, {rate:.0f} messages/s, {rate / A_DAY * 86_400:.1f} times as "
            f"fast as they come; the longest slice {1000 * longest:.0f} ms"
        )
    return int(rate * 86_400 < A_DAY)


def _print_sizes(found: dict[str, Size], one_in: int) -> None:
    table = Table("table", "rows", "MiB", "indexes, MiB", "octets a row", f"x {one_in}: GB")
    for name, size in found.items():
        octets = size.octets + size.indexes
        # Sums have bounded sizes: they do not grow with the number of messages.
        whole = octets * (1 if name == "history_sum" else one_in) / 1e9
        numbers = (f"{size.octets / 2**20:.1f}", f"{size.indexes / 2**20:.1f}", f"{octets / max(1, size.rows):.0f}")
        table.add_row(name, str(size.rows), *numbers, f"{whole:.1f}")
    console.print(table)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
