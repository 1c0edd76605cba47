"""The process that tries configurations, so that the console stays responsive. It is limited, and ended when its time
is up.

It is forked before the console opens a database or starts a thread, and forks in turn for each trial. Whatever a trial
uses or breaks ends with it.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import resource
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import NoReturn

import msgspec

from antispam.service.trying import SECONDS, Question, Trial
from antispam.text import for_log

log = logging.getLogger(__name__)

LONGEST = SECONDS + 15.0  # seconds for a trial, including the work before and after deciding
MEMORY = 1 << 30  # octets beyond the current size of the process
_NICE = 10

Try = Callable[[Question], Trial]


class Busy(Exception):
    """Another trial is still running."""


class Failed(Exception):
    """The trial gave no answer: it exceeded its time or memory, or the database did not answer; the log says which."""


class Trials:
    """The client of the process. Safe from any thread; one trial at a time."""

    def __init__(self, connection: Connection, longest: float = LONGEST) -> None:
        self._connection = connection
        self._longest = longest
        self._one = threading.Lock()

    def ask(self, question: Question) -> Trial:
        """Run a trial and return its result. Raises Busy and Failed."""
        if not self._one.acquire(blocking=False):
            raise Busy
        try:
            self._connection.send_bytes(msgspec.json.encode(question))
            if not self._connection.poll(self._longest + 5.0):
                self._connection.close()  # a late answer must not be taken for that of the next question
                raise Failed
            answer = self._connection.recv_bytes()
            return msgspec.json.decode(answer, type=Trial)
        except (OSError, EOFError, msgspec.DecodeError) as error:
            raise Failed from error
        finally:
            self._one.release()


@contextlib.contextmanager
def forked(work: Try, longest: float = LONGEST) -> Iterator[Trials]:
    """Run the process until the end of the block or of this process."""
    here, there = multiprocessing.Pipe()
    pid = os.fork()
    if pid == 0:
        here.close()
        _serve(there, work, longest)
    there.close()
    try:
        yield Trials(here, longest)
    finally:
        here.close()  # this ends it
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)


def _serve(connection: Connection, work: Try, longest: float) -> NoReturn:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    with contextlib.suppress(OSError, EOFError):  # the console has ended
        while True:
            connection.send_bytes(_one(connection.recv_bytes(), connection, work, longest))
    os._exit(0)


def _one(question: bytes, connection: Connection, work: Try, longest: float) -> bytes:
    """The answer, computed in a separate process; b"" if there is none."""
    ours, its = multiprocessing.Pipe(duplex=False)
    with tempfile.TemporaryDirectory(prefix="bms-try-") as scratch:  # for whatever it leaves behind
        pid = os.fork()
        if pid == 0:
            connection.close()
            ours.close()
            tempfile.tempdir = scratch
            _try(its, question, work)
        its.close()
        try:
            return ours.recv_bytes() if ours.poll(longest) else b""
        except (OSError, EOFError):
            return b""
        finally:
            ours.close()
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _try(answer: Connection, question: bytes, work: Try) -> NoReturn:
    try:
        os.nice(_NICE)
        resource.setrlimit(resource.RLIMIT_AS, (_size() + MEMORY,) * 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        answer.send_bytes(msgspec.json.encode(work(msgspec.json.decode(question, type=Question))))
    except Exception as error:  # noqa: BLE001 - whatever it is: this process must not go on as the one it was forked from
        log.error("console: a configuration could not be tried: %s: %s", type(error).__name__, for_log(str(error)))
    finally:
        os._exit(0)


def _size() -> int:
    """The octets of this process's address space."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[0]) * resource.getpagesize()
