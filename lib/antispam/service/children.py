"""The child processes of a supervisor: generations of workers, side servers, and the preparing process."""

from __future__ import annotations

import contextlib
import enum
import fcntl
import logging
import math
import os
import selectors
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from antispam.net.sockets import Listener, open_listener
from antispam.service.activity import DrainUntil, Load, Pulse
from antispam.service.board import Family
from antispam.service.channel import Channel
from antispam.service.plan import PrepareFailed, ProcessPlan
from antispam.service.privileges import find_user
from antispam.service.signals import HEARD_SIGNALS
from antispam.service.worker import WorkerContext, ignore_signals, leave, run_worker

log = logging.getLogger(__name__)


GRACE_SECONDS = 15.0
"""Beyond its own limit, a worker may take so long to leave before it is killed. Above worker.STOP_SECONDS."""
HURRY_SECONDS = 5.0
STACKS_SECONDS = 0.1
"""From the order to write its stacks until a child is killed."""
STOOD_STILL_SECONDS = 2.0
"""Where a wait for events took so much longer than it should, the machine stood still, and the children with it."""


class Restart(enum.StrEnum):
    """Why a worker was replaced."""

    ENDED = "ended"  # by itself, or by a signal
    HUNG = "hung"  # it fell silent and was killed
    STUCK = "stuck"  # one of its callbacks does not end
    EXHAUSTED = "exhausted"  # out of descriptors, memory or threads


FAMILIES = (
    Family("bms_start_time_seconds", "gauge", "when the program was started"),
    Family("bms_reloads_total", "counter", "reloads of the settings", ("outcome",), (("done",), ("refused",))),
    Family("bms_workers", "gauge", "workers, as the settings want them and as they are", ("state",),
           (("wanted",), ("ready",), ("leaving",))),
    Family("bms_worker_restarts_total", "counter", "workers that were replaced because they failed", ("why",),
           tuple((str(why),) for why in Restart)),
)  # fmt: skip
"""The counters of the supervisor."""


class Backoff:
    """The pauses between starts of one worker: none after a long life, otherwise twice the last one."""

    def __init__(self, stable: float, longest: float) -> None:
        self._stable = stable
        self._longest = longest
        self._failures = 0

    def pause(self, lived: float) -> float:
        """Seconds to wait before the next start, after a life of `lived` seconds."""
        if lived >= self._stable:
            self._failures = 0
        else:
            self._failures += 1
        return 0.0 if self._failures <= 1 else min(self._longest, 0.5 * 2 ** min(self._failures - 2, 30))


@dataclass(eq=False)
class Generation:
    """The workers of one plan. `due` has the time for each slot from which it may be filled (monotonic seconds)."""

    number: int
    plan: ProcessPlan
    listener: Listener
    backoffs: list[Backoff]
    due: list[float]

    @classmethod
    def of(cls, number: int, plan: ProcessPlan, listener: Listener) -> Generation:
        """A generation that has no workers yet."""
        backoffs = [Backoff(plan.limits.stable, plan.limits.backoff) for _ in range(plan.slots)]
        return cls(number, plan, listener, backoffs, [0.0] * plan.slots)

    def take_over(self, old: Generation | None) -> None:
        """Apply the parts of the new plan that concern the parent. A refused plan changes nothing."""
        plan = self.plan
        try:
            plan.open_logs()
            if old is not None and old.listener is self.listener:
                self.listener.protect(plan.socket_mode, group=-1 if plan.socket_group is None else plan.socket_group)
        except OSError as error:
            log.error("%s: the supervisor keeps its settings: %s", plan.name, error)

    def __str__(self) -> str:
        return f"{self.plan.name} serves with {self.plan.workers} workers, generation {self.number}"


