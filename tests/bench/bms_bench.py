"""bms.py with its whole journey, beside a milter on the same core that does nothing, in the same run.

    python tests/bench/bms_bench.py [--short]

The ratio says what the checks cost; two workers against one, how the program scales. DNS is answered on loopback, the
greylist is off (it would refuse the load), everything else is as shipped.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from bench.core.load import Measured, measure, served  # noqa: E402 - needs the path above
from bench.core_bench import ROUNDS, progress_bar, running_milter  # noqa: E402
from support.dns import loopback_nameserver  # noqa: E402
from support.filter_process import FilterProcess  # noqa: E402
from support.network import Network  # noqa: E402
from support.zone_server import ZoneResponder  # noqa: E402
from support.zones import Zone  # noqa: E402

CONNECTIONS = 4
CONFIG = """
[dns]
nameservers = 127.0.0.1@{port}
[greylist]
mode = off
[logging]
level = warning
"""
console = Console()


@contextlib.contextmanager
def running_bms(port: int, workers: int) -> Iterator[tuple[str, list[int]]]:
    """bms.py on a unix socket of its own; yields the socket's path and the workers' process ids."""
    with FilterProcess(Network(), CONFIG.replace("{port}", str(port)), workers=workers, clocked=False) as program:
        yield served(program)


def main(arguments: list[str] | None = None) -> int:
    """Print the table; there is no figure to reach, so the status is always 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a tenth of the messages: for a look, not for a figure")
    options, _ = parser.parse_known_args(arguments)
    messages = 200 if options.short else 2_000
    zones = [
        Zone("example.org", '@ TXT "v=spf1 ip4:192.0.2.0/24 -all"'),
        Zone("client.example", "@ A 192.0.2.1"),
        Zone("2.0.192.in-addr.arpa", "1 PTR client.example."),
    ]
    runs: dict[str, list[Measured]] = {"nothing": [], "bms": [], "bms, two workers": []}
    with contextlib.ExitStack() as stack, progress_bar() as progress:
        port = stack.enter_context(loopback_nameserver(ZoneResponder(zones)))
        places = {
            "nothing": stack.enter_context(running_milter(Path(sys.executable), "noreply")),
            "bms": stack.enter_context(running_bms(port, 1)),
            "bms, two workers": stack.enter_context(running_bms(port, 2)),
        }
        task = progress.add_task("rounds", total=ROUNDS * len(places))
        for address, processes in places.values():
            measure(address, processes, messages // 10, CONNECTIONS)
        for _ in range(ROUNDS):
            for name, (address, processes) in places.items():
                runs[name].append(measure(address, processes, messages, CONNECTIONS))
                progress.advance(task)
    _print(runs)
    return 0


def _print(runs: dict[str, list[Measured]]) -> None:
    table = Table("milter", "msg/s", "CPU s/1,000", "CPU to doing nothing", "msg/s to one worker")
    for name, measured in runs.items():
        cpu = statistics.median(
            m.cpu_per_thousand / n.cpu_per_thousand for m, n in zip(measured, runs["nothing"], strict=True)
        )
        rate = statistics.median(m.rate / one.rate for m, one in zip(measured, runs["bms"], strict=True))
        table.add_row(
            name,
            f"{statistics.median(m.rate for m in measured):,.0f}",
            f"{statistics.median(m.cpu_per_thousand for m in measured):.2f}",
            f"[bold]{cpu:.1f}[/]",
            f"[bold]{rate:.2f}[/]",
        )
    console.print(table)
    console.print(f"medians of {ROUNDS} rounds, {CONNECTIONS} connections, 4,000-octet messages")


if __name__ == "__main__":
    sys.exit(main())
