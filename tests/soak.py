"""A filter under load while everything around it breaks: make soak [HOURS=1] [SEED=1] [STORE=sqlite|postgresql|mariadb].

Messages go through the milter protocol over several connections. At random moments, chosen by the seed, the configuration is
reloaded, a worker is killed, the database is locked, and the name server falls silent; a database server is restarted as well.
At the end:

    lost       messages whose quarantine was promised and that are not in it exactly once
    unchecked  messages that were taken without what the checks write
    growth     of memory, descriptors and threads of all processes, the last quarter of the time against the second

Exit status 1 where any of these is not what it must be.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import dns.message
import sqlalchemy as sa

TESTS = Path(__file__).resolve().parent
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

from antispam.store.schema import quarantine_entry  # noqa: E402
from support.breakable import STORES, Breakable  # noqa: E402
from support.dns import loopback_nameserver  # noqa: E402
from support.filter_process import FilterProcess  # noqa: E402
from support.milter_client import MilterClient, ProtocolError  # noqa: E402
from support.network import Network  # noqa: E402
from support.patience import PATIENCE  # noqa: E402
from support.processes import children_of, family  # noqa: E402
from support.zone_server import ZoneResponder  # noqa: E402
from support.zones import Zone  # noqa: E402

CONNECTIONS = 4
PER_CONNECTION = 20  # messages, then another connection is made
GROWTH = 1.10
_WARM = 600.0  # seconds, before which processes still grow to their size
CONFIG = """
[dns]
nameservers = 127.0.0.1@{port}
[greylist]
mode = off
[rates]
mode = off
[words]
answer = quarantine
[defang]
spam_words = soakword
[logging]
level = error
"""


@dataclasses.dataclass(slots=True)
class Tally:
    """What the clients saw. Of each message that the filter promised to keep, the mark in its subject."""

    answers: Counter[str] = dataclasses.field(default_factory=Counter)
    promised: list[str] = dataclasses.field(default_factory=list)
    unchecked: list[str] = dataclasses.field(default_factory=list)
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    @property
    def messages(self) -> int:
        return sum(self.answers.values())


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """All processes of the filter at one moment: octets of memory that are theirs alone, descriptors, threads."""

    memory: int
    descriptors: int
    threads: int


def sample(leader: int) -> Sample:
    """Of the filter's processes."""
    memory = descriptors = threads = 0
    for pid in family(leader):
        folder = Path(f"/proc/{pid}")
        with contextlib.suppress(OSError):
            rollup = (folder / "smaps_rollup").read_text()
            memory += sum(int(line.split()[1]) << 10 for line in rollup.splitlines() if line.startswith("Private_"))
            descriptors += len(list((folder / "fd").iterdir()))
            threads += len(list((folder / "task").iterdir()))
    return Sample(memory, descriptors, threads)


def send(program: FilterProcess, tally: Tally, source: random.Random, ends: float, name: str) -> None:
    """One client, until the time is over. A connection that breaks is what a killed worker looks like: the MTA tries again."""
    number = 0
    while time.monotonic() < ends:
        try:
            with MilterClient(str(program.socket), timeout=PATIENCE) as client:
                client.greet()
                for _ in range(PER_CONNECTION):
                    number += 1
                    _one(client, tally, source, f"{name}-{number}")
        except (OSError, ProtocolError):
            with tally.lock:
                tally.answers["broken"] += 1


def _one(client: MilterClient, tally: Tally, source: random.Random, mark: str) -> None:
    kept = source.random() < 0.1
    word = "soakword" if kept else "lunch"
    headers = (
        (b"From", b"Ann <ann@example.org>"), (b"To", b"bob@example.com"), (b"Subject", f"{word} {mark}".encode()),
        (b"Date", b"Mon, 2 Nov 2026 12:00:00 +0000"), (b"Message-ID", f"<{mark}@example.org>".encode()),
    )  # fmt: skip
    body = b"Hello, shall we meet?\r\n" * source.randint(1, 200)
    reply = client.message(
        headers, body, f"<ann@d{source.randrange(5000)}.example.org>".encode(), (b"<bob@example.com>",)
    )
    written = {change.arguments[1] for change in reply.changes if change.name in ("addheader", "insheader")}
    with tally.lock:
        tally.answers[reply.action] += 1
        if reply.action == "d" and kept:
            tally.promised.append(mark)
        elif reply.action in "ca" and b"Authentication-Results" not in written:
            tally.unchecked.append(mark)


