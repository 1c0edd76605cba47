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


class NotReadyError(Exception):
    """A server did not become ready, or did not end, in the time that it was given."""


class RunDirectory:
    """A private folder with a short path that other users may enter; gone after use.

    pytest's own temporary folders cannot be used: they are closed to the users that servers run as, and their paths
    can exceed the 108 bytes of a unix socket's address.
    """

    def __init__(self, name: str) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=f"bms-{name}-"))
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


def wait_until(condition: Callable[[], object], what: str, seconds: float = 10.0) -> None:
    """Wait for something that another process does. NotReadyError, naming what, when it takes too long."""
    limit = time.monotonic() + seconds
    pause = 0.002
    while not condition():
        if time.monotonic() > limit:
            raise NotReadyError(f"{what}: not within {seconds:g} s")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


def _stat_fields(pid: str) -> list[str]:
    # The command name, in parentheses, may itself contain blanks and parentheses.
    return Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()


def living_in_session(session: int) -> Iterator[int]:
    """The processes (zombies apart) of one session, the unit in which each server is started."""
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError, IndexError):
            state, _, _, sid = _stat_fields(entry)[:4]
            if int(sid) == session and state not in "ZX":
                yield int(entry)


def end_session(session: int, polite: float = 5.0) -> None:
    """End every process of a session: TERM first, and KILL for what is still there after `polite` seconds."""
    for sig, patience in ((signal.SIGTERM, polite), (signal.SIGKILL, 5.0)):
        for pid in living_in_session(session):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sig)
        with contextlib.suppress(NotReadyError):
            wait_until(lambda: not any(living_in_session(session)), f"session {session} ends", patience)
            return
    raise NotReadyError(f"processes of session {session} survived KILL")
