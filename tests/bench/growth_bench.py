"""What grows with the store, and what does not: everything that looks into its tables, with more and more rows.

    python tests/bench/growth_bench.py [--rows N ...] [--picture FILE]

History, greylist and the site's dictionary have N rows, words and triplets (10^5 and 10^6 unless said otherwise; 10^7 needs
16 GB and ten minutes of a processor), the quarantine as many, up to a million. For each kind of work the processor's time
with each size, in milliseconds, and how many times as long it took as with the smallest. What takes more than TOLERATED
times as long, and more than a blink, grows: the table says so.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from antispam.store import Store
from bench.growth.drawing import draw
from bench.growth.filling import fill
from bench.growth.measuring import everything
from support.console import NOW
from support.stores import make_store

SIZES = (100_000, 1_000_000)
# For ten times the rows: what is logarithmic takes 1.2 times as long, and the machine is never quiet.
TOLERATED = 3.0
BLINK = 0.010  # seconds


def measure(rows: int) -> dict[str, float]:
    """Fill a store of that size; seconds by what was done."""
    with tempfile.TemporaryDirectory(dir=Path.cwd() / ".cache") as name:
        folder = Path(name)
        store = Store(make_store(folder / "bms.sqlite"))
        began = time.perf_counter()
        fill(store, rows, NOW)
        size = (folder / "bms.sqlite").stat().st_size / 2**30
        print(f"{rows} rows: {size:.1f} GiB, filled in {time.perf_counter() - began:.0f} s", flush=True)
        gc.collect()
        found = {}
        for what, seconds in everything(store, rows, folder):
            found[what] = seconds
            print(f"  {what:44} {1000 * seconds:9.1f} ms", flush=True)
        store.close()
        return found


def main(argv: list[str]) -> int:
    """The exit status says whether anything grew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--picture", type=Path, help="an SVG file")
    given: Any = parser.parse_known_args(argv)[0]
    found = {rows: measure(rows) for rows in sorted(given.rows)}
    grew = _print(found)
    if given.picture:
        given.picture.write_text(draw(found))
    return int(bool(grew))


def _print(found: dict[int, dict[str, float]]) -> list[str]:
    sizes, grew = list(found), []
    print(f"\n{'milliseconds':44}" + "".join(f"{size:>12}" for size in sizes) + "   times")
    for what, first in found[sizes[0]].items():
        times = [found[size].get(what, 0.0) for size in sizes]
        ratio = times[-1] / first if first else 1.0
        steps = len(str(sizes[-1])) - len(str(sizes[0]))
        grows = ratio > TOLERATED ** max(1, steps) and times[-1] > BLINK
        grew += [what] if grows else []
        row = "".join(f"{1000 * seconds:12.1f}" for seconds in times)
        print(f"{what:44}{row}{ratio:8.1f}" + ("  GROWS" if grows else ""))
    return grew


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
