"""A prefork supervisor for libmilter programs: workers on one listening socket, replaced when they fail.

The parent opens the socket, forks, monitors heartbeats and handles all signals. It never starts a thread, a database
engine or a resolver, so that a fork copies nothing that two processes must not share. It knows nothing of mail.

    TERM, INT   stop: accept no new sessions, finish the messages in flight, end. INT again: end at once.
    HUP         reload: workers with new settings take over, the old ones finish their sessions and end.
    USR1        reopen the log files.

QUIT makes a worker write the stack of every thread to stderr; the worker goes on.
"""

from __future__ import annotations

import logging
import selectors
import signal
import threading
import time
from collections.abc import Callable
from typing import NoReturn

from antispam.net.sd_notify import Notifier
from antispam.net.sockets import Listener, SocketUnavailable
from antispam.service import logs
from antispam.service.activity import Load, Pulse
from antispam.service.channel import Channel
from antispam.service.children import (
    GRACE_SECONDS,
    Child,
    Children,
    Generation,
    Restart,
    how_it_ended,
    kill,
    leave_the_parent,
    listen,
    live,
)
from antispam.service.plan import ExitCode, ProcessPlan
from antispam.service.privileges import UserError, become
from antispam.service.signals import Wakeup, fork_with_signals_blocked
from antispam.service.worker import reopen

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
BUSY_TICK_SECONDS = 0.1


