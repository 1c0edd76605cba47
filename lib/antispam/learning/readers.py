"""Processes that read messages ahead: the next ones are cut into features while others are taught.

They are forked before the process that teaches opens a database or starts a thread, and end with it.
"""

from __future__ import annotations

import collections
import contextlib
import multiprocessing
import os
import signal
from collections.abc import Iterable, Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

import numpy as np

from antispam.learning.feedback import Lesson
from antispam.protocols.mailboxes import Stored, identity
from dspam.features import extract

MOST = 4  # one process teaches no faster than these read
_WORTH_IT = 1 << 20  # octets of mail; less is read sooner than processes are started
# What a process is given at once ends with so many messages, or octets; a longer message is not handed over.
_TOGETHER = 50
_MAX_OCTETS = 1 << 20

Ahead = tuple[Stored, Lesson | None]
"""A message and what it teaches by its octets, None if nobody has read it yet."""


class Readers:
    """A context. Messages come out in the order in which they went in, whoever read them."""

    def __init__(self, number: int) -> None:
        """Fork so many processes."""
        self._started: list[tuple[int, Connection]] = []
        self._idle: list[Connection] = []
        # They leave Ctrl-C to the process that teaches.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            for _ in range(number):
                self._start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._idle.clear()
        for _, connection in self._started:
            connection.close()  # this ends the process
        for pid, _ in self._started:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
        self._started.clear()

    def ahead(self, messages: Iterable[Stored]) -> Iterator[Ahead]:
        """All messages, read where a process has time for it. At most a megabyte for each process is read ahead, beside one
        message that may be longer. After an exception other than GeneratorExit came out of it no more can be read."""
        if not self._started:
            yield from ((stored, None) for stored in messages)
            return
        under_way: collections.deque[tuple[list[Stored], Connection | None]] = collections.deque()
        for chunk in _chunks(messages):
            if len(chunk[0].raw) > _MAX_OCTETS:
                while under_way:
                    yield from self._answers(*under_way.popleft())
                yield chunk[0], None
                continue
            done = self._answers(*under_way.popleft()) if under_way and not self._idle else []
            under_way.append((chunk, self._ask(chunk)))
            yield from done
        while under_way:
            yield from self._answers(*under_way.popleft())

    def _start(self) -> None:
        try:
            here, there = multiprocessing.Pipe()
            pid = os.fork()
        except OSError:  # no more processes or files: what is there has to do
            return
        if pid == 0:
            for _, other in self._started:
                other.close()
            here.close()
            _serve(there)
        there.close()
        self._started.append((pid, here))
        self._idle.append(here)

    def _ask(self, chunk: list[Stored]) -> Connection | None:
        """The process that reads these messages; None if there is none any more."""
        if self._idle:
            reader = self._idle.pop(0)
            with contextlib.suppress(OSError):  # it has ended
                reader.send([stored.raw for stored in chunk])
                return reader
        return None

    def _answers(self, chunk: list[Stored], reader: Connection | None) -> Sequence[Ahead]:
        """What the messages teach, as far as the process has read them; it is idle then."""
        if reader is None:
            return [(stored, None) for stored in chunk]
        try:
            read: list[tuple[str, bytes]] = reader.recv()
        except (EOFError, OSError):  # it was killed: nobody asks it again
            return [(stored, None) for stored in chunk]
        self._idle.append(reader)
        lessons = [Lesson(name, np.frombuffer(keys, dtype=np.int64)) for name, keys in read]
        return list(zip(chunk, lessons, strict=True))


def readers_for(files: Iterable[Path]) -> Readers:
    """As many as this machine has processors for; none for little mail."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Readers(min(processors, MOST) if processors > 1 and _are_worth_it(files) else 0)


def _are_worth_it(files: Iterable[Path]) -> bool:
    octets = 0
    for file in files:
        with contextlib.suppress(OSError):
            octets += file.stat().st_size
        if octets >= _WORTH_IT:
            return True
    return False


def _chunks(messages: Iterable[Stored]) -> Iterator[list[Stored]]:
    """The messages in lists; a message that is longer than a list may be comes alone."""
    chunk: list[Stored] = []
    octets = 0
    for stored in messages:
        if chunk and (len(chunk) == _TOGETHER or octets + len(stored.raw) > _MAX_OCTETS):
            yield chunk
            chunk, octets = [], 0
        chunk.append(stored)
        octets += len(stored.raw)
    if chunk:
        yield chunk


def _serve(connection: Connection) -> NoReturn:
    """Read what comes, until the other end is closed. Whatever goes wrong, this process must not go on as the one it was
    forked from; what it did not read is read there."""
    try:
        with contextlib.suppress(EOFError, OSError):
            while True:
                connection.send([(identity(raw), extract(raw).tobytes()) for raw in connection.recv()])
    finally:
        os._exit(0)
