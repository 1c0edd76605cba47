"""What the checks of the first day cost: bms.py with them beside itself without, in the same run.

    python tests/bench/day_one_bench.py [--short]

With: DMARC, ARC, block lists (a name server on loopback answers for every zone, from the cache after the first messages), signs
of fraud, fingerprints, impersonation and the score, as shipped. Without: SPF, DKIM, the learner and the rest of the journey.
Both get the same real messages: first with a dictionary that some hundred messages taught, then with none, where the learner
does nothing and the checks of the first day have to read the messages themselves. The figure to reach: at most 40 % more
processor time. The exit status says whether all rows reached it.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from antispam.learning.teacher import Teacher  # noqa: E402
from antispam.store import Store  # noqa: E402
from bench.core.load import Measured, measure, served  # noqa: E402 - needs the path above
from bench.core_bench import ROUNDS, progress_bar  # noqa: E402
from bench.small_bench import nameserver, samples  # noqa: E402
from support import corpus  # noqa: E402
from support.filter_process import FilterProcess  # noqa: E402
from support.learning import Learned  # noqa: E402
from support.network import Network  # noqa: E402
from support.stores import make_store  # noqa: E402

CONNECTIONS = (1, 4)
MOST = 1.4  # times the processor time
LESSONS = 400  # messages that the dictionary was taught
CHECKS = (
    "arc", "dmarc", "dnsbl", "header_signs", "link_signs", "author_signs", "content_signs", "fingerprints",
    "impersonation", "score",
)  # fmt: skip
COMMON = """
[dns]
nameservers = 127.0.0.1@{port}
[greylist]
mode = off
[logging]
level = warning
"""
WITH = COMMON + "[dnsbl]\nzones = default\n"  # asked on loopback, where no name is listed
WITHOUT = COMMON + "".join(f"[{check}]\nmode = off\n" for check in CHECKS)
console = Console()


class Taught(Learned):
    """A dictionary of the site that knows real messages."""

    def put_into(self, url: str) -> None:
        """Make the database and teach it."""
        make_store(url)
        teach(url)


def teach(url: str) -> None:
    """Teach the site's dictionary, in a database with tables."""
    with contextlib.closing(Store(url)) as store:
        teacher = Teacher(store, "site")
        for message in corpus.read_messages(corpus.fetch(), LESSONS):
            teacher.teach(message.content, "/spam-" in message.name)


@contextlib.contextmanager
def running(config: str, learned: Learned) -> Iterator[tuple[str, list[int]]]:
    """bms.py with one worker; its socket, and the processes that count."""
    with FilterProcess(Network(), config, clocked=False, learned=learned) as program:
        yield served(program)


def main(arguments: list[str] | None = None) -> int:
    """Print the table; 1 where the figure was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a tenth of the messages: for a look, not for a figure")
    options, _ = parser.parse_known_args(arguments)
    messages = 300 if options.short else 3_000
    missed = False
    table = Table("dictionary", "connections", "without: CPU ms", "with: CPU ms", "ratio", "goal")
    with nameserver() as port, progress_bar() as progress:
        configs = [text.replace("{port}", str(port)) for text in (WITHOUT, WITH)]
        task = progress.add_task("rounds", total=2 * ROUNDS * len(CONNECTIONS))
        for name, learned in (("taught", Taught()), ("none", Learned())):
            for count, runs in _compared(configs, learned, messages, lambda: progress.advance(task)):
                pairs = zip(*runs, strict=True)
                ratio = statistics.median(more.cpu_per_thousand / less.cpu_per_thousand for less, more in pairs)
                missed = missed or ratio > MOST
                cells = [f"{statistics.median(one.cpu_per_thousand for one in run):.2f}" for run in runs]
                colour = "red" if ratio > MOST else "green"
                table.add_row(name, str(count), *cells, f"{ratio:.2f}", f"[{colour}]<= {MOST}[/]")
    console.print(table)
    return int(missed)


def _compared(
    configs: Sequence[str], learned: Learned, messages: int, advance: Callable[[], object]
) -> Iterator[tuple[int, list[list[Measured]]]]:
    """For each number of connections, what each configuration took in each round."""
    mail = samples()
    with contextlib.ExitStack() as stack:
        places = [stack.enter_context(running(config, learned)) for config in configs]
        for count in CONNECTIONS:
            runs: list[list[Measured]] = [[] for _ in configs]
            for address, processes in places:
                measure(address, processes, len(mail), count, mail, False)
            for _ in range(ROUNDS):
                for (address, processes), run in zip(places, runs, strict=True):
                    run.append(measure(address, processes, messages, count, mail, False))
                advance()
            yield count, runs


if __name__ == "__main__":
    sys.exit(main())
