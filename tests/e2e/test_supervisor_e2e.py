"""The supervisor over the real libmilter: a program of its own process, and the MTA's side of the protocol."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.milter_client import MilterClient, ProtocolError, Reply
from support.patience import PATIENCE, quickest
from support.ports import free_port

PROGRAM = Path(__file__).with_name("supervised_program.py")
LIB = Path(__file__).parents[2] / "lib"


class Program:
    """A running supervised_program, its log line by line, and what it tells systemd."""

    def __init__(self, folder: Path, listen: str, settings: dict[str, Any]) -> None:
        self.folder = folder
        self.listen = listen
        self.settings = settings
        self.write_settings()
        self.notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notified.settimeout(PATIENCE)
        self.notified.bind(str(folder / f"notify{id(self)}"))
        (folder / f"notify{id(self)}").chmod(0o777)
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(LIB), *filter(None, [os.environ.get("PYTHONPATH")])]),
            "NOTIFY_SOCKET": self.notified.getsockname(),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", str(PROGRAM), listen, str(folder / "settings")],
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._pids: set[int] = set()
        self.seen: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._pids.update(int(pid) for pid in re.findall(r"INFO started .*\(pid (\d+)\)", line))
            self._lines.put(line)

    def write_settings(self, **changes: Any) -> None:
        self.settings |= changes
        (self.folder / "settings").write_text(json.dumps(self.settings))

    def wait_for(self, pattern: str) -> re.Match[str]:
        """The first line of the log, after those already waited for, that the pattern is found in."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                pytest.fail(f"no {pattern!r} in the log:\n{''.join(self.seen)}")
            self.seen.append(line)
            if match := re.search(pattern, line):
                return match

    def wait_until_ready(self) -> None:
        while not self.notified.recv(4096).startswith(b"READY=1"):
            pass

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def exit_code(self) -> int:
        return self.process.wait(PATIENCE)

    def dial(self) -> MilterClient:
        scheme, _, rest = self.listen.partition(":")
        if scheme == "unix":
            return MilterClient(rest, PATIENCE)
        port, _, host = rest.partition("@")
        return MilterClient((host.strip("[]"), int(port)), PATIENCE)

    def ask(self, sender: bytes = b"<sender@example.org>") -> dict[str, str]:
        """What headers a message on a connection of its own gets."""
        with self.dial() as client:
            client.greet()
            return headers(client.message(sender=sender))

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE)
        for pid in self._pids:
            # Orphans that a test left; a number alone might belong to somebody else by now.
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if str(self.folder).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)
        assert self.process.stderr is not None
        self._reader.join(PATIENCE)
        self.process.stderr.close()
        self.notified.close()


def headers(reply: Reply) -> dict[str, str]:
    """The headers that a reply to end of message adds."""
    pairs = [change.arguments for change in reply.changes if change.name == "addheader"]
    return {bytes(name).decode(): bytes(value).decode() for name, value in pairs}  # type: ignore[arg-type]


def begin_held(client: MilterClient) -> None:
    """Send a message up to its end, which the milter then works on until release()."""
    client.greet()
    client.mail(b"<hold@example.org>")
    client.rcpt()
    client.data()
    client.eoh()
    client.put(b"E")
    client.flush()


def release(folder: Path) -> None:
    """Let the held end of message go on; waits until it is there."""
    (folder / "hold").write_bytes(b"")


def is_gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"


