#!/usr/bin/env python3
"""Sends the SpamAssassin public corpus through real MTAs twice, without and with bms.py, and compares what arrives.

What arrives must be the same octet for octet, apart from header fields that the filter adds, marks of other filters that it
removes (X-Spam-Status and its kin), and attachments that it replaces, and the filter's log must hold no exception. Needs root
and scripts/install-test-servers. Exit status 1 where anything differs.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from support import corpus
from support.filter_process import FilterProcess
from support.mta import Mta, NameServer, Postfix, Sendmail
from support.network import Network, PrivateNetwork
from support.places import missing_servers
from support.sink import Sink
from support.zones import complete

# The corpus comes from one client that nobody knows; everything else is as shipped.
CONFIG = """
[greylist]
mode = off
"""
OURS = "Received-SPF,Authentication-Results,X-Original-Authentication-Results"
_TROUBLE = re.compile(r"Traceback|\bERROR\b|\bCRITICAL\b|Exception")


def main() -> int:
    options = _options()
    console = Console()
    if reason := missing_servers():
        console.print(reason)
        return 77
    messages = corpus.read_messages(corpus.fetch(), options.limit)
    console.print(f"{len(messages)} messages, {options.sessions} sessions at a time")
    kinds = ("postfix", "sendmail") if options.mta == "both" else (options.mta,)
    good = [_one_mta(kind, messages, options, console) for kind in kinds]
    return 0 if all(good) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mta", choices=("postfix", "sendmail", "both"), default="both")
    parser.add_argument("--limit", type=int, help="only so many messages, spread over the corpus")
    parser.add_argument("--sessions", type=int, default=4, help="SMTP sessions at the same time (default: 4)")
    parser.add_argument("--workers", type=int, default=2, help="worker processes of the filter (default: 2)")
    parser.add_argument("--config", type=Path, help="milter.cfg to use instead of the built-in one")
    parser.add_argument("--ours", default=OURS, help="header fields which the filter may add (default: %(default)s)")
    parser.add_argument("--notice", default="removed", help="text that stands in a replaced attachment")
    parser.add_argument("--show", type=int, default=20, help="how many differences to print (default: 20)")
    parser.add_argument("--keep-log", type=Path, help="copy the filter's log there")
    return parser.parse_args()


def _one_mta(kind: str, messages: list[corpus.CorpusMessage], options: argparse.Namespace, console: Console) -> bool:
    config = options.config.read_text() if options.config else CONFIG
    with PrivateNetwork() as network, NameServer(network, complete([], {corpus.CLIENT: corpus.CLIENT_NAME})):
        control, control_rate = _run(kind, network, messages, options, "", "without filter")
        with FilterProcess(network, config, workers=options.workers) as program:
            filtered, rate = _run(kind, network, messages, options, str(program.socket), "with bms.py")
            log = program.log()
    if options.keep_log:
        options.keep_log.with_suffix(f".{kind}").write_text(log)
    ours = frozenset(name.strip().lower().encode() for name in options.ours.split(","))
    compared = list(corpus.compare(messages, control, filtered, ours, options.notice.encode()))
    counts = Counter(outcome for _, outcome, _ in compared)
    marked = sum(corpus.carries(delivery, ours) for delivery in filtered.arrived.values())
    forged = sum(map(corpus.marked, control.arrived.values()))
    trouble = [line for line in log.splitlines() if _TROUBLE.search(line)]
    console.print(f"{kind}: {control_rate:.0f} messages/s without the filter, {rate:.0f} with it")
    console.print(f"{kind}: " + ", ".join(f"{number} {outcome}" for outcome, number in counts.most_common()))
    console.print(f"{kind}: {marked} carry fields of ours; {forged} came with marks of other filters")
    console.print(f"{kind}: {len(trouble)} lines of trouble in the filter's log")
    different = [line for line in compared if line[1] == "different"]
    for name, _, details in different[: options.show]:
        console.print(f"  {name}: {details[:600]}", markup=False, highlight=False)
    for line in trouble[: options.show]:
        console.print(f"  {line}", markup=False, highlight=False)
    # Without a single field of ours the filter was not attached, and the comparison says nothing; without a single mark of
    # others it says nothing of their removal; only a small part of the corpus may be without any.
    return not different and not trouble and marked > 0 and (forged > 0 or options.limit is not None)


def _run(
    kind: str,
    network: Network,
    messages: list[corpus.CorpusMessage],
    options: argparse.Namespace,
    socket: str,
    label: str,
) -> tuple[corpus.Run, float]:
    """One run through a fresh MTA; what came of it, and messages per second until the last one had arrived."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(Sink(network))
        mta: Mta
        if kind == "postfix":
            mta = stack.enter_context(Postfix(network, sink, [f"unix:{socket}"] if socket else []))
        else:
            mta = stack.enter_context(Sendmail(network, sink, [f"local:{socket}"] if socket else []))
        progress = stack.enter_context(Progress(*columns))
        task = progress.add_task(f"{kind} {label}", total=len(messages))
        began = time.monotonic()
        result = corpus.run(mta, messages, options.sessions, lambda: progress.advance(task))
        return result, len(messages) / (time.monotonic() - began)


if __name__ == "__main__":
    sys.exit(main())
