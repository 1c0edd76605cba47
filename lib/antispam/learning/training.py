"""`train`: teaches from mailboxes. Messages are committed in batches. Ctrl-C completes the current batch, so nothing is
lost. Repeated lessons teach nothing, so the same command resumes the work. Other processes read messages ahead (`readers`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from antispam.learning.feedback import Lesson, lesson_of
from antispam.learning.forwards import stored as stored_message
from antispam.learning.readers import Readers
from antispam.learning.teacher import Teacher
from antispam.protocols.mailboxes import MailboxError, Stored, identity, is_mail, messages
from antispam.store import Store
from dspam.features import extract
from dspam.store import Taught

FOLD_EVERY = 1000  # messages
# The limits of a batch: messages, and octets of mail and keys. So memory is bounded, and mail waits only for
# milliseconds.
BATCH = 100
_MAX_OCTETS = 8 << 20
_KEY = 16  # approximate octets of a key in the database and in memory


@dataclasses.dataclass(slots=True)
class Result:
    """The result of a training run.

    last  the name of the last committed message; "" for none
    """

    learned: int = 0
    known: int = 0
    corrected: int = 0
    taken_back: int = 0
    unreadable: list[str] = dataclasses.field(default_factory=list)
    last: str = ""

    @property
    def seen(self) -> int:
        return self.learned + self.known + self.corrected + self.taken_back

    def count(self, taught: Taught) -> None:
        self.learned += taught is Taught.LEARNED
        self.known += taught is Taught.REPLAY
        self.corrected += taught is Taught.RETRAINED


def read_all(files: Iterable[Path], problems: list[str]) -> Iterator[Stored]:
    """The messages of all files. Unreadable files are added to `problems` and skipped."""
    for file in files:
        try:
            yield from messages(file)
        except MailboxError as error:
            problems.append(str(error))


def by_octets(raw: bytes) -> Lesson:
    """The lesson of a message unknown to this filter: its octets."""
    return Lesson(identity(raw), extract(raw))


@dataclasses.dataclass(frozen=True, slots=True)
class Means:
    """Further actions of training.

    done         called with each message after it is processed
    fingerprint  called for each message that taught something, or whose lesson was undone
    known        returns the stored lesson of a message, None if the message is to be read
    """

    done: Callable[[Stored], None] = lambda stored: None
    fingerprint: Callable[[Stored], object] = lambda stored: None
    known: Callable[[bytes], Lesson | None] = lambda raw: None


def by_signature(store: Store, user: str, teacher: Teacher) -> Callable[[bytes], Lesson | None]:
    """A function that returns what the filter stored under the signature of a message in a user's mailbox, so that the
    message counts once however else it is taught; None if nothing, or if it was once taught by its octets, and stays
    so. The function raises StoreError.
    """

    def known(raw: bytes) -> Lesson | None:
        if not _may_be_signed(raw) or teacher.said(identity(raw)) is not None:
            return None
        (report,) = stored_message(raw).reports
        return lesson_of(report, user, teacher.number, store)

    return known


def _may_be_signed(raw: bytes) -> bool:
    capitals = raw.upper()  # two plain searches, in a third of the time of a case-insensitive pattern
    return b"DSPAM-" in capitals or b"DSPAM:" in capitals


class _Batch:
    """A batch of messages that are taught together."""

    def __init__(self, teacher: Teacher, is_spam: bool, result: Result, means: Means) -> None:
        self._teacher = teacher
        self._is_spam = is_spam
        self._result = result
        self._means = means
        self._lessons: list[tuple[Stored, Lesson]] = []
        self._octets = 0
        self._taught: list[Taught | None] = []  # of the committed messages

    def add(self, stored: Stored, lesson: Lesson) -> None:
        self._lessons.append((stored, lesson))
        self._octets += len(stored.raw) + _KEY * len(lesson.keys)
        if len(self._lessons) >= BATCH or self._octets >= _MAX_OCTETS:
            self.teach()

    def teach(self) -> None:
        """Teach all messages. After an interruption it can be called again, and continues. Raises StoreError."""
        if self._lessons and not self._taught:
            lessons = [(lesson.name, lesson.keys) for _, lesson in self._lessons]
            self._taught = self._teacher.learn_together(lessons, self._is_spam)
        while self._taught:
            (stored, lesson), taught = self._lessons[0], self._taught[0]
            if taught is None:  # learned as the opposite
                taught = self._teacher.learn(lesson.name, lesson.keys, self._is_spam)
            del self._lessons[0], self._taught[0]
            self._result.count(taught)
            self._result.last = stored.name
            if taught is not Taught.REPLAY:
                self._means.fingerprint(stored)
            self._means.done(stored)
        self._octets = 0


def train(
    teacher: Teacher,
    files: Iterable[Path],
    is_spam: bool,
    *,
    undo: bool = False,
    result: Result | None = None,
    means: Means | None = None,
    readers: Readers | None = None,
) -> Result:
    """Teach (or undo) every message of the files. `result` is filled continuously, for use after an interruption;
    `readers` read ahead in separate processes."""
    result, means, readers = result or Result(), means or Means(), readers or Readers(0)
    if undo:
        _take_back(teacher, files, result, means)
        return result
    batch, folded = _Batch(teacher, is_spam, result, means), 0
    try:
        for stored, read in readers.ahead(read_all(files, result.unreadable)):
            if stored.raw.strip() and (stored.from_line or is_mail(stored.raw)):
                batch.add(stored, means.known(stored.raw) or read or by_octets(stored.raw))
            else:
                _pass_over(stored, result)
                means.done(stored)
            if result.seen - folded >= FOLD_EVERY:
                teacher.fold()
                folded = result.seen
    except KeyboardInterrupt:
        batch.teach()
        raise
    batch.teach()
    teacher.fold()
    return result


def _pass_over(stored: Stored, result: Result) -> None:
    if stored.raw.strip():
        result.unreadable.append(f"{stored.name}: not a mail message; nothing learned")
    else:
        result.known += 1


def _take_back(teacher: Teacher, files: Iterable[Path], result: Result, means: Means) -> None:
    """Undo the lessons, with a commit after each message."""
    for number, stored in enumerate(read_all(files, result.unreadable), 1):
        known = means.known(stored.raw)
        if stored.raw.strip() and teacher.forget(known.name if known else identity(stored.raw)):
            result.taken_back += 1
            result.last = stored.name
            means.fingerprint(stored)
        else:
            result.known += 1
        means.done(stored)
        if number % FOLD_EVERY == 0:
            teacher.fold()
    teacher.fold()
