"""What slow and silent name servers cost a message: bms.py beside itself with one that answers at once, in the same run.

    python tests/bench/dns_bench.py [--short]

Each message makes five questions that do not depend on one another (five lists about its author's domain, which is another
one each time) and nothing else waits. Figures to reach, with one connection and with fifty: where each answer takes 100 ms, a
message takes at most 250 ms longer; where there is no answer at all, the end of none takes longer than its deadline and what
the processor needs for fifty at once. The exit status says whether they were reached.

Only the end of a message is measured there, the step that asks. Beside it, libmilter lets commands that come at the same moment
wait for one of its threads: it counts an idle thread for each of them before that one has begun.
"""

from __future__ import annotations

import argparse
import asyncio
import concurrent.futures
import contextlib
import itertools
import multiprocessing
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from bench.core.load import Sample, greet, layout  # noqa: E402 - needs the path above
from support.filter_process import FilterProcess  # noqa: E402
from support.milter_client import FINAL, MilterClient  # noqa: E402
from support.network import Network  # noqa: E402

SLOW = 0.1  # seconds that an answer takes
MOST_ADDED = 0.25  # seconds that a message may take longer for it
DEADLINE = 3.0  # seconds: [milter] message_timeout
SLACK = 1.0  # seconds beyond it: what fifty messages at once need of the processor
CONNECTIONS = (1, 50)
LISTS = 5
CONFIG = """
message_timeout = 3s
[dns]
nameservers = 127.0.0.1@{port}
[spf]
mode = off
[dkim]
mode = off
[dmarc]
mode = off
[arc]
mode = off
[greylist]
mode = off
[logging]
level = error
[dnsbl]
timeout = 20s
zones = list0, list1, list2, list3, list4
"""
console = Console()


class _Answers(asyncio.DatagramProtocol):
    """Says to every question, so many seconds after it came, that there is no such name; nothing where that is negative."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if self._seconds < 0:
            return
        end = data.index(b"\0", 12) + 5  # of the question
        no_such_name = data[:2] + b"\x81\x83\0\1\0\0\0\0\0\0" + data[12:end]
        asyncio.get_running_loop().call_later(self._seconds, self._transport.sendto, no_such_name, addr)  # type: ignore[attr-defined]


def _serve(seconds: float, ready: Connection) -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: _Answers(seconds), ("127.0.0.1", 0))
        ready.send(transport.get_extra_info("sockname")[1])
        await asyncio.Event().wait()

    asyncio.run(run())


@contextlib.contextmanager
def name_server(seconds: float) -> Iterator[int]:
    """A name server in a process of its own; gives its port."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.Process(target=_serve, args=(seconds, there), daemon=True)
    process.start()
    try:
        yield here.recv()
    finally:
        process.terminate()
        process.join()


@contextlib.contextmanager
def running_bms(seconds: float) -> Iterator[str]:
    """bms.py with two workers, whose name server takes so many seconds; gives its socket."""
    lists = "".join(f"[dnsbl list{number}]\nzone = list{number}.example\nabout = author\n" for number in range(LISTS))
    with name_server(seconds) as port, contextlib.ExitStack() as stack:
        config = f"{CONFIG.replace('{port}', str(port))}{lists}"
        program = stack.enter_context(FilterProcess(Network(), config, workers=2, clocked=False))
        yield str(program.socket)


_numbers = itertools.count(1)


def _sample() -> Sample:
    author = b"ann@author%d.example" % next(_numbers)
    return Sample(
        ((b"From", author), (b"To", b"bob@example.com"), (b"Subject", b"hello")), b"Hello Bob\r\n" * 20, author
    )


def send(socket: str, messages: int, start: threading.Barrier) -> list[tuple[float, float]]:
    """Send so many messages over one connection; how many seconds each took, and its end. All begin together."""
    took = []
    with MilterClient(socket, 60) as client:
        greet(client)
        start.wait(60)
        for _ in range(messages):
            began = time.monotonic()
            for piece in layout(client.negotiated.steps, _sample()):
                last = time.monotonic()
                client.socket.sendall(piece)
                while client.get()[0] not in FINAL:
                    pass
            took.append((time.monotonic() - began, time.monotonic() - last))
        client.put(b"Q")
        client.flush()
    return took


def measure(socket: str, connections: int, messages: int) -> list[tuple[float, float]]:
    """How many seconds each message took, and its end, over so many connections at once."""
    start = threading.Barrier(connections)
    with concurrent.futures.ThreadPoolExecutor(connections) as pool:
        done = [pool.submit(send, socket, messages, start) for _ in range(connections)]
        return [seconds for one in done for seconds in one.result()]


class Row(NamedTuple):
    """What was measured with so many connections: seconds of each message, by what the name server does; where it is silent, of
    its end."""

    connections: int
    at_once: list[float]
    slow: list[float]
    silent: list[float]

    @property
    def added(self) -> tuple[float, float]:
        """What slow answers add to a message: median, and 95th percentile."""
        usual = statistics.median(self.slow) - statistics.median(self.at_once)
        return usual, _high(self.slow) - _high(self.at_once)

    @property
    def reached(self) -> bool:
        return max(self.added) <= MOST_ADDED and max(self.silent) <= DEADLINE + SLACK


def _high(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=20)[-1]


def main(arguments: list[str] | None = None) -> int:
    """Print the table; 0 where all figures were reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a tenth of the messages: for a look, not for a figure")
    options, _ = parser.parse_known_args(arguments)
    rows = []
    with running_bms(0.0) as at_once, running_bms(SLOW) as slow, running_bms(-1.0) as silent:
        for socket in (at_once, slow):
            measure(socket, 4, 3)  # the workers have read the public suffix list then
        for connections in CONNECTIONS:
            messages = max(2, (20 if options.short else 200) // connections)
            measured = [[whole for whole, _ in measure(one, connections, messages)] for one in (at_once, slow)]
            rows.append(Row(connections, *measured, [end for _, end in measure(silent, connections, 2)]))
    _print(rows)
    return 0 if all(row.reached for row in rows) else 1


def _print(rows: list[Row]) -> None:
    table = Table(
        "connections",
        "answers at once",
        f"after {SLOW * 1000:g} ms",
        "added",
        "no answer (longest)",
        "",
    )
    for row in rows:
        table.add_row(
            str(row.connections),
            f"{statistics.median(row.at_once) * 1000:.0f} ms",
            f"{statistics.median(row.slow) * 1000:.0f} ms",
            f"[bold]{row.added[0] * 1000:.0f} ms[/] ({row.added[1] * 1000:.0f} ms)",
            f"[bold]{max(row.silent):.1f} s[/]",
            "" if row.reached else "[red]not reached[/]",
        )
    console.print(table)
    console.print(
        f"medians (95th percentile) of a whole message that makes {LISTS} questions; to reach: {MOST_ADDED * 1000:g} ms more, "
        f"{DEADLINE + SLACK:g} s where nobody answers"
    )


if __name__ == "__main__":
    sys.exit(main())