def listen(plan: ProcessPlan) -> Listener:
    """Open the socket of the plan. Raises SocketUnavailable and UserError."""
    owner = find_user(plan.user).pw_uid if plan.user and os.geteuid() == 0 else -1
    group = plan.socket_group if plan.socket_group is not None else -1
    listener = open_listener(plan.socket, mode=plan.socket_mode, owner=owner, group=group, backlog=plan.backlog)
    log.info("%s listens on %s", plan.name, listener.spec)
    return listener


@dataclass(eq=False)
class Child:
    """A forked process, as the parent knows it. `slot` is None for the one that prepares."""

    pid: int
    channel: Channel
    generation: Generation
    slot: int | None
    started: float
    heard: float
    ready: bool = False
    leaving: bool = False
    closed: bool = False
    load: Load = field(default_factory=Load)
    condemned: bool = False
    kill_at: float = math.inf
    reason: str = ""
    pulse: Pulse = field(default_factory=Pulse)
    counted: int = 0

    def overdue(self, now: float) -> str:
        """The reason to kill it; "" for none. A worker that serves is alive even if it is too busy to report."""
        limits = self.generation.plan.limits
        if now >= self.kill_at:
            return "it did not leave in time"
        if self.slot is None:
            return f"it took longer than {limits.prepare:g} s" if now - self.started > limits.prepare else ""
        if (count := self.pulse.count()) != self.counted:
            self.counted, self.heard = count, now
        if now - self.heard > limits.silence:
            return f"it hung: nothing was heard from it for {limits.silence:g} s"
        if not self.ready and now - self.started > limits.start:
            return f"it was not ready after {limits.start:g} s"
        return ""

    def drain(self, until: DrainUntil, limit: float) -> None:
        """Tell it to leave; it is killed if it takes too long."""
        self.leaving = True
        if self.slot is None:
            self.kill_at = time.monotonic() + HURRY_SECONDS
            kill(self, signal.SIGTERM)
        else:
            self.kill_at = time.monotonic() + limit + (GRACE_SECONDS if limit else HURRY_SECONDS)
            self.channel.send("drain", until, f"{limit:g}")

    def condemn(self, reason: str) -> None:
        """Kill it shortly; its stacks are first written to stderr, to show where it hung."""
        log.error("%s is killed: %s", self, reason)
        self.reason, self.condemned, self.kill_at = reason, True, time.monotonic() + STACKS_SECONDS
        kill(self, signal.SIGQUIT)

    def __str__(self) -> str:
        side_server = self.generation.plan.side_server(self.slot)
        name = side_server.name if side_server is not None else f"worker {self.slot}"
        what = "preparation" if self.slot is None else f"{name} of generation {self.generation.number}"
        return f"{what} (pid {self.pid})"


