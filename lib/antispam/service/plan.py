"""The plan of a supervisor: what it runs, and how. A reload replaces it."""

from __future__ import annotations

import enum
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from antispam.net.sockets import SocketSpec
from antispam.service import logs
from antispam.service.board import Board
from antispam.service.worker import WorkerContext


class ExitCode(enum.IntEnum):
    """The exit status of the program; numbers of sysexits.h."""

    STOPPED = 0
    """It stopped as ordered."""
    PREPARE_FAILED = os.EX_UNAVAILABLE
    """69: the preparation (migrations of the store) failed; the reason is in the log."""
    WORKERS_FAILED = os.EX_SOFTWARE
    """70: the workers could not start; the reason is in the log."""
    SOCKET_FAILED = os.EX_CANTCREAT
    """73: the socket cannot be opened, or another process listens on it."""
    USER_FAILED = os.EX_NOPERM
    """77: the user or group to run as does not exist, or the change was refused."""


class PrepareFailed(Exception):
    """Raised by a plan's prepare() to fail with a reason for the administrator, without a traceback."""


def _cores() -> int:
    return len(os.sched_getaffinity(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Time limits, in seconds."""

    start: float = 60.0
    """From the fork of a worker until it accepts connections."""
    prepare: float = 600.0
    silence: float = 30.0
    """Silence after which a worker counts as hung, and is killed and replaced."""
    callback: float = 900.0
    """A worker whose oldest callback runs longer is replaced, but may finish its other sessions."""
    messages: float = 60.0
    """Time for messages in flight when the program stops."""
    sessions: float = 600.0
    """Time for open sessions when their worker is replaced."""
    stable: float = 60.0
    """Lifetime after which a worker did not fail at start: its successor is started at once."""
    backoff: float = 60.0
    """The longest pause between two attempts to start a worker that keeps failing."""


def _keep_logs() -> None:
    pass


@dataclass(frozen=True, slots=True)
class SideServer:
    """A server beside the workers, in its own process. It is replaced like a worker, but mail, a start or a reload
    never waits for it. `serve` calls context.ready() first. When told to leave, its process ends at once.
    """

    name: str
    serve: Callable[[WorkerContext], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessPlan:
    """The plan: what to run, and how. A reload replaces it.

    `serve` runs in each worker after the fork: it builds what must not be shared (engine, resolver), registers the
    milter's callbacks, calls context.run(milter), cleans up and returns. `prepare` runs before the workers start, in a
    short-lived child of its own, holding an exclusive lock on `prepare_lock` if given; it fails by returning non-zero
    or by raising. `open_logs` directs the log to this plan's destination: each child calls it first, and the parent
    when the plan takes effect; it raises OSError. If the program was started as root, it becomes `user` and `group` for
    good once the socket is open. `board` holds the counters of the processes; a reload's plan has the same one.
    """

    socket: SocketSpec
    serve: Callable[[WorkerContext], None]
    name: str = "milter"
    workers: int = field(default_factory=_cores)
    socket_mode: int = 0o660
    socket_group: str | None = None
    backlog: int = 128
    user: str | None = None
    group: str | None = None
    prepare: Callable[[], int | None] | None = None
    prepare_lock: Path | None = None
    open_logs: Callable[[], None] = _keep_logs
    reopen_logs: Callable[[], None] = logs.reopen_files
    limits: Limits = field(default_factory=Limits)
    side_servers: tuple[SideServer, ...] = ()
    board: Board = field(default_factory=Board)

    @property
    def slots(self) -> int:
        """The number of slots: one for each worker, then one for each side server."""
        return self.workers + len(self.side_servers)

    def side_server(self, slot: int | None) -> SideServer | None:
        """The side server of that slot; None for a worker."""
        return self.side_servers[slot - self.workers] if slot is not None and slot >= self.workers else None
