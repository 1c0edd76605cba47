"""What the filter marks on its first day, before anybody has taught it anything, and without network lists.

Ours (the points of all checks that need neither network nor store) beside SpamAssassin 4 and rspamd without network and Bayes,
over the SpamAssassin public corpus, phishing mail of 2022 to 2026 (rf-peixoto/phishing_pot, odd numbers), and honest mail of
today in layouts that npm packages ship. Half 0 of each collection, by a hash of the message, is what points were chosen on;
half 1 confirms them.

    python -m tests.bench.evaluate_untrained [--phishing CLONE] [--even] [--trust-results] [--peers EVERY_NTH]
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

TOP = Path(__file__).resolve().parents[2]
for place in (TOP, TOP / "lib", TOP / "tests"):
    sys.path.insert(0, str(place))

from tests.bench.untrained import collections, ours, rspamd, spamassassin  # noqa: E402
from tests.bench.untrained.collections import Mail, UnavailableError  # noqa: E402

from support.places import CACHE  # noqa: E402 - the tests' own helpers are beside the tests

MARK, REFUSE = 6.0, 15.0


class Kind(NamedTuple):
    """A collection: its name, whether it is honest, and what share of it may be marked at most, or shall be at least."""

    name: str
    honest: bool
    wanted: float
    mails: list[Mail]


def _kinds(options: argparse.Namespace, console: Console) -> list[Kind]:
    found = [
        Kind("SpamAssassin corpus, ham", True, 0.1, collections.corpus("ham")),
        Kind("SpamAssassin corpus, spam", False, 60.0, collections.corpus("spam")),
        Kind("honest layouts of today", True, 0.2, collections.honest(CACHE)),
    ]
    try:
        pot = collections.phishing(options.phishing, CACHE, 0 if options.even else 1)
        found.append(Kind(f"phishing, {'even' if options.even else 'odd'} numbers", False, 40.0, pot))
    except UnavailableError as error:
        console.print(f"phishing mail: skipped, {error}")
    return found


def _share(scores: Sequence[float], least: float) -> str:
    return f"{100 * sum(one >= least for one in scores) / max(1, len(scores)):.2f}"


def _ours(kinds: Sequence[Kind], trusted: bool, console: Console) -> None:
    table = Table("", "half", "messages", "marked %", "to reach", "refused %", "highest", title="ours, untrained, in %")
    tests: Counter[str] = Counter()
    for kind in kinds:
        scored = [(mail.half, ours.score(mail.raw, trusted=trusted)) for mail in kind.mails]
        for half in (0, 1):
            totals = [score.total for at, score in scored if at == half]
            wanted = f"{'<=' if kind.honest else '>='} {kind.wanted:g}"
            name = kind.name if half == 0 else ""
            highest = f"{max(totals, default=0):.1f}"
            cells = (str(len(totals)), _share(totals, MARK), wanted, _share(totals, REFUSE), highest)
            table.add_row(name, "chosen on" if half == 0 else "confirms", *cells)
        if kind.honest:
            tests.update(name for _, score in scored if score.total >= MARK for name, _ in score.tests)
    console.print(table)
    if tests:
        console.print(
            "tests of honest mail that was marked:", ", ".join(f"{name} {n}" for name, n in tests.most_common(12))
        )


def _peers(kinds: Sequence[Kind], step: int, trusted: bool, console: Console) -> None:
    """Every nth message by all, since SpamAssassin takes a tenth of a second for one."""
    chosen = [kind.mails[::step] for kind in kinds]
    mails = [mail for some in chosen for mail in some]
    columns = [("ours", MARK, [ours.score(mail.raw, trusted=trusted).total for mail in mails])]
    for name, peer in (("SpamAssassin", spamassassin), ("rspamd", rspamd)):
        try:
            columns.append((name, peer.MARK, peer.scores(mails, CACHE)))
        except UnavailableError as error:
            console.print(f"{name}: skipped, {error}")
    table = Table(
        "", "messages", *(f"{name} %" for name, _, _ in columns), title=f"every {step}th message, marked in %"
    )
    at = 0
    for kind, some in zip(kinds, chosen, strict=True):
        shares = (_share(scores[at : at + len(some)], mark) for _, mark, scores in columns)
        table.add_row(kind.name, str(len(some)), *shares)
        at += len(some)
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description="What the filter marks before anybody has taught it anything.")
    parser.add_argument("--phishing", type=Path, help="a clone or git directory of phishing_pot; fetched without")
    parser.add_argument("--even", action="store_true", help="its samples with even numbers, which nobody has looked at")
    parser.add_argument("--trust-results", action="store_true", help="believe the receiver's Authentication-Results")
    parser.add_argument("--peers", type=int, default=20, help="every nth message goes to the peers; 0 is none")
    options = parser.parse_args()
    os.nice(10)
    console = Console(width=120)
    kinds = _kinds(options, console)
    _ours(kinds, options.trust_results, console)
    if options.peers:
        _peers(kinds, options.peers, options.trust_results, console)


if __name__ == "__main__":
    main()
