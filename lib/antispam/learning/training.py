"""`train`: teaches from mailboxes. Each message is committed before the next, so that Ctrl-C loses nothing, and a message
that was taught before teaches nothing, so that the same command resumes."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from antispam.learning.feedback import Lesson, lesson_of
from antispam.learning.forwards import stored as stored_message
from antispam.learning.teacher import Teacher
from antispam.protocols.mailboxes import MailboxError, Stored, identity, is_mail, messages
from antispam.store import Store
from dspam.features import extract
from dspam.store import Taught

FOLD_EVERY = 1000  # messages
_MAYBE_SIGNED = re.compile(rb"DSPAM[-:]", re.IGNORECASE)


@dataclasses.dataclass(slots=True)
class Result:
    """The result of a training run."""

    learned: int = 0
    known: int = 0
    corrected: int = 0
    taken_back: int = 0
    unreadable: list[str] = dataclasses.field(default_factory=list)

    @property
    def seen(self) -> int:
        return self.learned + self.known + self.corrected + self.taken_back


def read_all(files: Iterable[Path], problems: list[str]) -> Iterator[Stored]:
    """The messages of all files; a file that can't be read is noted and the others go on."""
    for file in files:
        try:
            yield from messages(file)
        except MailboxError as error:
            problems.append(str(error))


def by_octets(raw: bytes) -> Lesson:
    """What a message is that this filter never saw: its octets."""
    return Lesson(identity(raw), extract(raw))


def by_signature(store: Store, user: str, teacher: Teacher) -> Callable[[bytes], Lesson]:
    """What a message of a user's mailbox is: what the filter stored of it under its signature, so that it counts once, however
    else it was or will be taught; else its octets. What was once taught by its octets stays that. It raises StoreError."""

    def lesson(raw: bytes) -> Lesson:
        if not _MAYBE_SIGNED.search(raw) or teacher.said(identity(raw)) is not None:
            return by_octets(raw)
        (report,) = stored_message(raw).reports
        return lesson_of(report, user, teacher.number, store) or by_octets(raw)

    return lesson


def train(
    teacher: Teacher,
    files: Iterable[Path],
    is_spam: bool,
    *,
    undo: bool = False,
    result: Result | None = None,
    done: Callable[[Stored], None] = lambda stored: None,
    fingerprint: Callable[[Stored], object] = lambda stored: None,
    lesson: Callable[[bytes], Lesson] = by_octets,
) -> Result:
    """Teach (or take back) every message of the files. `result` is filled as it goes, for whoever interrupts; `fingerprint` is
    called for each message that taught something, or whose lesson was taken back; `lesson` says what a message teaches."""
    result = result or Result()
    for stored in read_all(files, result.unreadable):
        if not stored.raw.strip():
            result.known += 1
        elif not undo and not stored.from_line and not is_mail(stored.raw):
            result.unreadable.append(f"{stored.name}: not a mail message; nothing learned")
        elif undo:
            if teacher.forget(lesson(stored.raw).name):
                result.taken_back += 1
                fingerprint(stored)
            else:
                result.known += 1
        else:
            what = lesson(stored.raw)
            taught = teacher.learn(what.name, what.keys, is_spam)
            result.learned += taught is Taught.LEARNED
            result.known += taught is Taught.REPLAY
            result.corrected += taught is Taught.RETRAINED
            if taught is not Taught.REPLAY:
                fingerprint(stored)
        done(stored)
        if result.seen % FOLD_EVERY == 0:
            teacher.fold()
    teacher.fold()
    return result
