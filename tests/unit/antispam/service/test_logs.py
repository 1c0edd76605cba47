"""Whatever becomes of the place where the log goes: no call waits, none raises, and what was lost is counted and said."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from antispam.service import logs
from antispam.service.logs import FileSink, LineHandler, StderrSink, SyslogSink
from antispam.settings.logs import LogSettings, LogTo


def record(message, *arguments, level=logging.INFO):
    return logging.LogRecord("test", level, __file__, 1, message, arguments, None)


class Sink:
    """Takes octets as long as it is told to."""

    def __init__(self):
        self.taken = b""
        self.state = None
        self.room = 1 << 20

    def write(self, octets):
        if self.state is not None:
            raise self.state
        some = octets[: self.room]
        self.room -= len(some)
        self.taken += some
        if octets and not some:
            raise BlockingIOError
        return len(some)

    def renew(self):
        if self.state is not None:
            raise self.state

    def close(self):
        pass


@pytest.mark.parametrize("state", [BlockingIOError(), OSError(28, "No space left on device"), BrokenPipeError()])
def test_what_can_not_be_written_waits_and_comes_in_its_order(state):
    sink = Sink()
    handler = LineHandler(sink)
    sink.state = state
    handler.handle(record("one"))
    handler.handle(record("two"))
    assert sink.taken == b""
    sink.state = None
    handler.flush()
    assert sink.taken == b"one\ntwo\n"


def test_what_does_not_fit_is_counted_and_said(monkeypatch):
    monkeypatch.setattr(logs, "WAITING", 2)
    sink = Sink()
    handler = LineHandler(sink)
    sink.state = BlockingIOError()
    for number in range(5):
        handler.handle(record("line %d", number))
    assert handler.dropped == 3
    sink.state = None
    handler.flush()
    handler.flush()
    assert sink.taken == b"line 0\nline 1\n3 lines of the log could not be written\n"


def test_a_line_that_was_taken_in_part_goes_on_where_it_stopped():
    sink = Sink()
    handler = LineHandler(sink)
    sink.room = 4
    handler.handle(record("a long line"))
    sink.room = 100
    handler.handle(record("next"))
    assert sink.taken == b"a long line\nnext\n"


def test_a_message_that_does_not_fit_its_arguments_raises_nothing():
    sink = Sink()
    handler = LineHandler(sink)
    handler.handle(record("%d", "x"))
    assert (sink.taken, handler.dropped) == (b"", 1)


def test_a_syslog_daemon_that_stops_reading_stops_nobody(tmp_path):
    """Its queue holds some ten datagrams; the eleventh used to wait for ever."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
        daemon.bind(str(tmp_path / "log"))
        handler = LineHandler(SyslogSink(str(tmp_path / "log"), Sink()), priorities=True)
        for number in range(1000):
            handler.handle(record("line %d", number))
        assert daemon.recv(100) == b"<22>line 0\0"
        got = 1
        daemon.setblocking(False)
        while got < 1000:
            handler.flush()
            try:
                while daemon.recv(100):
                    got += 1
            except BlockingIOError:
                continue
        assert handler.dropped == 0
        handler.close()


