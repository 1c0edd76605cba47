"""`evaluate`: measures how well the filter classifies labelled mail.

The mail is read in the order of the index, which is the order of arrival. Each message is first classified, then
taught.
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
    """An invalid line of an index. The text names the file and the line."""


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One line of an index: the message's class, its path as written, and the resolved path."""

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
    """Read an index in the TREC spam track's format: `spam path` or `ham path` per line, with paths relative to the
    index; empty lines and lines starting with # are skipped. Raises IndexMistake at the first line that is invalid or
    whose file is missing.
    """
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
    """Classify each message, then teach it, with a commit before the next. `run` is filled continuously."""
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
    """The messages of an index, each read on demand. Raises IndexMistake for an unreadable one."""
    for entry in entries:
        try:
            yield entry, message(entry.path)
        except MailboxError as error:
            raise IndexMistake(str(error)) from error
