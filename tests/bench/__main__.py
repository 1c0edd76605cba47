"""`make bench`: every benchmark of the project, one after the other; `python -m tests.bench --short` for a first look."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import (
    bms_bench,
    busy_console_bench,
    core_bench,
    day_one_bench,
    dns_bench,
    dns_mail_bench,
    filter_bench,
    learn_bench,
    learner_bench,
    nodes_bench,
    small_bench,
    store_bench,
    web_bench,
)


def main(argv: list[str]) -> int:
    """The exit status says whether all figures were reached."""
    benches = (
        core_bench,
        bms_bench,
        filter_bench,
        day_one_bench,
        dns_bench,
        dns_mail_bench,
        learn_bench,
        learner_bench,
        small_bench,
        store_bench,
        nodes_bench,
        web_bench,
        busy_console_bench,
    )
    return max([bench.main(argv) for bench in benches])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
