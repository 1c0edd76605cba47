"""How long mail takes where name servers are 100 ms away: bms.py as shipped, over fifty connections at once.

    python tests/bench/dns_mail_bench.py [--short]

Each message is from a domain with an SPF record that includes another one, and with a DMARC policy. Cold: every domain is new.
Warm: each comes again, maybe to the other worker, which has not heard of it. The resolver that is asked is on this machine,
as docs/performance.md recommends: what it was asked before it answers at once. Beside it: one that is itself 100 ms away,
and remembers nothing nearer. A connection sends a message every two seconds, all of them one after another, so that what
is measured is waiting and not the processor. At last: what a question costs that a worker remembers, and one to that resolver.
"""

from __future__ import annotations

import argparse
import asyncio
import concurrent.futures
import contextlib
import multiprocessing
import statistics
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import dns.message
import dns.rcode
import dns.rrset

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from antispam.deadline import Deadline
from antispam.net.resolver import Resolver
from bench.core.load import Sample, greet, layout
from support.filter_process import FilterProcess
from support.milter_client import FINAL, MilterClient
from support.network import Network

SLOW = 0.1  # seconds that an answer takes
CONNECTIONS = 50
EVERY = 2.0  # seconds between two messages of a connection
COLD, WARM = 0.300, 0.060  # seconds: the medians to reach
CONFIG = "[dns]\nnameservers = 127.0.0.1@{port}\n[greylist]\nmode = off\n[logging]\nlevel = error\n"


def answer(question: dns.message.Message) -> dns.message.Message:
    """What there is: domains d1.example, d2.example ... and their policies."""
    response = dns.message.make_response(question)
    name = question.question[0].name
    text = _text(name.to_text(omit_final_dot=True).lower())
    if text and question.question[0].rdtype == dns.rdatatype.TXT:
        response.answer.append(dns.rrset.from_text(name, 3600, "IN", "TXT", f'"{text}"'))
    elif not text and not name.to_text().startswith("d"):
        response.set_rcode(dns.rcode.NXDOMAIN)
    return response


def _text(name: str) -> str:
    if name.startswith("_dmarc.d"):
        return "v=DMARC1; p=none"
    if name.startswith("_spf.d"):
        return "v=spf1 ip4:192.0.2.0/24 -all"
    return f"v=spf1 include:_spf.{name} -all" if name.startswith("d") and name.count(".") == 1 else ""


class _Answers(asyncio.DatagramProtocol):
    def __init__(self, seconds: float, near: bool) -> None:
        self.asked = 0
        self._seconds = seconds
        self._known: set[bytes] | None = set() if near else None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked += 1
        raw = answer(dns.message.from_wire(data)).to_wire()
        known = self._known is not None and data[12:] in self._known
        if self._known is not None:
            self._known.add(data[12:])
        asyncio.get_running_loop().call_later(0.0 if known else self._seconds, self._transport.sendto, raw, addr)


def _serve(seconds: float, near: bool, pipe: Connection) -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        transport, answers = await loop.create_datagram_endpoint(lambda: _Answers(seconds, near), ("127.0.0.1", 0))
        pipe.send(transport.get_extra_info("sockname")[1])
        loop.add_reader(pipe.fileno(), lambda: (pipe.recv(), pipe.send(answers.asked)))
        await asyncio.Event().wait()

    asyncio.run(run())


@contextlib.contextmanager
def name_server(seconds: float, *, near: bool) -> Iterator[tuple[int, Connection]]:
    """A name server in a process of its own: its port, and a pipe that answers whatever is sent with how often it was asked."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.Process(target=_serve, args=(seconds, near, there), daemon=True)
    process.start()
    try:
        yield here.recv(), here
    finally:
        process.terminate()
        process.join()


def _sample(domain: int) -> Sample:
    author = b"ann@d%d.example" % domain
    headers = ((b"From", author), (b"To", b"bob@example.com"), (b"Subject", b"hello"))
    return Sample(headers, b"Hello Bob\r\n" * 20, author)


def send(socket: str, first: float, domains: list[int]) -> list[float]:
    """One message of each domain, EVERY seconds from `first` on (of time.monotonic()): how long each took."""
    took = []
    with MilterClient(socket, 60) as client:
        greet(client)
        for number, domain in enumerate(domains):
            pieces = layout(client.negotiated.steps, _sample(domain))
            time.sleep(max(0.0, first + number * EVERY - time.monotonic()))
            began = time.monotonic()
            for piece in pieces:
                client.socket.sendall(piece)
                while client.get()[0] not in FINAL:
                    pass
            took.append(time.monotonic() - began)
        client.put(b"Q")
        client.flush()
    return took


def measure(socket: str, domains: list[list[int]]) -> list[float]:
    """How long each message took, over as many connections at once."""
    begins = time.monotonic() + 1.0
    with concurrent.futures.ThreadPoolExecutor(len(domains)) as pool:
        places = [begins + EVERY * number / len(domains) for number in range(len(domains))]
        done = [pool.submit(send, socket, first, some) for first, some in zip(places, domains, strict=True)]
        return [seconds for one in done for seconds in one.result()]


def questions() -> tuple[float, float]:
    """Seconds for a question whose answer this process remembers, and for one that a server on this machine answers at once."""
    with name_server(0.0, near=True) as (port, _):
        resolver = Resolver((f"127.0.0.1@{port}",))
        spent: list[float] = []
        for number in range(400):
            began = time.perf_counter()
            resolver.lookup(f"d{number}.example", "TXT", Deadline.after(5))
            spent.append(time.perf_counter() - began)
        began = time.perf_counter()
        for number in range(400):
            resolver.lookup(f"d{number}.example", "TXT", Deadline.after(5))
        return (time.perf_counter() - began) / 400, statistics.median(spent)


def main(argv: list[str] | None = None) -> int:
    """The exit status says whether both medians were reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="two messages a connection")
    given, _ = parser.parse_known_args(argv)
    rounds = 2 if given.short else 5
    cold = [[1000 * (one + 1) + number for number in range(rounds)] for one in range(CONNECTIONS)]
    missed = 0
    for near in (True, False):
        print(f"the resolver is {'on this machine' if near else '100 ms away'}:")
        with name_server(SLOW, near=near) as (port, pipe):
            config = CONFIG.replace("{port}", str(port))
            with FilterProcess(Network(), config, workers=2, clocked=False) as program:
                measure(str(program.socket), [[one] for one in range(8)])  # what a worker reads once
                for name, goal in (("cold", COLD), ("warm", WARM), ("once more", WARM)):
                    before = _asked(pipe)
                    spent = measure(str(program.socket), cold)
                    missed += _tell(name, spent, goal if near else None, (_asked(pipe) - before) / len(spent))
    remembered, asked_here = questions()
    print(
        f"a question: remembered {1e6 * remembered:.0f} us, asked of a server on this machine {1e6 * asked_here:.0f} us"
    )
    return int(bool(missed))


def _asked(pipe: Connection) -> int:
    pipe.send("how often?")
    return int(pipe.recv())


def _tell(name: str, spent: list[float], goal: float | None, asked: float) -> bool:
    median, high = statistics.median(spent), statistics.quantiles(spent, n=20)[-1]
    told = "" if goal is None else f"  goal {1000 * goal:.0f} ms: {'met' if median <= goal else 'MISSED'}"
    print(
        f"  {name:12} p50 {1000 * median:5.0f} ms  p95 {1000 * high:5.0f} ms  {asked:4.1f} questions a message{told}",
        flush=True,
    )
    return goal is not None and median > goal


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
