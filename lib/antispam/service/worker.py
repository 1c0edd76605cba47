"""The worker's side of supervision: serving on the parent's socket, the heartbeat, and stopping without losing mail.

libmilter keeps the main thread inside smfi_main and lets no Python signal handler run there, so a small thread
communicates with the parent. It needs the interpreter lock: if it falls silent, the worker hangs.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import math
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, Protocol

from antispam.chores import failures, steady
from antispam.net.sockets import private_path, silent_listener
from antispam.service import logs
from antispam.service.activity import DrainUntil, Load, Pulse
from antispam.service.allocation import keep_little
from antispam.service.board import Board, Page
from antispam.service.channel import Channel
from antispam.service.exhaustion import exhausted, raise_limits

log = logging.getLogger(__name__)

POLL_SECONDS = 0.05
# When a callback has returned, its reply is not yet sent: libmilter writes it afterwards without notice.
SETTLE_SECONDS = 0.25
STOP_SECONDS = 10.0


class LowMilter(Protocol):
    """The part of the `milter` module that is needed; register() has been called."""

    def setconn(self, conn: str, /) -> object:
        """smfi_setconn"""

    def opensocket(self, rmsock: int, /) -> object:
        """smfi_opensocket"""

    def listening_fd(self) -> int | None:
        """The descriptor that opensocket() opened"""

    def main(self) -> object:
        """smfi_main"""

    def stop(self) -> object:
        """smfi_stop"""

    def getdiag(self) -> tuple[int, int]:
        """The numbers of contexts created and freed."""


@dataclass(frozen=True, slots=True)
class Drain:
    """An order to stop: what to wait for, and until when (monotonic seconds)."""

    until: DrainUntil
    deadline: float


class WorkerContext:
    """The context of `serve`: the worker's identity, and how to run libmilter on the parent's socket."""

    def __init__(
        self,
        channel: Channel,
        listening: socket.socket,
        *,
        generation: int,
        slot: int,
        beat_every: float,
        orphan_limit: float,
        reopen_logs: Callable[[], None],
        pulse: Pulse | None = None,
        page: Page | None = None,
    ) -> None:
        self.page = page or Board().page(None)
        self.generation = generation
        self.slot = slot
        self.pulse = pulse or Pulse()
        self._channel = channel
        self._listening = listening
        self._beat_every = beat_every
        self._orphan_limit = orphan_limit
        self._reopen_logs = reopen_logs
        self._probe: Callable[[], Load] | None = None
        self._note: Callable[[Load], None] = _ignore
        self._milter: LowMilter | None = None
        self._listening_at = -1
        self._silent: socket.socket | None = None
        self._orphaned = False
        self._exhausted = False
        self._drain: Drain | None = None
        self._over_since = math.inf
        self._stop_deadline = math.inf
        self._served = False
        self._finished = False

    def watch(self, probe: Callable[[], Load], note: Callable[[Load], None] | None = None) -> None:
        """Set `probe`, which reports the worker's load and is called from another thread, for example an Activity's
        `load`. `note` gets the load at each beat.

        Without a probe only sessions are known, and a stop waits for no message.
        """
        self._probe = probe
        self._note = note or _ignore

    @property
    def leaving(self) -> bool:
        """Whether the parent (or its death) told this worker to leave."""
        return self._drain is not None

    def ready(self) -> None:
        """Report that a side server is alive; run() does so for a worker."""
        self._channel.send("ready")

    def run(self, milter: LowMilter) -> None:
        """Run libmilter on the parent's socket until the parent stops it.

        The callbacks are set and register() was called; setconn() and opensocket() are done here. The caller then
        cleans up (flushes queues, closes the store) and returns. Raises what milter.main() raises.
        """
        self._listening_at = adopt(milter, self._listening)
        self._silent = silent_listener()
        self._milter = milter
        self._channel.send("ready")
        try:
            milter.main()
        finally:
            self._served = True

    # The thread that speaks with the parent

    def speak(self) -> None:
        """Send heartbeats and obey orders until the process ends; the body of the heartbeat thread."""
        next_beat = 0.0
        while not self._finished:
            now = time.monotonic()
            if now >= next_beat:
                self._beat()
                next_beat = now + self._beat_every
            self._advance_drain(now)
            self._listen(POLL_SECONDS if self._drain else next_beat - now)

    def _load(self) -> Load:
        if self._probe is not None:
            return self._probe()
        opened, closed = self._milter.getdiag() if self._milter is not None else (0, 0)
        return Load(sessions=opened - closed)

    def _beat(self) -> None:
        logs.flush()
        if not self._exhausted and (reason := exhausted()):
            self._exhausted = True
            log.error("worker %d: %s; it is replaced", self.slot, reason)
            self._channel.send("exhausted", reason)
        load = self._load()
        self._channel.send("beat", load.sessions, load.messages, f"{load.oldest:.3f}")
        self._note(load)

    def _listen(self, seconds: float) -> None:
        if self._orphaned:
            time.sleep(seconds)
            return
        readable, _, _ = select.select([self._channel], [], [], max(seconds, 0.0))
        while readable and (line := self._channel.receive()) != "":
            if line is None:
                self._mourn()
                return
            self._follow(line.split())

    def _mourn(self) -> None:
        """The parent died, so nobody would replace or end this worker: finish the messages in flight and stop."""
        self._orphaned = True
        if self._drain is None:
            log.warning("the supervisor is gone; worker %d finishes its messages and stops", self.slot)
            self._follow(["drain", "messages", str(self._orphan_limit)])

    def _follow(self, words: list[str]) -> None:
        match words:
            case ["drain", "sessions" | "messages" as until, seconds]:
                self._stop_listening()
                what: DrainUntil = "sessions" if until == "sessions" else "messages"
                self._drain = Drain(what, time.monotonic() + float(seconds))
                self._channel.send("closed")
            case ["reopen"]:
                reopen(self._reopen_logs)

    def _stop_listening(self) -> None:
        """Replace the listening socket by an unreachable one: open sessions go on, new ones cannot start."""
        if self._milter is None:
            log.info("worker %d was told to stop before it started", self.slot)
            leave(0)
        if self._silent is not None:
            os.dup2(self._silent.fileno(), self._listening_at, inheritable=False)
            self._silent.close()
            self._silent = None
            self._listening.close()
            self._interrupt_libmilter()  # its poll() still waits for the old socket

    def _advance_drain(self, now: float) -> None:
        if self._drain is None or self._milter is None:
            return
        if now >= self._stop_deadline:
            log.warning("worker %d did not stop within %d s and is ended", self.slot, STOP_SECONDS)
            leave(os.EX_SOFTWARE)
        if self._stop_deadline < math.inf:
            # libmilter checks for a stop only every 5 s, or when its poll() is interrupted.
            self._interrupt_libmilter()
            return
        load = self._load()
        if not load.is_over(self._drain.until):
            self._over_since = math.inf
        elif self._over_since == math.inf:
            self._over_since = now
        if now - self._over_since >= SETTLE_SECONDS or now >= self._drain.deadline:
            if load.messages:
                log.warning("worker %d cuts off %d messages; the MTA will try them again", self.slot, load.messages)
            # This waits for a lock held by libmilter's poll(), which _interrupt_libmilter() then frees.
            threading.Thread(target=self._milter.stop, name="stop", daemon=True).start()
            self._stop_deadline = now + STOP_SECONDS

    def _interrupt_libmilter(self) -> None:
        main = threading.main_thread().ident
        if main is not None and not self._served:
            signal.pthread_kill(main, signal.SIGUSR2)

    def finish(self, reason: str = "") -> None:
        """Report that serve() returned, or failed for `reason`, and end the heartbeat."""
        self._finished = True
        if reason:
            self._channel.send("failed", reason)


def adopt(milter: LowMilter, listening: socket.socket) -> int:
    """Make libmilter accept from `listening`, and return the descriptor that it believes it opened.

    libmilter only serves sockets that it opened itself, and only of the family that it opened. So it opens a
    placeholder of the same family, and `listening` takes that one's descriptor. So libmilter never knows the path of
    the real socket, which it would otherwise unlink at its end although its siblings still use it.
    """
    with private_path() as path:
        match listening.family:
            case socket.AF_UNIX:
                milter.setconn(f"unix:{path}")
            case socket.AF_INET6:
                milter.setconn("inet6:0@[::1]")
            case _:
                milter.setconn("inet:0@127.0.0.1")
        milter.opensocket(False)
    descriptor = milter.listening_fd()
    if descriptor is None:
        raise RuntimeError("libmilter opened no socket")
    os.dup2(listening.fileno(), descriptor, inheritable=False)
    return descriptor


def run_worker(serve: Callable[[WorkerContext], None], context: WorkerContext) -> NoReturn:
    """Run a forked worker; never returns. The exit status is 0 if serve() returned, 70 if it raised."""
    with contextlib.suppress(OSError, RuntimeError, AttributeError):  # stderr is not a file, or missing
        faulthandler.register(signal.SIGQUIT, all_threads=True)
    threading.excepthook = _report
    raise_limits()
    keep_little()
    steady("heart", context.speak, threading.Event(), pause=POLL_SECONDS).start()
    try:
        serve(context)
    except BaseException as error:  # the process ends here: no caller would see the exception
        log.exception("worker %d fails", context.slot)
        context.finish(f"{type(error).__name__}: {error}")
        leave(os.EX_SOFTWARE)
    context.finish()
    leave(0)


def _ignore(load: Load) -> None:
    pass


def _report(end: threading.ExceptHookArgs) -> None:
    """Log that a thread other than our permanent ones, for example a library's, ended in an exception."""
    if end.exc_type is not SystemExit and end.exc_value is not None:
        failures["others"] += 1
        name = end.thread.name if end.thread is not None else "a thread"
        log.error("ERROR %s ended", name, exc_info=(end.exc_type, end.exc_value, end.exc_traceback))


def reopen(logs: Callable[[], None]) -> None:
    """Call `logs`. A log file that cannot be opened must not end the process."""
    try:
        logs()
    except OSError as error:
        log.error("the log files cannot be reopened, the old ones stay in use: %s", error)
    except Exception:  # another milter's own function: mail goes on
        log.exception("the log files cannot be opened again")


def ignore_signals(*others: signal.Signals) -> None:
    """Ignore signals: a child obeys only its parent, through the pipe. USR2 only interrupts a system call."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, *others):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGUSR2, lambda *_: None)


def leave(status: int) -> NoReturn:
    """End a forked process without running its parent's exit handlers and test frameworks."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(status)
