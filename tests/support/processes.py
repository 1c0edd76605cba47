"""Starting and ending other programs so that nothing of them stays behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

from support.patience import PATIENCE


class NotReadyError(Exception):
    """A server did not become ready, or did not end, in the time that it was given."""


class RunDirectory:
    """A private folder with a short path that other users may enter; gone after use.

    pytest's own temporary folders cannot be used: they are closed to the users that servers run as, and their paths
    can exceed the 108 bytes of a unix socket's address.
    """

    def __init__(self, name: str, parent: Path | None = None) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=f"bms-{name}-", dir=parent))
        self.path.chmod(0o755)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()

    def folder(self, name: str, mode: int = 0o755) -> Path:
        path = self.path / name
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(mode)
        return path

    def write(self, name: str, text: str) -> Path:
        path = self.path / name
        path.write_text(text)
        return path

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


def wait_until(condition: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Wait for something that another process does. NotReadyError, naming what, when it takes too long."""
    limit = time.monotonic() + seconds
    pause = 0.002
    while not condition():
        if time.monotonic() > limit:
            raise NotReadyError(f"{what}: not within {seconds:g} s")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


def _stat_fields(pid: int) -> tuple[str, int, int]:
    """State, parent and session of a process."""
    # The command name, in parentheses, may itself contain blanks and parentheses.
    state, parent, _, session = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[:4]
    return state, int(parent), int(session)


def _processes() -> Iterator[int]:
    return (int(entry) for entry in os.listdir("/proc") if entry.isdigit())


def family(leader: int) -> set[int]:
    """The living processes (zombies apart) of the session that `leader` leads, and all their descendants."""
    alive: dict[int, tuple[int, int]] = {}
    for pid in _processes():
        with contextlib.suppress(OSError, ValueError):
            state, parent, session = _stat_fields(pid)
            if state not in "ZX":
                alive[pid] = (parent, session)
    found = {pid for pid, (_, session) in alive.items() if session == leader}
    while more := {pid for pid, (parent, _) in alive.items() if parent in found} - found:
        found |= more
    return found


def children_of(pid: int) -> list[int]:
    """The children that its main thread has, the oldest first; none of a process that has ended."""
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def living_in(namespace: Path) -> set[int]:
    """The living processes of a network namespace, given as a path to one of its descriptors."""
    wanted = os.stat(namespace).st_ino
    found = set()
    for pid in _processes():
        with contextlib.suppress(OSError, ValueError):
            if os.stat(f"/proc/{pid}/ns/net").st_ino == wanted and _stat_fields(pid)[0] not in "ZX":
                found.add(pid)
    return found


def _send(sig: signal.Signals, pids: set[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sig)


def end_session(leader: int, polite: float = 5.0) -> None:
    """End a program that was started as leader of a session, and all that it started: TERM first, and KILL for what is
    still there after `polite` seconds."""
    members = family(leader)
    if polite > 0:
        _send(signal.SIGTERM, members)
        with contextlib.suppress(NotReadyError):
            wait_until(lambda: not any(map(_alive, members)), f"{leader} and its children end", polite)
    # Stopped first: a supervisor that is killed a moment after it replaced a worker would leave that one behind.
    stopped: set[int] = set()
    while more := (members | family(leader)) - stopped:
        _send(signal.SIGSTOP, set(filter(_alive, more)))
        stopped |= more
    members = stopped
    _send(signal.SIGKILL, set(filter(_alive, members)))
    wait_until(lambda: not any(map(_alive, members)), f"{leader} and its children are killed")


def end_all(find: Callable[[], set[int]]) -> None:
    """KILL whatever `find` finds until it finds nothing more."""

    def none_left() -> bool:
        found = find()
        _send(signal.SIGKILL, found)
        return not found

    wait_until(none_left, "the last processes end")


def _alive(pid: int) -> bool:
    try:
        return _stat_fields(pid)[0] not in "ZX"
    except (OSError, ValueError):
        return False
