"""`make bench`: every benchmark of the project, one after the other; `python -m tests.bench --short` for a first look."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import bms_bench, core_bench, dns_bench, small_bench


def main(argv: list[str]) -> int:
    """The exit status says whether all figures were reached."""
    return max(core_bench.main(argv), bms_bench.main(argv), dns_bench.main(argv), small_bench.main(argv))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
