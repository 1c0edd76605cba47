"""Log output that never blocks or raises: if the log cannot be written, lines are lost, not mail.

It needs no thread, which the supervisor must not have. Lines that cannot be written now wait in a queue. Those that
exceed it are counted, and the log reports the number as soon as it can.
"""

from __future__ import annotations

import collections
import contextlib
import errno
import logging
import logging.handlers
import os
import pwd
import select
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from antispam.settings.logs import LogSettings, LogTo
from antispam.text import for_log

WAITING = 2000  # lines
LONGEST = 8000  # octets of one record; syslog daemons take no more
_AGAIN = 1.0  # seconds between two attempts to reopen a broken sink
_FIRST_LINE = "%(asctime)s %(levelname)s %(message)s"
_MARGIN = "\n    "


class Formatter(logging.Formatter):
    """One record a line, except for tracebacks. No argument or exception text can start a line that looks like ours, or
    send control characters to a terminal.
    """

    def format(self, record: logging.LogRecord) -> str:
        lines = super().format(record).split("\n")
        return _MARGIN.join(line if line.isprintable() else for_log(line, len(line)) for line in lines)


class Sink(Protocol):
    """The destination of log octets."""

    def write(self, octets: bytes) -> int:
        """Write octets and return how many were taken. Raises BlockingIOError if it would block, OSError if the sink is
        broken.
        """
        ...  # pragma: no cover

    def renew(self) -> None:
        """Reopen the sink; keep the old one if that fails. Raises OSError."""
        ...  # pragma: no cover

    def close(self) -> None: ...  # pragma: no cover


