"""The parts of the supervisor that need no process: back-off, loads, the pipe, the adopted socket, users, log files.

What it does with real processes is in tests/e2e/test_supervisor_e2e.py.
"""

from __future__ import annotations

import logging
import logging.handlers
import os
import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from antispam.net.sockets import SocketSpec, open_listener
from antispam.service import logs
from antispam.service.activity import Activity, Load
from antispam.service.channel import Channel
from antispam.service.children import Backoff, Child, Generation
from antispam.service.plan import ExitCode, ProcessPlan
from antispam.service.privileges import UserError, become
from antispam.service.supervisor import BUSY_TICK_SECONDS, TICK_SECONDS, Supervisor
from antispam.service.worker import adopt
from antispam.settings.logs import LogSettings, LogTo


class Clock:
    """Time that only moves when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_first_death_is_mended_at_once_and_a_crash_loop_slows_down() -> None:
    backoff = Backoff(stable=60, longest=8)
    assert [backoff.pause(1) for _ in range(8)] == [0, 0.5, 1, 2, 4, 8, 8, 8]


def test_a_long_life_forgives_earlier_failures() -> None:
    backoff = Backoff(stable=60, longest=8)
    pauses = [backoff.pause(lived) for lived in (1, 1, 1, 61, 1, 1)]
    assert pauses == [0, 0.5, 1, 0, 0, 0.5]


def test_thousands_of_failures_do_not_overflow() -> None:
    backoff = Backoff(stable=60, longest=60)
    assert {backoff.pause(0) for _ in range(5000)} == {0, 0.5, 1, 2, 4, 8, 16, 32, 60}


@pytest.mark.parametrize(
    ("load", "messages_over", "sessions_over"),
    [
        (Load(), True, True),
        (Load(sessions=1), True, False),
        (Load(sessions=1, messages=1), False, False),
        (Load(sessions=1, oldest=0.1), False, False),
    ],
)
def test_when_there_is_nothing_left_to_wait_for(load: Load, messages_over: bool, sessions_over: bool) -> None:
    assert (load.is_over("messages"), load.is_over("sessions")) == (messages_over, sessions_over)


def test_activity_counts_and_forgives_repetition() -> None:
    activity = Activity(Clock())
    activity.session_opened("a")
    activity.session_opened("b")
    activity.message_began("a")
    activity.message_began("a")
    assert activity.load() == Load(2, 1)
    activity.message_ended("a")
    activity.message_ended("a")
    activity.message_began("b")
    activity.session_closed("b")
    activity.session_closed("never opened")
    assert activity.load() == Load(1, 0)


def test_activity_knows_the_age_of_its_oldest_callback() -> None:
    clock = Clock()
    activity = Activity(clock)
    began, go_on = threading.Event(), threading.Event()

    def other_thread() -> None:
        with activity.callback():
            began.set()
            go_on.wait()

    thread = threading.Thread(target=other_thread)
    thread.start()
    began.wait()
    clock.now += 30
    with activity.callback():
        clock.now += 5
        assert activity.load().oldest == 35
        go_on.set()
        thread.join()
        assert activity.load().oldest == 5
    assert activity.load().oldest == 0


def test_a_callback_that_fails_is_over_too() -> None:
    activity = Activity(Clock())
    with pytest.raises(ZeroDivisionError), activity.callback():
        raise ZeroDivisionError
    assert activity.load() == Load()


def test_a_callback_that_has_just_begun_counts() -> None:
    activity = Activity(Clock())
    with activity.callback():
        assert not activity.load().is_over("messages")


@pytest.fixture
def channels() -> Iterator[tuple[Channel, Channel]]:
    one, other = Channel.pair()
    yield one, other
    one.close()
    other.close()


def test_lines_arrive_one_by_one(channels: tuple[Channel, Channel]) -> None:
    one, other = channels
    one.send("beat", 1, 2, "0.5")
    one.send("ready")
    assert [other.receive() for _ in range(3)] == ["beat 1 2 0.5", "ready", ""]


def test_the_end_of_the_other_side_is_told_from_silence(channels: tuple[Channel, Channel]) -> None:
    one, other = channels
    assert other.receive() == ""
    one.close()
    assert other.receive() is None
    other.send("nobody hears this")


def test_a_peer_that_does_not_read_blocks_nobody(channels: tuple[Channel, Channel]) -> None:
    one, other = channels
    for _ in range(5000):
        one.send("x" * 5000)
    assert other.receive() == "x" * 2000


class FakeMilter:
    """Listens where setconn() says, as libmilter does."""

    def __init__(self) -> None:
        self.listening = socket.socket()
        self.conn = ""

    def setconn(self, conn: str) -> None:
        self.conn = conn

    def opensocket(self, rmsock: int) -> None:
        self.listening.close()
        scheme, _, rest = self.conn.partition(":")
        if scheme == "unix":
            self.listening = socket.socket(socket.AF_UNIX)
            self.listening.bind(rest)
        else:
            port, _, host = rest.partition("@")
            self.listening = socket.socket(socket.AF_INET6 if scheme == "inet6" else socket.AF_INET)
            self.listening.bind((host.strip("[]"), int(port)))
        self.listening.listen()

    def listening_fd(self) -> int | None:
        return self.listening.fileno()

    def main(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        raise NotImplementedError

    def getdiag(self) -> tuple[int, int]:
        raise NotImplementedError


@pytest.mark.parametrize("scheme", ["unix", "inet", "inet6"])
def test_libmilter_accepts_from_the_parents_socket(tmp_path: Path, scheme: str) -> None:
    """Of the same family as it opened itself: it closes connections of any other."""
    text = {"unix": f"unix:{tmp_path}/s", "inet": "inet:0@127.0.0.1", "inet6": "inet6:0@::1"}[scheme]
    milter = FakeMilter()
    with closing(open_listener(SocketSpec.parse(text))) as listener:
        descriptor = adopt(milter, listener.socket)
        with milter.listening, socket.socket(listener.socket.family) as client:
            assert descriptor == milter.listening.fileno()
            assert milter.listening.family == listener.socket.family
            client.connect(listener.socket.getsockname())
            milter.listening.accept()[0].close()
            assert not os.get_inheritable(descriptor)


def test_a_milter_that_opens_nothing_is_noticed(tmp_path: Path) -> None:
    milter = FakeMilter()
    milter.opensocket = lambda rmsock: None  # type: ignore[method-assign]
    milter.listening_fd = lambda: None  # type: ignore[method-assign]
    with (
        closing(open_listener(SocketSpec.parse(f"unix:{tmp_path}/s"))) as listener,
        milter.listening,
        pytest.raises(RuntimeError, match="opened no socket"),
    ):
        adopt(milter, listener.socket)


class Sleeping(selectors.DefaultSelector):
    """Has no events, and sleeps longer than it is told."""

    def __init__(self, clock: Clock, longer: float) -> None:
        super().__init__()
        self._clock, self._longer = clock, longer

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._clock.now += (timeout or 0.0) + self._longer
        return []


@pytest.mark.parametrize(("user", "group"), [("nonesuch", None), (None, "nonesuch"), ("nobody", "nonesuch")])
def test_an_unknown_user_or_group_is_refused(
    monkeypatch: pytest.MonkeyPatch, user: str | None, group: str | None
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(UserError, match=r"there is no (user|group) 'nonesuch'"):
        become(user, group)


def test_a_user_that_is_none_is_told_before_anything_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(
        threading, "active_count", lambda: 1
    )  # tests before this one may have left some; nothing is forked
    plan = ProcessPlan(socket=SocketSpec.parse(f"unix:{tmp_path}/s"), serve=lambda context: None, user="nonesuch")
    assert Supervisor(plan).run() is ExitCode.USER_FAILED
    assert "there is no user 'nonesuch' to run as" in caplog.text
    assert not (tmp_path / "s").exists()


def test_what_no_syslog_takes_is_a_line_on_standard_error(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(handler: logging.handlers.SysLogHandler, address: str) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(logging.handlers.SysLogHandler, "_connect_unixsocket", refuse)
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    logs.configure(LogSettings(to=LogTo.SYSLOG), "dkim-milter")
    logging.getLogger("antispam").warning("hello")
    root.handlers[0].close()
    told = capfd.readouterr().err
    assert "hello (no syslog at /dev/log)" in told
    assert told.count("\n") == 1


def test_who_is_not_root_stays_who_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    become("nonesuch", "nonesuch")


def test_a_process_with_threads_is_refused(tmp_path: Path) -> None:
    plan = ProcessPlan(socket=SocketSpec.parse(f"unix:{tmp_path}/s"), serve=lambda context: None)
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        supervisor = Supervisor(plan)
        with pytest.raises(RuntimeError, match="without threads"):
            supervisor.run()
    finally:
        done.set()
        thread.join()


def test_a_stop_does_not_turn_without_a_pause_until_the_workers_have_left(tmp_path: Path) -> None:
    """A leaving worker's slot is empty, and due; nothing is started in it any more."""
    plan = ProcessPlan(socket=SocketSpec.parse(f"unix:{tmp_path}/s"), serve=lambda context: None, workers=1)
    supervisor = Supervisor(plan)
    ours, theirs = Channel.pair()
    with closing(open_listener(plan.socket)) as listener, closing(theirs), closing(supervisor._selector):
        generation = Generation.of(1, plan, listener)
        supervisor._current = generation
        supervisor._children.add(Child(os.getpid(), ours, generation, 0, 0.0, 0.0, ready=True))
        assert supervisor._pause() == TICK_SECONDS
        supervisor._stop()
        assert theirs.receive() == "drain messages 60"
        assert supervisor._pause() == BUSY_TICK_SECONDS
    ours.close()


