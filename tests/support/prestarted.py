"""Programs of this project, started from a process that has imported all that they need: 50 ms instead of 2 s.

A server is started once a run. For each program it forks a child that never ran anything before: the child becomes leader of a
session, enters its network, folder and log, and then runs the program's file as Python would. What the program does from its
first line on is what it does when it is started from a shell; e2e/test_bms_run.py does that.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from support import clocked
from support.network import Network, enter_for_good
from support.patience import PATIENCE
from support.places import REPOSITORY
from support.processes import NotReadyError

_LIMIT = 65536
_MOST_DESCRIPTORS = 8
_KEPT = ("PATH", "LANG", "LC_ALL", "PYTHONDONTWRITEBYTECODE")
_PROGRAMS = ("bms.py", "spfmilter.py", "dkim-milter.py")


class Prestarted:
    """One program, as far as the tests need what subprocess.Popen offers."""

    def __init__(self, pid: int, ends: socket.socket) -> None:
        self.pid = pid
        self._ends = ends
        self._status: int | None = None

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        with contextlib.suppress(NotReadyError):
            return self.wait(0.0)
        return None

    def wait(self, seconds: float | None = None) -> int:
        """The exit status. NotReadyError when it goes on for longer than that."""
        if self._status is None:
            self._ends.settimeout(seconds)
            try:
                self._status = int(self._ends.recv(_LIMIT) or b"-9")
            except (TimeoutError, BlockingIOError) as error:
                raise NotReadyError(f"{self.pid} does not end within {seconds} s") from error
            self._ends.close()
        return self._status

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


class _Server:
    """The process from which programs are forked; it ends when this one does."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "support.prestarted", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                cwd=REPOSITORY / "tests",
                env=environment(),
                start_new_session=True,
            )
        atexit.register(self._close)

    def _close(self) -> None:
        self._requests.close()
        self._process.wait()

    def start(self, request: dict[str, object], descriptors: Sequence[int]) -> Prestarted:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, self._lock:
            socket.send_fds(self._requests, [json.dumps(request).encode()], [theirs.fileno(), *descriptors])
        ours.settimeout(PATIENCE)
        pid = ours.recv(_LIMIT)
        if not pid:
            raise RuntimeError("the process from which programs are forked has ended")
        return Prestarted(int(pid), ours)


_server = functools.cache(_Server)


# ldap3 2.9.1 uses old names of pyasn1.
_NOT_OURS = tuple(f"ignore:{name} is deprecated:DeprecationWarning:ldap3.utils.asn1" for name in ("tagMap", "typeMap"))


def environment() -> dict[str, str]:
    """What programs under test find in their environment: as little as an init system gives them."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {**kept, "PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": ",".join(("error", *_NOT_OURS))}


def start(
    program: Path,
    arguments: Sequence[str | Path],
    *,
    network: Network,
    output: Path,
    folder: Path,
    offset_file: Path,
) -> Prestarted:
    """Run a program with those arguments in a network; both its outputs are appended to a file, and
    its clock is the one that clocked.py describes."""
    request: dict[str, object] = {
        "program": str(program),
        "arguments": [str(argument) for argument in arguments],
        "folder": str(folder),
        "offset_file": str(offset_file),
    }
    with output.open("ab") as log, network.descriptors() as place:
        return _server().start(request, [log.fileno(), *place])


# What follows runs in the server.


def _serve(requests: socket.socket) -> None:
    clocked.replace_clock()  # before anybody has taken the real one for an argument's default
    for program in _PROGRAMS:
        runpy.run_path(str(REPOSITORY / program), run_name="imported")["JOURNEY"].settings_classes()
    importlib.import_module("antispam.commands.running")
    gc.collect()
    gc.freeze()
    while True:
        message, descriptors, _, _ = socket.recv_fds(requests, _LIMIT, _MOST_DESCRIPTORS)
        _reap()
        if not message:
            return
        if os.fork() == 0:
            requests.close()
            _watch(json.loads(message), *descriptors)
            return
        for each in descriptors:
            os.close(each)


def _reap() -> None:
    """Collect those that have ended, so that what they took counts as what the tests took."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _watch(request: Mapping[str, Any], ends: int, log: int, *place: int) -> None:
    """Start the program, tell its process number, then how it ended. Returns in neither process."""
    told, known = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ends)
        os.close(known)
        os.read(told, 1)
        os.close(told)
        _become(request, log, place)
    for descriptor in (told, log, *place):
        os.close(descriptor)
    with contextlib.suppress(OSError), socket.socket(fileno=ends) as tell:  # nobody may want to know any more
        tell.send(str(child).encode())
        os.close(known)
        tell.send(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])).encode())
    os._exit(0)


def _become(request: Mapping[str, Any], log: int, place: Sequence[int]) -> NoReturn:
    """Run the program, to the end of this process."""
    os.setsid()
    for output in (1, 2):
        os.dup2(log, output)
    os.close(log)
    if place:
        enter_for_good(*place)
    os.chdir(request["folder"])
    clocked.follow(request["offset_file"])
    sys.argv = [request["program"], *request["arguments"]]
    sys.path[0] = str(Path(request["program"]).parent)
    runpy.run_path(request["program"], run_name="__main__")
    sys.exit()


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as _requests:
        _serve(_requests)