def break_things(
    program: FilterProcess, store: Breakable, silence: Callable[[bool], None], source: random.Random, ends: float
) -> Counter[str]:
    """Faults until the time is over, a few seconds apart; how many of each."""
    done: Counter[str] = Counter()
    kinds = ("reload", "kill", "lock", "silence", *(("restart",) if store.restart else ()))
    while time.monotonic() < ends - 10:
        time.sleep(source.uniform(1, 6))
        fault = source.choice(kinds)
        done[fault] += 1
        if fault == "reload":
            os.kill(program.pid, signal.SIGHUP)
        elif fault == "kill":
            workers = children_of(program.pid)
            if workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(source.choice(workers), signal.SIGKILL)
        elif fault == "lock":
            store.lock(source.uniform(0.5, 4))
        elif fault == "restart" and store.restart:
            store.restart(source.uniform(0.5, 4))
        else:
            silence(True)
            time.sleep(source.uniform(1, 5))
            silence(False)
    return done


def kept(database: str) -> Counter[str]:
    """The marks of all messages in the quarantine."""
    engine = sa.create_engine(database, poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        subjects = connection.scalars(sa.select(quarantine_entry.c.subject))
        return Counter(str(subject).rpartition(" ")[2] for subject in subjects)


def grown(samples: list[Sample]) -> list[str]:
    """What the last quarter of the time has more of than the second, as sentences."""
    quarter = len(samples) // 4
    if not quarter:
        return []
    early, late = samples[quarter : 2 * quarter], samples[-quarter:]
    found = []
    for field in dataclasses.fields(Sample):
        before, after = (min(getattr(one, field.name) for one in some) for some in (early, late))
        if after > before * GROWTH and after - before > (8 << 20 if field.name == "memory" else 8):
            found.append(f"{field.name}: {before:,} grew to {after:,}")
    return found


class Silent:
    """A name server that can fall silent."""

    def __init__(self, answers: ZoneResponder) -> None:
        self.silent = False
        self._answers = answers

    def __call__(self, query: dns.message.Message, by_tcp: bool) -> dns.message.Message | None:
        return None if self.silent else self._answers(query, by_tcp)


def soak(seconds: float, seed: int, store: str = "sqlite") -> int:
    """Run on a database of that kind, print, and return the exit status."""
    source = random.Random(seed)
    zones = [
        Zone("example.org", '@ TXT "v=spf1 ip4:192.0.2.0/24 -all"\n* TXT "v=spf1 ip4:192.0.2.0/24 -all"'),
        Zone("client.example", "@ A 192.0.2.1"),
        Zone("2.0.192.in-addr.arpa", "1 PTR client.example."),
    ]
    responder = Silent(ZoneResponder(zones))

    def silence(on: bool) -> None:
        responder.silent = on

    with loopback_nameserver(responder) as port, STORES[store]() as breakable:
        config = CONFIG.replace("{port}", str(port))
        with FilterProcess(Network(), config, workers=2, clocked=False, database=breakable.url) as program:
            tally, samples = Tally(), list[Sample]()
            ends = time.monotonic() + seconds
            clients = [
                threading.Thread(
                    target=send, args=(program, tally, random.Random(f"{seed}-{number}"), ends, f"c{number}")
                )
                for number in range(CONNECTIONS)
            ]
            session = os.getsid(program.pid)
            watch = threading.Thread(target=_watch, args=(session, samples, tally, ends), daemon=True)
            for one in (*clients, watch):
                one.start()
            faults = break_things(program, breakable, silence, source, ends)
            for one in clients:
                one.join()
            stopped = program.stop()
            found = kept(program.database)
            log = program.log()
    lost = [mark for mark in tally.promised if found[mark] != 1]
    twice = [mark for mark, count in found.items() if count > 1]
    growth = grown(samples) if seconds >= _WARM else []
    print(f"\n{tally.messages} messages in {seconds:.0f} s on {store}, seed {seed}; answers {dict(tally.answers)}")
    print(
        f"faults {dict(faults)}; promised {len(tally.promised)}, lost {len(lost)}, twice {len(twice)}, "
        f"unchecked {len(tally.unchecked)}"
    )
    print("growth: " + ("; ".join(growth) or "none" if seconds >= _WARM else "not judged in less than ten minutes"))
    for name, marks in (("lost", lost), ("twice", twice), ("unchecked", tally.unchecked)):
        if marks:
            print(f"{name}: {', '.join(marks[:20])}")
    if "Traceback" in log:
        print(log[log.index("Traceback") :][:3000])
    bad = lost or twice or tally.unchecked or growth or "Traceback" in log or stopped or not tally.promised
    return 1 if bad else 0


def _watch(session: int, samples: list[Sample], tally: Tally, ends: float) -> None:
    while time.monotonic() < ends:
        samples.append(sample(session))
        if sys.stderr.isatty():
            left = ends - time.monotonic()
            print(f"\r{tally.messages} messages, {left:.0f} s left ", end="", file=sys.stderr, flush=True)
        time.sleep(1.0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=int(time.time()), help="the same faults at the same moments")
    parser.add_argument("--store", choices=STORES, default="sqlite", help="the database (default: sqlite)")
    options = parser.parse_args()
    return soak(options.hours * 3600, options.seed, options.store)


if __name__ == "__main__":
    sys.exit(main())