def until(condition: Any) -> None:
    """Wait for what gives no event."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """As long as another instance would be preparing."""
    with (folder / "lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "hold")
    return tmp_path


@pytest.fixture
def start(folder: Path) -> Iterator[Any]:
    programs: list[Program] = []

    def start(listen: str = "", *, ready: bool = True, **settings: Any) -> Program:
        settings = {"greeting": "one", "plan": {"workers": 2}} | settings
        program = Program(folder, listen or f"unix:{folder}/socket", settings)
        programs.append(program)
        if ready:
            program.wait_until_ready()
        return program

    yield start
    for program in programs:
        program.end()


def test_a_message_is_served_over_a_unix_socket_with_its_mode(start: Any, folder: Path) -> None:
    program = start(plan={"workers": 1, "socket_mode": 0o600})
    assert program.ask()["X-Greeting"] == "one"
    assert (folder / "socket").stat().st_mode & 0o777 == 0o600


def test_a_message_is_served_over_inet(start: Any) -> None:
    program = start(f"inet:{free_port()}@127.0.0.1")
    assert program.ask()["X-Greeting"] == "one"


def test_a_stop_is_clean_and_removes_the_socket(start: Any, folder: Path) -> None:
    program = start()
    program.signal(signal.SIGTERM)
    assert program.exit_code() == 0
    assert not (folder / "socket").exists()
    program.wait_for("worker . cleaned up")


def test_a_stop_takes_little_time(start: Any) -> None:
    """libmilter alone notices a stop after up to 5 s."""

    def stop() -> float:
        program = start()
        program.ask()
        before = time.monotonic()
        program.signal(signal.SIGINT)
        assert program.exit_code() == 0
        return time.monotonic() - before

    assert quickest(stop, limit=3) < 3


def test_a_killed_worker_is_replaced_and_service_goes_on(start: Any) -> None:
    program = start(plan={"workers": 1})
    victim = int(program.ask()["X-Worker"])
    os.kill(victim, signal.SIGKILL)
    program.wait_for(rf"pid {victim}\) ended: killed by SIGKILL; it is replaced")
    assert int(program.ask()["X-Worker"]) != victim


def test_a_worker_that_is_stopped_by_a_signal_is_replaced(start: Any) -> None:
    program = start(plan={"workers": 1}, limits={"silence": 3})
    victim = int(program.ask()["X-Worker"])
    os.kill(victim, signal.SIGSTOP)
    program.wait_for(rf"pid {victim}\) is killed: it hung")
    assert int(program.ask()["X-Worker"]) != victim


def test_a_worker_that_never_gives_the_interpreter_back_is_replaced(start: Any) -> None:
    program = start(plan={"workers": 1}, limits={"silence": 3})
    with program.dial() as client:
        client.greet()
        with pytest.raises(ProtocolError):
            client.mail(b"<hang@example.org>")
    program.wait_for("is killed: it hung")
    program.wait_for("line .* in envfrom")
    assert program.ask()["X-Greeting"] == "one"


def test_a_worker_with_a_stuck_callback_is_replaced_while_its_sessions_go_on(start: Any) -> None:
    program = start(plan={"workers": 1}, limits={"silence": 4, "callback": 0.5, "sessions": 60, "messages": 1})
    with program.dial() as stuck, program.dial() as session:
        session.greet()
        old = headers(session.message())["X-Worker"]
        stuck.greet()
        stuck.put(b"M", b"<stick@example.org>\0")
        stuck.flush()
        program.wait_for("a callback has been running")
        program.wait_for("started worker 0")
        assert headers(session.message())["X-Worker"] == old
        until(lambda: program.ask()["X-Worker"] != old)


def test_a_stop_in_the_middle_of_end_of_message_waits_for_the_reply(start: Any, folder: Path) -> None:
    program = start()
    with program.dial() as client:
        begin_held(client)
        program.signal(signal.SIGTERM)
        program.wait_for("stopping")
        until(lambda: not (folder / "socket").exists())
        release(folder)
        assert headers(client.reply())["X-Greeting"] == "one"
    assert program.exit_code() == 0


def test_a_stop_does_not_wait_longer_than_its_limit(start: Any) -> None:
    program = start(limits={"messages": 0.5})
    with program.dial() as client:
        begin_held(client)
        program.signal(signal.SIGTERM)
        program.wait_for("cuts off 1 messages")
        assert program.exit_code() == 0


def test_a_second_interrupt_ends_at_once(start: Any) -> None:
    program = start()
    with program.dial() as client:
        begin_held(client)
        program.signal(signal.SIGINT)
        program.wait_for("stopping;")
        program.signal(signal.SIGINT)
        program.wait_for("cuts off 1 messages")
        assert program.exit_code() == 0


def test_a_reload_gives_new_connections_new_settings_and_lets_open_sessions_be(start: Any) -> None:
    program = start()
    with program.dial() as session:
        session.greet()
        assert headers(session.message())["X-Greeting"] == "one"
        program.write_settings(greeting="two")
        program.signal(signal.SIGHUP)
        program.wait_until_ready()
        assert {program.ask()["X-Greeting"] for _ in range(20)} == {"two"}
        assert headers(session.message())["X-Greeting"] == "one"
    program.wait_for("of generation 1 .* left")
    assert program.ask()["X-Greeting"] == "two"


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"socket": "nonsense:1"}, "a socket begins with unix:"),
        ({"prepare": "no such database"}, "preparation failed: no such database"),
        ({"greeting": "fails"}, "RuntimeError: this worker cannot be"),
        ({"plan": {"wrokers": 2}}, "the reload failed"),
    ],
)
def test_a_reload_that_cannot_be_keeps_the_old_workers_and_says_why(
    start: Any, broken: dict[str, Any], reason: str
) -> None:
    program = start(plan={"workers": 1})
    worker = program.ask()["X-Worker"]
    program.write_settings(**broken)
    program.signal(signal.SIGHUP)
    program.wait_for(f"the old settings stay.*{reason}|{reason}, the old settings stay")
    program.wait_until_ready()
    assert program.ask() == {"X-Greeting": "one", "X-Worker": worker}


def test_a_reload_can_move_the_socket(start: Any, folder: Path) -> None:
    program = start()
    program.write_settings(socket=f"unix:{folder}/elsewhere", greeting="two")
    program.signal(signal.SIGHUP)
    program.wait_until_ready()
    assert not (folder / "socket").exists()
    program.listen = f"unix:{folder}/elsewhere"
    assert program.ask()["X-Greeting"] == "two"


def test_no_connection_is_refused_while_reloads_follow_one_another(start: Any) -> None:
    program = start(plan={"workers": 1})
    for number in range(3):
        program.write_settings(greeting=str(number))
        program.signal(signal.SIGHUP)
        program.wait_for("started worker 0")
        for _ in range(10):
            assert "X-Greeting" in program.ask()
        program.wait_until_ready()


def test_workers_end_when_the_supervisor_is_killed_but_finish_their_messages(start: Any, folder: Path) -> None:
    program = start()
    workers = [int(program.wait_for(r"started worker . .*pid (\d+)")[1]) for _ in range(2)]
    with program.dial() as client:
        begin_held(client)
        program.process.kill()
        program.wait_for("the supervisor is gone")
        release(folder)
        assert headers(client.reply())["X-Greeting"] == "one"
        until(lambda: all(is_gone(pid) for pid in workers))


def test_the_socket_that_a_killed_supervisor_left_is_replaced(start: Any) -> None:
    first = start()
    first.process.kill()
    first.exit_code()
    first.wait_for("the supervisor is gone")
    first.wait_for("cleaned up")
    first.wait_for("cleaned up")
    assert start(greeting="two").ask()["X-Greeting"] == "two"


def test_a_second_instance_on_the_same_socket_is_refused(start: Any) -> None:
    first = start()
    second = start(ready=False)
    second.wait_for("another process listens on")
    assert second.exit_code() == 73
    assert first.ask()["X-Greeting"] == "one"


def test_a_program_whose_preparation_fails_does_not_start(start: Any, folder: Path) -> None:
    program = start(prepare="no such database", ready=False)
    program.wait_for("cannot start: preparation failed: no such database")
    assert program.exit_code() == 69
    assert not (folder / "socket").exists()


def test_the_preparation_waits_for_another_one(start: Any, folder: Path) -> None:
    with locked(folder):
        program = start(ready=False)
        program.wait_for("started preparation")
        assert not any("started worker" in line for line in program.seen)
    program.wait_until_ready()
    assert program.ask()["X-Greeting"] == "one"


def test_a_stop_does_not_wait_for_a_preparation(start: Any, folder: Path) -> None:
    with locked(folder):
        program = start(ready=False)
        program.wait_for("started preparation")
        program.signal(signal.SIGTERM)
        assert program.exit_code() == 0


def test_a_preparation_that_takes_too_long_fails(start: Any, folder: Path) -> None:
    with locked(folder):
        program = start(ready=False, limits={"prepare": 0.2})
        program.wait_for("preparation failed: it took longer than 0.2 s")
        assert program.exit_code() == 69


def test_a_reload_that_is_asked_for_during_another_is_not_lost(start: Any, folder: Path) -> None:
    program = start()
    program.wait_for("started preparation")
    with locked(folder):
        program.signal(signal.SIGHUP)
        program.wait_for("started preparation")
        program.write_settings(greeting="three")
        program.signal(signal.SIGHUP)
    program.wait_for("generation 3")
    program.wait_until_ready()
    program.wait_until_ready()
    assert program.ask()["X-Greeting"] == "three"


def test_a_worker_that_does_not_become_ready_fails_the_start(start: Any) -> None:
    program = start(greeting="sleeps", ready=False, limits={"start": 0.3})
    program.wait_for("cannot start: worker .*: it was not ready after 0.3 s")
    assert program.exit_code() == 70


def test_a_program_whose_workers_fail_does_not_start(start: Any) -> None:
    program = start(greeting="fails", ready=False)
    program.wait_for("cannot start: worker . .*: RuntimeError: this worker cannot be")
    assert program.exit_code() == 70


def test_connections_spread_over_the_workers(start: Any) -> None:
    program = start(plan={"workers": 2})
    seen: set[str] = set()

    def all_seen() -> bool:
        with contextlib.ExitStack() as connections:
            clients = [connections.enter_context(program.dial()) for _ in range(8)]
            for client in clients:
                client.greet()
            seen.update(headers(client.message())["X-Worker"] for client in clients)
        return len(seen) == 2

    until(all_seen)


def test_terminal_signals_do_not_reach_workers(start: Any) -> None:
    program = start(plan={"workers": 1})
    worker = int(program.ask()["X-Worker"])
    assert os.getpgid(worker) == worker != os.getpgid(program.process.pid)


def test_usr1_reopens_the_log_in_parent_and_workers(start: Any, folder: Path) -> None:
    (folder / "log").touch()
    program = start()
    (folder / "log").rename(folder / "log.1")
    program.signal(signal.SIGUSR1)
    worker = int(program.ask()["X-Worker"])
    os.kill(worker, signal.SIGKILL)
    until(lambda: (folder / "log").exists() and f"pid {worker}) ended" in (folder / "log").read_text())
    program.signal(signal.SIGTERM)
    assert program.exit_code() == 0
    assert "cleaned up" in (folder / "log").read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_root_is_given_up_and_the_socket_can_still_be_removed(start: Any, folder: Path) -> None:
    import pwd

    nobody = pwd.getpwnam("nobody")
    places = [folder, *folder.parents][:4]
    modes = {place: place.stat().st_mode for place in places}
    os.chown(folder, nobody.pw_uid, -1)
    for place in places[1:]:
        place.chmod(place.stat().st_mode | 0o011)
    try:
        program = start(plan={"workers": 1, "user": "nobody"})
        worker = program.ask()["X-Worker"]
        assert Path(f"/proc/{worker}").stat().st_uid == nobody.pw_uid
        assert Path(f"/proc/{program.process.pid}").stat().st_uid == nobody.pw_uid
        program.write_settings(greeting="two")
        program.signal(signal.SIGHUP)
        program.wait_until_ready()
        program.wait_for("of generation 1 .* left")
        assert program.ask()["X-Greeting"] == "two"  # libmilter, not root, would have unlinked the socket by now
        program.signal(signal.SIGTERM)
        assert program.exit_code() == 0
        assert not (folder / "socket").exists()
    finally:
        for place, mode in modes.items():
            place.chmod(mode & 0o7777)
