"""How fast the token store teaches and looks up, each training committed, and what a million tokens take in memory.

python tests/bench/token_store_bench.py [--url URL] [--short]: synthetic messages whose keys follow Zipf's law, as words do.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from antispam.store import Store, migrate
from dspam.store import TokenStore, compact, user_id

_PAGE = 4096  # octets; what /proc counts in


def resident() -> float:
    """MB of memory that this process holds now."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE / 1e6


def messages(count: int, size: int, seed: int) -> Iterator[np.ndarray]:
    """Keys of `count` messages with some `size` each; a third of them nobody will ever see again."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        usual = rng.zipf(1.15, 2 * size // 3).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        unique = rng.integers(0, 2**63, size // 3).astype(np.uint64)
        yield np.unique(np.concatenate([usual, unique]).view(np.int64))


def deltas(counts: np.ndarray, _totals: object) -> np.ndarray:
    """As long to compute as a learner's would be to hand over, no more."""
    result = np.zeros_like(counts)
    result[:, 0] = 1
    result[:, 2] = (counts[:, 2] & 0xFF) - 100
    return result


def run(url: str, count: int, size: int) -> None:
    """Print the figures for `count` messages."""
    migrate(url)
    database = Store(url, busy_timeout=30.0)
    tokens = TokenStore(database)
    user = user_id(database, "bench")
    batch = list(messages(count, size, seed=1))
    keys = sum(map(len, batch)) / len(batch)
    print(f"{count} messages, {keys:.0f} keys each, {database.dialect}")
    tokens.counts(user, batch[0])

    spent = {"classify": np.zeros(2), "train": np.zeros(2)}
    for number, message in enumerate(batch):
        start = _clocks()
        tokens.counts(user, message)
        middle = _clocks()
        tokens.train(user, f"m{number}", number % 2 == 0, message, deltas)
        spent["classify"] += middle - start
        spent["train"] += _clocks() - middle
    for what, (wall, cpu) in spent.items():
        print(f"  {what:30} {count / wall:8.0f} /s   {cpu / count * 1e3:.2f} ms of processor each")

    _measure("read the log anew", lambda: TokenStore(database).counts(user, batch[0]))
    _measure("fold all of it", lambda: compact(database))
    before = resident()
    fresh = TokenStore(database)
    _measure("read the pages anew", lambda: fresh.counts(user, batch[0]))
    table = fresh._dictionaries[user]._table
    print(
        f"  {'tokens':30} {table.size:8d}     {table.nbytes / 1e6:.0f} MB table, {resident() - before:.0f} MB resident"
    )
    some = batch[: min(300, count)]
    _measure("look up, in memory", lambda: [fresh.counts(user, message) for message in some], len(some))
    paged = TokenStore(database, cache=1)
    paged.counts(user, batch[0])
    _measure("look up, message by message", lambda: [paged.counts(user, message) for message in some], len(some))
    database.close()


def _clocks() -> np.ndarray:
    """Seconds that passed, and seconds that this process had the processor, which others can't slow down as much."""
    return np.array([time.perf_counter(), time.process_time()])


def _measure(what: str, call: object, count: int = 0) -> None:
    start = time.perf_counter()
    call()  # type: ignore[operator]
    seconds = time.perf_counter() - start
    print(f"  {what:30} {count / seconds:8.0f} /s" if count else f"  {what:30} {seconds:8.2f} s")


def main(argv: list[str]) -> int:
    """Always 0: it measures, and a person judges."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="an empty database; by default SQLite in a temporary folder")
    parser.add_argument("--short", action="store_true")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        for size in (300, 1500):
            url = options.url or f"sqlite:///{folder}/{size}.db"
            run(url, 300 if options.short else 3000, size)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
