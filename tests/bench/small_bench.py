"""spfmilter.py and dkim-milter.py beside their peers: the same real messages, in the same run, one worker each.

    python tests/bench/small_bench.py [spf] [dkim] [--short] [--connections 1 4 16]

spfmilter is measured beside spf-engine's milter, dkim-milter (verifying, 30 % of the messages signed) beside dkimpy-milter and
opendkim. The messages are of the SpamAssassin corpus; DNS is answered by nsd on loopback, or by this process without nsd.
Who goes first alternates; figures are medians over the rounds, ratios are taken within a round.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from antispam.mail.message import split_message  # noqa: E402
from bench.core.load import Measured, Sample, measure, served  # noqa: E402 - needs the path above
from bench.core_bench import progress_bar  # noqa: E402
from support import corpus, peers  # noqa: E402
from support.dns import loopback_nameserver  # noqa: E402
from support.filter_process import FilterProcess  # noqa: E402
from support.mta import NameServer  # noqa: E402
from support.network import Network  # noqa: E402
from support.signing import SigningKey  # noqa: E402
from support.zone_server import ZoneResponder  # noqa: E402
from support.zones import Zone, complete, quoted_text  # noqa: E402

SAMPLES = 300
SIGNED = 0.3
LARGEST = 20_000  # octets; a few huge messages would measure the memory bus
ROUNDS = 5
DOMAINS = 40
KEY = SigningKey.make("s1", "signer.example", "rsa")
RECORDS = (
    "v=spf1 ip4:192.0.2.0/24 -all",
    "v=spf1 a mx include:_spf.provider.example ~all",
    "v=spf1 include:_spf.provider.example -all",
    "v=spf1 mx ip4:198.51.100.0/24 ip4:203.0.113.7 include:_spf.provider.example ?all",
)

Running = Callable[[int], contextlib.AbstractContextManager[tuple[str, list[int]]]]
console = Console()
if not console.is_terminal:
    console.width = 120  # in a file, columns need not be cut


@dataclasses.dataclass(frozen=True, slots=True)
class Goal:
    """How many times a peer ours shall be, and in what: "CPU" (messages a processor second) or "rate" (messages a second)."""

    times: float
    what: str


@dataclasses.dataclass(frozen=True, slots=True)
class Contest:
    """One of our programs, and its peers by name, each with its goal."""

    name: str
    ours: Running
    peers: dict[str, tuple[Running, Goal]]


def samples() -> list[Sample]:
    """Real messages, three of ten signed, from senders at DOMAINS domains."""
    contents = (message.content for message in corpus.read_messages(corpus.fetch()))
    found = [content for content in contents if len(content) <= LARGEST and content.isascii()]
    step = len(found) // SAMPLES
    return [_sample(number, content) for number, content in enumerate(found[::step][:SAMPLES])]


def _sample(number: int, content: bytes) -> Sample:
    if number % 10 < 10 * SIGNED:
        content = KEY.sign(content)
    headers, body = split_message(content)
    fields = [(header.name, header.value.removeprefix(b" ")) for header in headers]
    return Sample(fields, body, b"sender%d@domain%d.example" % (number, number % DOMAINS))


def zones() -> list[Zone]:
    found = [
        Zone("provider.example", '_spf TXT "v=spf1 ip4:198.51.100.0/24 ip4:192.0.2.0/28 -all"'),
        Zone("signer.example", f"s1._domainkey TXT {quoted_text(KEY.record)}"),
        Zone("example", "client A 192.0.2.1"),
    ]
    for number in range(DOMAINS):
        record = f'@ TXT "{RECORDS[number % len(RECORDS)]}"\n@ A 203.0.113.1\n@ MX 10 mail\nmail A 203.0.113.2'
        found.append(Zone(f"domain{number}.example", record))
    return complete(found, {"192.0.2.1": "client.example"})


def nameserver() -> contextlib.AbstractContextManager[int]:
    """The port of a name server that knows the zones."""
    return served_names(zones())


@contextlib.contextmanager
def served_names(zones: list[Zone]) -> Iterator[int]:
    """The port of a name server on loopback that serves these zones."""
    if Path("/usr/sbin/nsd").exists():
        with NameServer(Network(), zones) as server:
            yield server.port
    else:
        console.print("nsd is not installed: this process answers DNS, which costs the peers without a cache more")
        with loopback_nameserver(ZoneResponder(zones)) as port:
            yield port


def ours(program: str) -> Running:
    @contextlib.contextmanager
    def run(port: int) -> Iterator[tuple[str, list[int]]]:
        config = f"[dns]\nnameservers = 127.0.0.1@{port}\n[logging]\nlevel = warning\n"
        with FilterProcess(Network(), config, program=program, clocked=False) as process:
            yield served(process)

    return run


def theirs(recipe: Callable[[], peers.Recipe]) -> Running:
    return lambda port: peers.running(recipe(), port)


CONTESTS = {
    "spf": Contest("spfmilter", ours("spfmilter.py"), {"spf-engine": (theirs(peers.spf_engine), Goal(4.0, "CPU"))}),
    "dkim": Contest(
        "dkim-milter",
        ours("dkim-milter.py"),
        {
            "dkimpy-milter": (theirs(peers.dkimpy_milter), Goal(1.3, "CPU")),
            "opendkim": (theirs(lambda: peers.opendkim("Mode v\n")), Goal(1.0, "rate")),
        },
    ),
}


def hold(contest: Contest, port: int, mail: Sequence[Sample], messages: int, connections: Sequence[int]) -> list[str]:
    """Print the table of a contest; the goals that were missed."""
    runners = {contest.name: contest.ours, **{name: running for name, (running, _) in contest.peers.items()}}
    missed = []
    table = Table("connections", "milter", "msg/s", "CPU s/1,000", "ours: rate", "ours: CPU", "goal")
    with progress_bar() as progress:
        task = progress.add_task(contest.name, total=len(connections) * ROUNDS * len(runners))
        for count in connections:
            runs: dict[str, list[Measured]] = {name: [] for name in runners}
            for number in range(ROUNDS):
                for name in sorted(runners, reverse=number % 2 == 1):
                    strict = name == contest.name  # spf-engine fails now and then where several connections meet
                    with runners[name](port) as (address, processes):
                        measure(address, processes, max(len(mail), messages // 5), count, mail, strict)
                        runs[name].append(measure(address, processes, messages, count, mail, strict))
                    progress.advance(task)
            missed += _rows(table, contest, count, runs)
    console.print(table)
    return missed


def _rows(table: Table, contest: Contest, count: int, runs: dict[str, list[Measured]]) -> Iterator[str]:
    mine = runs[contest.name]
    for name, measured in runs.items():
        cells = [str(count), name, f"{statistics.median(one.rate for one in measured):,.0f}"]
        cells.append(f"{statistics.median(one.cpu_per_thousand for one in measured):.3f}")
        if name in contest.peers:
            goal = contest.peers[name][1]
            pairs = list(zip(mine, measured, strict=True))
            ratios = {
                "rate": statistics.median(our.rate / their.rate for our, their in pairs),
                "CPU": statistics.median(their.cpu_per_thousand / our.cpu_per_thousand for our, their in pairs),
            }
            good = ratios[goal.what] >= goal.times
            cells += [f"{ratios['rate']:.2f}", f"{ratios['CPU']:.2f}"]
            cells.append(f"[{'green' if good else 'red'}]{goal.what} {goal.times}[/]")
            if not good:
                yield f"{contest.name} is {ratios[goal.what]:.2f} times {name} in {goal.what}, {count} connections"
        table.add_row(*cells)


def main(arguments: list[str] | None = None) -> int:
    """Print the tables; 1 where a goal was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="*", choices=[*CONTESTS, []], help="what to measure")
    parser.add_argument("--short", action="store_true", help="a tenth of the messages: for a look, not for a figure")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 4, 16])
    options, _ = parser.parse_known_args(arguments)
    messages = 300 if options.short else 3_000
    mail = samples()
    missed = []
    with nameserver() as port:
        for part in options.part or CONTESTS:
            try:
                missed += hold(CONTESTS[part], port, mail, messages, options.connections)
            except peers.UnavailableError as error:
                console.print(f"{CONTESTS[part].name} is not measured: {error}")
    for text in missed:
        console.print(f"[red]missed[/] {text}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