class Children(dict[int, Child]):
    """The living processes by pid, each read through the selector."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        super().__init__()
        self._selector = selector

    def add(self, child: Child) -> None:
        """A child that was just forked."""
        self[child.pid] = child
        self._selector.register(child.channel, selectors.EVENT_READ, child)
        log.info("started %s", child)

    def vacant(self, generation: Generation) -> list[int]:
        """The empty slots of a generation."""
        taken = {child.slot for child in self.values() if child.generation is generation and not child.leaving}
        return [slot for slot in range(generation.plan.slots) if slot not in taken]

    def predecessor(self, child: Child) -> bool:
        """Whether an earlier process of its slot is still finishing its sessions."""
        others = [other for other in self.values() if other.generation is child.generation and other.slot == child.slot]
        return any(other.leaving for other in others)

    def excuse(self, seconds: float) -> None:
        """Move all deadlines by the time in which this process could not run: else a paused container or virtual machine kills
        all its workers when it goes on.
        """
        if seconds <= STOOD_STILL_SECONDS:
            return
        log.warning("this process did not run for %.0f s; its workers get that time again", seconds)
        for child in self.values():
            child.started += seconds
            child.heard += seconds
            child.kill_at += seconds

    def report(self, generation: Generation | None) -> None:
        """Write the number of workers to the board; nothing before the first generation serves."""
        if generation is None:
            return
        own, plan = generation.plan.board.own, generation.plan
        # Each child by its own plan: a slot of this one may not exist in a plan with fewer workers.
        beside = {pid for pid, child in self.items() if child.generation.plan.side_server(child.slot) is not None}
        workers = [child for pid, child in self.items() if child.slot is not None and pid not in beside]
        own.set("bms_workers", "wanted", to=plan.workers)
        own.set("bms_workers", "ready", to=sum(child.ready and not child.leaving for child in workers))
        own.set("bms_workers", "leaving", to=sum(child.leaving for child in workers))

    def prepare(self, generation: Generation) -> bool:
        """Whether the preparing process of that generation is still running."""
        return any(child.slot is None and child.generation is generation for child in self.values())

    def said(self, child: Child) -> Iterator[str]:
        """The lines that the child sent since the last call."""
        while (line := child.channel.receive()) != "":
            if line is None:
                self._unregister(child)
                return
            child.heard = time.monotonic()
            yield line

    def dead(self) -> Iterator[tuple[Child, int]]:
        """The children that ended, with their exit status. As process 1 of a container it also reaps other processes."""
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if (child := self.get(ended[0])) is not None:
                    yield child, os.waitstatus_to_exitcode(ended[1])

    def forget(self, child: Child) -> None:
        """Forget a dead child whose messages were all read."""
        self._unregister(child)
        child.channel.close()
        child.generation.plan.board.release(child.pulse.page)
        del self[child.pid]

    def _unregister(self, child: Child) -> None:
        with contextlib.suppress(KeyError):
            self._selector.unregister(child.channel)


def kill(child: Child, number: signal.Signals) -> None:
    """Signal a child that was not reaped yet, so that the pid is still its own."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(child.pid, number)


def how_it_ended(status: int) -> str:
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return f"exit status {status}"


def run_prepare(plan: ProcessPlan, channel: Channel) -> NoReturn:
    """Run the preparing child; never returns. Its exit status is that of prepare(), 70 if it raised."""
    try:
        with _exclusive(plan.prepare_lock):
            status = (plan.prepare() if plan.prepare else None) or 0
    except PrepareFailed as error:
        channel.send("failed", error)
        leave(os.EX_SOFTWARE)
    except BaseException as error:  # the process ends here: no caller would see the exception
        log.exception("the preparation fails")
        channel.send("failed", f"{type(error).__name__}: {error}")
        leave(os.EX_SOFTWARE)
    leave(status)


@contextlib.contextmanager
def _exclusive(path: Path | None) -> Iterator[None]:
    if path is None:
        yield
        return
    with path.open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def leave_the_parent(slot: int | None) -> None:
    """Set up a child's signals: it obeys only its parent."""
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if slot is None:
        # Never ignored, not even briefly: that could discard the single TERM of a stop.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        ignore_signals()
    else:
        ignore_signals(signal.SIGTERM)
    signal.set_wakeup_fd(-1)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HEARD_SIGNALS)


def live(generation: Generation, slot: int | None, channel: Channel, pulse: Pulse) -> NoReturn:
    """Run a child after its separation from the parent; never returns."""
    plan = generation.plan
    try:
        plan.open_logs()
    except OSError as error:
        channel.send("failed", f"the log cannot be opened: {error}")
        leave(os.EX_CANTCREAT)
    if slot is None:
        run_prepare(plan, channel)
    context = WorkerContext(
        channel,
        generation.listener.socket,
        generation=generation.number,
        slot=slot,
        beat_every=min(5.0, plan.limits.silence / 4),
        orphan_limit=plan.limits.messages,
        reopen_logs=plan.reopen_logs,
        pulse=pulse,
        page=plan.board.page(pulse.page),
    )
    side_server = plan.side_server(slot)
    run_worker(plan.serve if side_server is None else side_server.serve, context)