class Supervisor:
    """Runs a plan until told to stop. `reload` makes the plan for a HUP; its exceptions are logged and change nothing
    (ValueError, such as SettingsError, and OSError with their text, all others with a traceback).
    """

    def __init__(
        self,
        plan: ProcessPlan,
        reload: Callable[[], ProcessPlan] | None = None,
        *,
        notifier: Notifier | None = None,
    ) -> None:
        self._plan = plan
        self._counts = plan.board.own
        self._reload = reload
        self._notifier = notifier or Notifier.from_environment()
        self._current: Generation | None = None
        self._pending: Generation | None = None
        self._generations = 0
        self._reload_again = False
        self._announce = False
        self._stopping = False
        self._next_alive = 0.0
        self._exit_code = ExitCode.STOPPED
        self._selector = selectors.DefaultSelector()
        self._children = Children(self._selector)
        self._wakeup = Wakeup()

    def run(self) -> ExitCode:
        """Serve until told to stop; the process must have only this thread. Faults that an administrator can cause
        raise nothing: they are logged, and the exit code names them.
        """
        if threading.active_count() > 1:
            raise RuntimeError("the supervisor must run in a process without threads")
        listener: Listener | None = None
        try:
            listener = listen(self._plan)
            become(self._plan.user, self._plan.group)
        except SocketUnavailable as error:
            log.error("%s", error.strerror)
            return ExitCode.SOCKET_FAILED
        except UserError as error:
            if listener is not None:  # the owner is looked up before the socket is created
                listener.close()
            log.error("%s", error)
            return ExitCode.USER_FAILED
        try:
            with self._wakeup.hearing(self._selector):
                self._propose(self._plan, listener)
                while not self._is_over():
                    self._turn()
        finally:
            self._end_all(listener)
        return self._exit_code

    def _is_over(self) -> bool:
        return not self._children and (self._stopping or (self._current is None and self._pending is None))

    def _end_all(self, first: Listener) -> None:
        """Close everything. Children left over from an error here notice it and finish their work."""
        for child in self._children.values():
            child.channel.close()
        for generation in (self._current, self._pending):
            if generation is not None:
                generation.listener.close()
        first.close()
        self._selector.close()

    # One turn of the loop

    def _turn(self) -> None:
        signals: list[int] = []
        pause, began = self._pause(), time.monotonic()
        events = self._selector.select(pause)
        self._children.excuse(time.monotonic() - began - pause)
        for key, _ in events:
            if key.data is None:
                signals += self._wakeup.read()
            else:
                self._hear(key.data)
        for number in signals:
            self._handle_signal(number)
        self._reap()
        now = time.monotonic()
        for child in list(self._children.values()):
            self._examine(child, now)
        self._fill(now)
        self._announce_reload()
        self._children.report(self._current)
        self._watchdog(now)
        logs.flush()

    def _pause(self) -> float:
        expecting = self._stopping or self._pending is not None or self._announce
        ticks = [BUSY_TICK_SECONDS if expecting else TICK_SECONDS]
        if self._notifier.watchdog:
            ticks.append(self._notifier.watchdog / 4)
        now = time.monotonic()
        ticks += [max(0.0, generation.due[slot] - now) for generation, slot in self._to_fill()]
        return min(ticks)

    def _hear(self, child: Child) -> None:
        for line in self._children.said(child):
            self._understand(child, line)

    def _understand(self, child: Child, line: str) -> None:
        match line.split(" ", 3):
            case ["beat", sessions, messages, oldest]:
                child.load = Load(int(sessions), int(messages), float(oldest))
            case ["ready"]:
                child.ready = True
                self._promote_if_ready()
            case ["closed"]:
                child.closed = True
            case ["exhausted", *_] if not child.leaving:
                log.error("%s ran out of something: %s", child, line.removeprefix("exhausted "))
                self._replace(child, Restart.EXHAUSTED)
            case ["failed", *_]:
                child.reason = line.removeprefix("failed ")

    def _handle_signal(self, number: int) -> None:
        if number == signal.SIGINT and self._stopping:
            self._hurry()
        elif number in (signal.SIGTERM, signal.SIGINT):
            self._stop()
        elif number == signal.SIGHUP:
            self._load_plan()
        elif number == signal.SIGUSR1:
            reopen((self._current.plan if self._current else self._plan).reopen_logs)
            for child in self._children.values():
                child.channel.send("reopen")

    def _examine(self, child: Child, now: float) -> None:
        """Kill a child that hangs or exceeds its time; replace one that is stuck."""
        if child.condemned:
            if now >= child.kill_at:
                kill(child, signal.SIGKILL)
        elif reason := child.overdue(now):
            child.condemn(reason)
        elif child.slot is not None and child.load.oldest > child.generation.plan.limits.callback and not child.leaving:
            log.error("%s: a callback has been running for %d s; the worker is replaced", child, child.load.oldest)
            kill(child, signal.SIGQUIT)
            self._replace(child, Restart.STUCK)

    def _replace(self, child: Child, why: Restart) -> None:
        """Start a replacement while it finishes its sessions, unless a predecessor is still finishing."""
        if not self._children.predecessor(child):
            self._counts.count("bms_worker_restarts_total", why)
            child.drain("sessions", child.generation.plan.limits.sessions)

    def _watchdog(self, now: float) -> None:
        if self._notifier.watchdog and now >= self._next_alive:
            self._notifier.alive()
            self._next_alive = now + self._notifier.watchdog / 3

    # Generations

    def _load_plan(self) -> None:
        if self._stopping or self._reload is None:
            return
        if self._pending is not None:
            self._reload_again = True
            return
        self._notifier.reloading()
        listener: Listener | None = None
        try:
            plan = self._reload()
            listener = self._listener_for(plan)
        except (ValueError, OSError) as error:
            log.error("the reload is refused, the old settings stay: %s", error)
        except Exception:  # whatever is wrong with the new settings, the old ones stay in use
            log.exception("the reload failed, the old settings stay in force")
        if listener is None:
            self._counts.count("bms_reloads_total", "refused")
            self._notifier.ready(self._status())
        else:
            self._propose(plan, listener)

    def _listener_for(self, plan: ProcessPlan) -> Listener:
        """The current listener if the new plan has the same socket, otherwise a new one. Raises SocketUnavailable."""
        old = self._current
        return listen(plan) if old is None or plan.socket != old.plan.socket else old.listener

    def _propose(self, plan: ProcessPlan, listener: Listener) -> None:
        """Begin a generation: first its preparation, then its workers. It takes over when all of them are ready."""
        self._generations += 1
        self._pending = Generation.of(self._generations, plan, listener)
        if plan.prepare is not None:
            self._fork(self._pending, None)

    def _promote_if_ready(self) -> None:
        pending = self._pending
        if pending is None or self._stopping:
            return
        ready = [child for child in self._children.values() if child.generation is pending and child.ready]
        if sum(pending.plan.side_server(child.slot) is None for child in ready) < pending.plan.workers:
            return
        old, self._current, self._pending = self._current, pending, None
        pending.take_over(old)
        self._counts.count("bms_reloads_total", "done", by=old is not None)
        for child in self._children.values():
            limits = child.generation.plan.limits
            if child.generation is not pending and child.leaving:
                # An even older generation ends now: at most two generations wait.
                child.drain("messages", limits.messages)
            elif child.generation is not pending:
                child.drain("sessions", limits.sessions)
        if old is not None and old.listener is not pending.listener:
            old.listener.close()
        self._announce = True

    def _announce_reload(self) -> None:
        """Log that the new settings are in effect once the last old worker has stopped listening."""
        if not self._announce or self._current is None or self._stopping:
            return
        if any(child.leaving and not child.closed for child in self._children.values()):
            return
        self._announce = False
        log.info("%s", self._status())
        self._notifier.ready(self._status())
        if self._reload_again:
            self._reload_again = False
            self._load_plan()

    def _status(self) -> str:
        return "starting" if self._current is None else str(self._current)

    def _refuse(self, generation: Generation, reason: str, code: ExitCode) -> None:
        """The new generation cannot start: keep the old one, or give up if there is none."""
        self._pending = None
        for child in self._children.values():
            if child.generation is generation:
                child.drain("messages", generation.plan.limits.messages)
        if self._current is None:
            log.error("%s cannot start: %s", generation.plan.name, reason)
            self._exit_code = code
            generation.listener.close()
            return
        self._counts.count("bms_reloads_total", "refused")
        log.error("the reload is refused, the old settings stay: %s", reason)
        if generation.listener is not self._current.listener:
            generation.listener.close()
        self._announce = True

    def _to_fill(self) -> list[tuple[Generation, int]]:
        """The empty slots that get a process as soon as they are due; none while stopping."""
        known = [] if self._stopping else [self._current, self._pending]
        return [
            (generation, slot)
            for generation in known
            if generation is not None and not self._children.prepare(generation)
            for slot in self._children.vacant(generation)
        ]

    def _fill(self, now: float) -> None:
        for generation, slot in self._to_fill():
            if now >= generation.due[slot]:
                self._fork(generation, slot)

    # Leaving

    def _stop(self) -> None:
        if self._stopping:
            return
        self._stopping = True
        longest = max([c.generation.plan.limits.messages for c in self._children.values()], default=0.0)
        log.info("stopping; messages in flight have %g s", longest)
        self._notifier.stopping(longest + GRACE_SECONDS)
        for child in self._children.values():
            child.drain("messages", child.generation.plan.limits.messages)
        for generation in (self._current, self._pending):
            if generation is not None:
                generation.listener.close()

    def _hurry(self) -> None:
        log.warning("stopping at once")
        for child in self._children.values():
            child.drain("messages", 0.0)

    # Children

    def _fork(self, generation: Generation, slot: int | None) -> None:
        parents_end, childs_end = Channel.pair()
        pulse = Pulse(generation.plan.board.claim())
        try:
            pid = fork_with_signals_blocked()
        except OSError as error:
            parents_end.close()
            childs_end.close()
            generation.plan.board.release(pulse.page)
            self._cannot_fork(generation, slot, error)
            return
        if pid == 0:
            parents_end.close()
            self._be_child(generation, slot, childs_end, pulse)
        childs_end.close()
        now = time.monotonic()
        self._children.add(Child(pid, parents_end, generation, slot, now, now, pulse=pulse))

    def _cannot_fork(self, generation: Generation, slot: int | None, error: OSError) -> None:
        if generation is self._pending:
            self._refuse(generation, f"cannot fork: {error.strerror}", ExitCode.WORKERS_FAILED)
        elif slot is not None:
            log.error("cannot fork a worker: %s", error.strerror)
            generation.due[slot] = time.monotonic() + TICK_SECONDS

    def _be_child(self, generation: Generation, slot: int | None, channel: Channel, pulse: Pulse) -> NoReturn:
        """Turn into the child, with all of the parent's descriptors closed: while any process holds the parent's end of
        a worker's pipe, that worker cannot notice the parent's death.
        """
        leave_the_parent(slot)
        self._selector.close()
        self._wakeup.close()
        for other in self._children.values():
            other.channel.close()
        beside = generation.plan.side_server(slot) is not None
        for known in (self._current, self._pending, generation):
            if known is not None and (slot is None or beside or known.listener is not generation.listener):
                known.listener.socket.close()
        live(generation, slot, channel, pulse)

    def _reap(self) -> None:
        for child, status in self._children.dead():
            self._hear(child)
            self._children.forget(child)
            self._bury(child, status)

    def _bury(self, child: Child, status: int) -> None:
        how = child.reason or how_it_ended(status)
        if child.leaving:
            log.info("%s left%s", child, f": {how}" if status else "")
        elif child.slot is None:
            if status:
                self._refuse(child.generation, f"preparation failed: {how}", ExitCode.PREPARE_FAILED)
        elif child.generation is self._pending and child.generation.plan.side_server(child.slot) is None:
            self._refuse(child.generation, f"{child}: {how}", ExitCode.WORKERS_FAILED)
        else:
            self._counts.count("bms_worker_restarts_total", Restart.HUNG if child.condemned else Restart.ENDED)
            lived = time.monotonic() - child.started
            pause = child.generation.backoffs[child.slot].pause(lived)
            child.generation.due[child.slot] = time.monotonic() + pause
            log.error("%s ended: %s; it is replaced%s", child, how, f" in {pause:g} s" if pause else "")