def test_a_syslog_daemon_that_is_started_anew_is_found(tmp_path):
    instead = Sink()
    path = tmp_path / "log"
    first = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    first.bind(str(path))
    handler = LineHandler(SyslogSink(str(path), instead), priorities=True)
    first.close()
    handler.handle(record("nobody"))
    path.unlink()
    handler.handle(record("gone"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as second:
        second.bind(str(path))
        handler.handle(record("hello", level=logging.ERROR))
        assert second.recv(100) == b"<19>hello\0"
    handler.close()
    assert instead.taken.decode() == f"nobody (no syslog at {path})\ngone (no syslog at {path})\n"


def test_without_a_daemon_and_with_a_broken_stderr_lines_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "WAITING", 1)
    broken = Sink()
    broken.state = BrokenPipeError()
    handler = LineHandler(SyslogSink(str(tmp_path / "none"), broken), priorities=True)
    for _ in range(3):
        handler.handle(record("lost"))
    assert handler.dropped == 2


def test_a_pipe_that_nobody_reads_stops_nobody():
    reading, writing = os.pipe()
    handler = LineHandler(StderrSink(writing))
    for _ in range(3000):
        handler.handle(record("x" * 100))
    assert os.get_blocking(writing)  # it belongs to others, too
    assert handler.dropped > 0
    handler.close()
    os.close(reading)
    os.close(writing)


def test_a_socket_that_nobody_reads_stops_nobody():
    """What systemd gives as standard error."""
    one, other = socket.socketpair()
    handler = LineHandler(StderrSink(one.fileno()))
    for _ in range(5000):
        handler.handle(record("x" * 1000))
    assert handler.dropped > 0
    handler.close()
    one.close()
    other.close()


def test_a_file_that_can_not_be_opened_again_is_written_on(tmp_path):
    folder = tmp_path / "log"
    folder.mkdir()
    handler = LineHandler(FileSink(folder / "bms.log"))
    handler.handle(record("before"))
    folder.rename(tmp_path / "moved")
    with pytest.raises(OSError, match="No such file"):
        handler.reopen()
    handler.handle(record("after"))
    handler.close()
    assert (tmp_path / "moved" / "bms.log").read_text() == "before\nafter\n"


def test_a_file_that_was_moved_away_is_opened_anew(tmp_path):
    handler = LineHandler(FileSink(tmp_path / "bms.log"))
    handler.handle(record("before"))
    (tmp_path / "bms.log").rename(tmp_path / "bms.log.1")
    handler.reopen()
    handler.handle(record("after"))
    handler.close()
    assert (tmp_path / "bms.log").read_text() == "after\n"


def test_what_waited_at_a_fork_is_written_once():
    reading, writing = os.pipe()
    sink = Sink()
    handler = LineHandler(sink)
    sink.state = BlockingIOError()
    handler.handle(record("the parent's"))
    sink.state = None
    child = os.fork()
    if child == 0:
        handler.flush()
        handler.handle(record("the child's"))
        os.write(writing, sink.taken)
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 100) == b"the child's\n"
    os.close(reading)
    os.close(writing)


@pytest.fixture
def root_logger(monkeypatch):
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    yield root
    for handler in root.handlers:
        handler.close()


def test_a_file_that_can_not_be_opened_changes_nothing(root_logger, tmp_path):
    logs.configure(LogSettings(to=LogTo.FILE, file=tmp_path / "one.log"), "bms")
    with pytest.raises(OSError, match="No such file"):
        logs.configure(LogSettings(to=LogTo.FILE, file=tmp_path / "none" / "two.log"), "bms")
    root_logger.warning("still here")
    assert "still here" in (tmp_path / "one.log").read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
def test_the_file_belongs_to_the_user_who_will_have_to_open_it_again(tmp_path):
    """In a process of its own, as rights belong to the process."""
    (tmp_path / "log").mkdir()
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.getuid() and Path(tempfile.gettempdir()) in folder.parents:
            folder.chmod(0o755)
    os.chown(tmp_path / "log", 65534, 65534)
    code = (
        "import os, sys; from pathlib import Path; from antispam.service import logs; from antispam.settings.logs import *\n"
        "logs.configure(LogSettings(to=LogTo.FILE, file=Path(sys.argv[1])), 'bms', 'nobody'); print(os.geteuid(), os.getegid())"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "log" / "bms.log")], capture_output=True, text=True
    )
    assert told.stdout.split() == ["0", "0"], told.stderr
    assert (tmp_path / "log" / "bms.log").stat().st_uid == 65534


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
def test_a_folder_in_which_that_user_may_not_write_is_refused_at_the_start(root_logger, tmp_path):
    tmp_path.chmod(0o755)
    with pytest.raises(PermissionError):
        logs.configure(LogSettings(to=LogTo.FILE, file=tmp_path / "bms.log"), "bms", "nobody")
    assert os.geteuid() == 0
