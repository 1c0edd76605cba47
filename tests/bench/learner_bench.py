"""How many messages a second one core reads and scores: ours beside bogofilter in bulk, after the same lessons.

Real mail (the SpamAssassin corpus) and HTML of 60 kB as newsletters are today. Both are measured in processor time, on the same
files, in turn; without bogofilter (apt-get install bogofilter-sqlite) ours alone.

    python tests/bench/learner_bench.py [--short] [--bogofilter PROGRAM]
"""

from __future__ import annotations

import argparse
import gc
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dspam import learner
from dspam.features import extract
from dspam.store.table import Table
from support.corpus import fetch
from support.tricks import text

ROUNDS = 3
GOALS = {"SpamAssassin corpus": 3000, "HTML of 60 kB": 1500}


def newsletter(kind: str, source: random.Random) -> bytes:
    """HTML of 60 kB: tables in tables, styles in most tags, little text."""
    style = "font-family:Arial,sans-serif;font-size:14px;line-height:21px;color:#333333;padding:0 12px 8px 12px"
    rows = []
    while sum(map(len, rows)) < 59_000:
        said, link = (
            text(kind, source, 12),
            f"https://www.shop.example/{source.randrange(10**9)}?utm={source.randrange(999)}",
        )
        rows.append(
            f'<tr><td align="left" style="{style}"><table width="100%" cellpadding="0" border="0"><tr><td class="cell" '
            f'style="{style}"><a href="{link}" style="color:#0055aa;text-decoration:none"><span>{said}</span></a><br>'
            f'<img src="{link}.png" width="120" height="80" alt="" style="display:block"></td></tr></table></td></tr>\n'
        )
    head = "<style>.cell{margin:0;padding:0} @media screen{.cell{width:100%}}</style>"
    return (
        "From: News <news@shop.example>\nTo: ann@example.org\nSubject: this week\nMIME-Version: 1.0\n"
        "Content-Type: text/html; charset=utf-8\n\n"
        f"<html><head>{head}</head><body><table>{''.join(rows)}</table></body></html>\n"
    ).encode()


class Ours:
    """A dictionary in memory."""

    def __init__(self, lessons: Sequence[tuple[Path, bool]]) -> None:
        self._table, self._totals = Table(), learner.Totals(0, 0)
        for path, is_spam in lessons:
            keys = learner.with_marks(extract(path.read_bytes()))
            self._table.add(keys, learner.deltas(keys, self._table.get(keys), is_spam, self._totals))
            self._totals = learner.Totals(self._totals.spam + is_spam, self._totals.ham + (not is_spam))

    def classify(self, paths: Sequence[Path]) -> float:
        """Seconds of processor time."""
        start = time.process_time()
        for path in paths:
            keys = learner.with_marks(extract(path.read_bytes()))
            learner.score(keys, self._table.get(keys), self._totals)
        return time.process_time() - start


class Bogofilter:
    """The program, with a word list of its own."""

    def __init__(self, program: str, folder: Path, lessons: Sequence[tuple[Path, bool]]) -> None:
        self._command = [program, "-C", "-d", str(folder)]
        for option, wanted in (("-s", True), ("-n", False)):
            self._run([option], [path for path, is_spam in lessons if is_spam == wanted])

    def _run(self, options: Sequence[str], paths: Sequence[Path]) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        names = "".join(f"{path}\n" for path in paths)
        done = subprocess.run(
            [*self._command, *options, "-b"], input=names, text=True, stdout=subprocess.DEVNULL, check=False
        )
        if done.returncode > 2:  # 0 to 2 are verdicts
            raise RuntimeError(f"bogofilter ended with {done.returncode}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    def classify(self, paths: Sequence[Path]) -> float:
        """Seconds of processor time."""
        return self._run([], paths)


def compare(name: str, lessons: list[tuple[Path, bool]], paths: list[Path], program: str | None, folder: Path) -> bool:
    """Print a line, and say whether the goal was reached."""
    peers: dict[str, Callable[[Sequence[Path]], float]] = {"ours": Ours(lessons).classify}
    if program:
        peers["bogofilter"] = Bogofilter(program, folder, lessons).classify
    spent: dict[str, list[float]] = {peer: [] for peer in peers}
    for _ in range(ROUNDS):
        for peer, classify in peers.items():
            spent[peer].append(classify(paths))
    rates = {peer: len(paths) / statistics.median(seconds) for peer, seconds in spent.items()}
    shown = ", ".join(f"{peer} {rate:,.0f}/s" for peer, rate in rates.items())
    ratio = f", ratio {rates['ours'] / rates['bogofilter']:.2f}" if program else ""
    met = rates["ours"] >= GOALS[name]
    print(f"{name}: {shown}{ratio}; goal {GOALS[name]:,}/s {'met' if met else 'missed'}", flush=True)
    return met


def main(argv: list[str]) -> int:
    """The exit status says whether all figures were reached."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--short", action="store_true", help="fewer messages")
    parser.add_argument("--bogofilter", default=shutil.which("bogofilter"), help="the program to compare with")
    options, _ = parser.parse_known_args(argv)
    if options.bogofilter is None:
        print("bogofilter is not here (apt-get install bogofilter-sqlite): ours alone")
    number = 300 if options.short else 1000
    mail = [(path, path.parent.name.startswith("spam")) for path in sorted(fetch().rglob("*.txt"))]
    random.Random(1).shuffle(mail)
    with tempfile.TemporaryDirectory(prefix="bms-learner-") as name:
        folder = Path(name)
        source, html = random.Random(2), []
        for count in range(number // 2):
            kind = "spam" if count % 2 else "ham"
            html.append((folder / f"{count}.eml", kind == "spam"))
            html[-1][0].write_bytes(newsletter(kind, source))
        gc.freeze()  # as the processes of the filter do: a collection of all that was loaded is not what mail waits for
        met = []
        for title, messages in (("SpamAssassin corpus", mail[: 2 * number]), ("HTML of 60 kB", html)):
            half = len(messages) // 2
            words = folder / f"words-{half}"
            words.mkdir(exist_ok=True)
            paths = [path for path, _ in messages[half:]]
            met.append(compare(title, messages[:half], paths, options.bogofilter, words))
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