class FileSink:
    """A file, appended to."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self._path = path
        self._descriptor = self._open()

    def _open(self) -> int:
        # O_NONBLOCK is for a named pipe whose reader sleeps; it has no effect on a file.
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o640)

    def write(self, octets: bytes) -> int:
        return os.write(self._descriptor, octets)

    def renew(self) -> None:
        old, self._descriptor = self._descriptor, self._open()
        os.close(old)

    def close(self) -> None:
        os.close(self._descriptor)


class StderrSink:
    """Standard error. Other processes share it, so its flags stay unchanged: a pipe or terminal is opened again, and a
    socket (systemd's journal) gets MSG_DONTWAIT with each message.
    """

    def __init__(self, descriptor: int = 2) -> None:
        self._descriptor = descriptor
        self._own = -1
        self._is_socket = False
        with contextlib.suppress(OSError):
            self._is_socket = stat.S_ISSOCK(os.fstat(descriptor).st_mode)
            self._own = os.open(
                f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
            )

    def write(self, octets: bytes) -> int:
        if self._own >= 0:
            return os.write(self._own, octets)
        if self._is_socket:
            with socket.socket(fileno=os.dup(self._descriptor)) as end:
                return end.send(octets, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        if not select.select([], [self._descriptor], [], 0)[1]:
            raise BlockingIOError
        return os.write(self._descriptor, octets[: select.PIPE_BUF])

    def renew(self) -> None:
        raise OSError(errno.EBADF, "standard error cannot be opened again")

    def close(self) -> None:
        if self._own >= 0:
            os.close(self._own)


class SyslogSink:
    """The machine's syslog daemon; if there is none, lines go to standard error."""

    def __init__(self, address: str = "/dev/log", instead: Sink | None = None) -> None:
        self._address = address
        self._instead = instead or StderrSink()
        self._end: socket.socket | None = None
        with contextlib.suppress(OSError):
            self.renew()

    def write(self, octets: bytes) -> int:
        for _ in range(2):
            try:
                if self._end is None:
                    self.renew()
                assert self._end is not None
                return len(octets) if self._end.send(octets.rstrip(b"\n") + b"\0") else 0
            except BlockingIOError:
                raise
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    raise BlockingIOError from error
                self._forget()  # the daemon was restarted: its socket is a new one
        return self._to_stderr(octets)

    def _to_stderr(self, octets: bytes) -> int:
        line = octets.partition(b">")[2].rstrip(b"\n") + f" (no syslog at {self._address})\n".encode()
        self._instead.write(line)
        return len(octets)

    def renew(self) -> None:
        end = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        end.setblocking(False)
        try:
            end.connect(self._address)
        except OSError:
            end.close()
            raise
        self._forget()
        self._end = end

    def _forget(self) -> None:
        if self._end is not None:
            self._end.close()
            self._end = None

    def close(self) -> None:
        self._forget()


class LineHandler(logging.Handler):
    """Writes records as lines, without ever blocking or raising. `dropped` is the number of lost lines."""

    def __init__(self, sink: Sink, *, priorities: bool = False) -> None:
        """priorities  begin each line with a syslog priority"""
        super().__init__()
        self.dropped = 0
        self._sink = sink
        self._priorities = priorities
        self._lines: collections.deque[bytes] = collections.deque()
        self._told = 0  # number of dropped lines that were reported
        self._owner = os.getpid()
        self._next_renewal = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self._line(self.format(record), record.levelname)
        except Exception:  # noqa: BLE001 - a message that does not fit its arguments is a defect, but must not stop mail
            self.dropped += 1
            return
        if self._owner != os.getpid():  # lines queued before the fork belong to the parent
            self._owner, self.dropped, self._told = os.getpid(), 0, 0
            self._lines.clear()
        if len(self._lines) < WAITING:
            self._lines.append(line)
        else:
            self.dropped += 1
        self._write()

    def flush(self) -> None:
        """Write the waiting lines as far as possible now."""
        with self.lock or contextlib.nullcontext():
            if self._owner == os.getpid():
                self._write()

    def reopen(self) -> None:
        """Reopen the file after logrotate moved it. Raises OSError if that fails; the old file stays in use."""
        with self.lock or contextlib.nullcontext():
            self._sink.renew()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.flush()
            self._sink.close()
        super().close()

    def _line(self, text: str, level: str) -> bytes:
        octets = text.encode("utf-8", "backslashreplace")[: LONGEST - 1] + b"\n"
        if not self._priorities:
            return octets
        handler = logging.handlers.SysLogHandler
        severity = handler.priority_names[handler.priority_map.get(level, "warning")]
        return b"<%d>%s" % (handler.LOG_MAIL << 3 | severity, octets)

    def _write(self) -> None:
        with contextlib.suppress(OSError):
            self._write_lines()

    def _write_lines(self) -> None:
        """Raises OSError."""
        while self._lines:
            try:
                taken = self._sink.write(self._lines[0])
            except BlockingIOError:
                return
            except OSError:
                if time.monotonic() < self._next_renewal:
                    return
                self._next_renewal = time.monotonic() + _AGAIN
                self._sink.renew()
                continue
            if taken < len(self._lines[0]):  # a nearly full pipe
                self._lines[0] = self._lines[0][taken:]
                return
            self._lines.popleft()
            if not self._lines and self.dropped > self._told:
                self._told = self.dropped
                self._lines.append(self._line(f"{self.dropped} lines of the log could not be written", "ERROR"))


def configure(settings: LogSettings, program: str, user: str = "") -> None:
    """Send all logging to the configured destination from now on. A file is opened with the rights of `user`, who must
    be able to reopen it. Raises OSError if it cannot be opened; then nothing changes.
    """
    form = _FIRST_LINE
    if settings.to is LogTo.FILE:
        with _rights_of(user):
            handler = LineHandler(FileSink(settings.file))
    elif settings.to is LogTo.SYSLOG:
        handler = LineHandler(SyslogSink(), priorities=True)
        form = f"{program}[%(process)d]: %(message)s"
    else:
        handler = LineHandler(StderrSink())
    handler.setFormatter(Formatter(form))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(settings.level.upper())
    # Alembic logs each migration step at INFO; dkimpy logs what we report in more detail.
    for name in ("alembic", "dkimpy"):
        logging.getLogger(name).setLevel(logging.WARNING)


def reopen_files() -> None:
    """Reopen the log files after logrotate moved them. Raises OSError if one cannot be opened; the old file stays in
    use.
    """
    for handler in logging.getLogger().handlers:
        if isinstance(handler, LineHandler):
            handler.reopen()
        elif isinstance(handler, logging.FileHandler):  # another milter's own
            old = handler.setStream(handler._open())
            if old is not None:
                old.close()


def flush() -> None:
    """Write the waiting lines as far as possible now; called periodically."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, LineHandler):
            handler.flush()


def dropped() -> int:
    """The number of lines that this process could not write."""
    return sum(handler.dropped for handler in logging.getLogger().handlers if isinstance(handler, LineHandler))


@contextlib.contextmanager
def _rights_of(user: str) -> Iterator[None]:
    """Act as that user, if we are root. Does nothing for an unknown user, which the supervisor reports."""
    try:
        entry = pwd.getpwnam(user) if user and os.geteuid() == 0 else None
    except KeyError:
        entry = None
    if entry is None:
        yield
        return
    groups = os.getgroups()
    os.initgroups(user, entry.pw_gid)
    os.setegid(entry.pw_gid)
    os.seteuid(entry.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(os.getgid())
        os.setgroups(groups)
