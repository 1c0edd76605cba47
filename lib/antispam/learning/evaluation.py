"""`evaluate`: measures how well the filter classifies labelled mail.

The mail is read in the index's order, as it would have arrived: each message is classified first and taught afterwards.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from antispam.learning.figures import Judged
from antispam.learning.teacher import Teacher
from antispam.protocols.mailboxes import MailboxError, message


class IndexMistake(ValueError):
    """A line of an index that can't be used; its text names file and line."""


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One line of an index: what the message is, its path as written, and where that is."""

    is_spam: bool
    name: str
    path: Path


@dataclasses.dataclass(slots=True)
class Run:
    """The results, and the seconds spent."""

    judged: list[Judged] = dataclasses.field(default_factory=list)
    classifying: float = 0.0
    training: float = 0.0

    @property
    def classify_per_s(self) -> float:
        return len(self.judged) / self.classifying if self.classifying else 0.0

    @property
    def train_per_s(self) -> float:
        return len(self.judged) / self.training if self.training else 0.0


def read_index(index: Path) -> list[Entry]:
    """The TREC spam track's format: `spam path` or `ham path` a line, paths relative to the index; lines that are empty or
    start with # are left out. Raises IndexMistake at the first line that is neither, or whose file is missing."""
    try:
        lines = index.read_text("utf-8", "surrogateescape").splitlines()
    except OSError as error:
        raise IndexMistake(f"{index}: cannot be read: {error.strerror}") from error
    return [_entry(index, number, line) for number, line in enumerate(lines, 1) if line.strip() and line[0] != "#"]


def _entry(index: Path, number: int, line: str) -> Entry:
    label, _, name = line.strip().partition(" ")
    if label.lower() not in ("spam", "ham") or not name.strip():
        raise IndexMistake(f"{index}:{number}: expected 'spam path' or 'ham path', found {line[:60]!r}")
    path = index.parent / name.strip()
    if not path.is_file():
        raise IndexMistake(f"{index}:{number}: there is no file {path}")
    return Entry(label.lower() == "spam", name.strip(), path)


def evaluate(
    teacher: Teacher,
    entries: Sequence[Entry],
    *,
    run: Run | None = None,
    done: Callable[[Judged], None] = lambda judged: None,
    clock: Callable[[], float] = time.perf_counter,
) -> Run:
    """Classify each message, then teach what it is, committed before the next. `run` is filled as it goes."""
    run = run or Run()
    for entry, raw in read(entries):
        start = clock()
        score = teacher.classify(raw)
        middle = clock()
        teacher.teach(raw, entry.is_spam)
        run.classifying += middle - start
        run.training += clock() - middle
        run.judged.append(Judged(entry.name, entry.is_spam, score.probability, score.is_spam))
        done(run.judged[-1])
    return run


def read(entries: Sequence[Entry]) -> Iterator[tuple[Entry, bytes]]:
    """Each message of an index, read when it is asked for. Raises IndexMistake for one that can't be read."""
    for entry in entries:
        try:
            yield entry, message(entry.path)
        except MailboxError as error:
            raise IndexMistake(str(error)) from error