def test_a_machine_that_stood_still_costs_no_worker_its_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    monkeypatch.setattr("antispam.service.supervisor.time.monotonic", clock)
    plan = ProcessPlan(socket=SocketSpec.parse(f"unix:{tmp_path}/s"), serve=lambda context: None, workers=1)
    supervisor = Supervisor(plan)
    ours, theirs = Channel.pair()
    with closing(open_listener(plan.socket)) as listener, closing(theirs), closing(ours):
        worker = Child(os.getpid(), ours, Generation.of(1, plan, listener), 0, clock.now, clock.now)
        supervisor._children.add(worker)
        supervisor._selector.close()
        supervisor._selector = Sleeping(clock, 3600.0)
        supervisor._turn()
        assert not worker.condemned
        assert "did not run for 3600 s" in caplog.text
        clock.now += plan.limits.silence + 1
        assert worker.overdue(clock.now).startswith("it hung")


def test_log_files_are_opened_again_after_they_were_moved(tmp_path: Path) -> None:
    handler = logging.FileHandler(tmp_path / "log")
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        root.error("before")
        (tmp_path / "log").rename(tmp_path / "log.1")
        logs.reopen_files()
        root.error("after")
    finally:
        root.removeHandler(handler)
        handler.close()
    assert (tmp_path / "log.1").read_text() == "before\n"
    assert (tmp_path / "log").read_text() == "after\n"
