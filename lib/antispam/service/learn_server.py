"""Trains with messages that `bms learn` sends over a unix socket, in a process beside the workers.

The system identifies the client (SO_PEERCRED): most users may train only in their own name.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pwd
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable

from antispam.deadline import Deadline
from antispam.journey.table import Journey
from antispam.learning.lessons import Answer, Lessons, Outcome
from antispam.net.sockets import Listener, SocketSpec, open_listener
from antispam.protocols import lesson_wire
from antispam.service.plan import SideServer
from antispam.service.teaching import lessons
from antispam.service.worker import WorkerContext
from antispam.settings import Settings
from antispam.settings.learn import LearnSettings
from antispam.settings.program import ProgramSettings
from antispam.store import Store
from antispam.text import for_log

log = logging.getLogger(__name__)

_AT_ONCE = 8  # conversations; others wait in the socket's queue
_TRY_AGAIN = 0.25  # seconds: at a reload the predecessor still listens
_TRIES_UNTIL_TOLD = 20
_PIECE = 1 << 16  # octets
_CREDENTIALS = struct.Struct("iII")  # struct ucred of <sys/socket.h>: pid, uid, gid


class Permissions:
    """The system users who may train, and in whose name.

    teachers  system users, by name or number, who may train in everybody's name; unknown ones are logged
    user_of   returns the filter's user of a login
    """

    def __init__(self, teachers: Iterable[str], user_of: Callable[[str], str]) -> None:
        self._trusted = {0, os.getuid(), *_uids(teachers)}
        self._user_of = user_of

    def allow(self, uid: int, login: str) -> bool:
        """Whether a process of this system user may train in the name of that login."""
        if uid in self._trusted:
            return True
        try:
            own = pwd.getpwuid(uid).pw_name
        except KeyError:
            return False
        return self._user_of(own) == self._user_of(login)


def uid_of(name: str) -> int:
    """The number of a system user given by name or number. Raises KeyError for an unknown name."""
    return int(name) if name.isdecimal() else pwd.getpwnam(name).pw_uid


def _uids(names: Iterable[str]) -> Iterable[int]:
    for name in names:
        try:
            yield uid_of(name)
        except KeyError:
            log.error("[learn] teachers: there is no system user %s", for_log(name, 60))


class LearnServer:
    """Answers on a listening socket until that is closed.

    teach   called with login, whether it is spam, the message and the deadline
    allow   called with uid and login
    largest octets of a message
    timeout seconds for one lesson
    """

    def __init__(
        self,
        teach: Callable[[str, bool, bytes, Deadline], Answer],
        allow: Callable[[int, str], bool],
        *,
        largest: int = lesson_wire.LARGEST,
        timeout: float = 20.0,
    ) -> None:
        self._teach = teach
        self._allow = allow
        self._largest = min(largest, lesson_wire.LARGEST)
        self._timeout = timeout
        self._free = threading.BoundedSemaphore(_AT_ONCE)

    def serve(self, listening: socket.socket) -> None:
        """Accept connections until the socket is closed. Raises OSError if it fails."""
        listening.setblocking(True)
        while True:
            self._free.acquire()
            try:
                connection, _ = listening.accept()
            except OSError:
                self._free.release()
                raise
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        try:
            with connection:
                self.answer(connection)
        except OSError as error:
            log.info("learn: a conversation broke off: %s", error)
        finally:
            self._free.release()

    def answer(self, connection: socket.socket) -> None:
        """Serve one lesson. Raises OSError if the client disconnects or is too slow."""
        deadline = Deadline.after(self._timeout)
        answer = self._answer(_Stream(connection, deadline), deadline)
        connection.settimeout(max(1.0, deadline.remaining()))
        connection.sendall(lesson_wire.answer(answer.outcome, answer.text))

    def _answer(self, stream: _Stream, deadline: Deadline) -> Answer:
        try:
            is_spam, name_size, size = lesson_wire.read_request(stream.line())
        except ValueError as error:
            return Answer(Outcome.NO_MAIL, str(error))
        if name_size > lesson_wire.LONGEST_USER:
            return Answer(Outcome.NO_USER, "the user's name is too long")
        login = stream.octets(name_size).decode("utf-8", "replace")
        if not self._allow(stream.uid, login):
            log.warning("learn: the system user %d may not teach in the name of %s", stream.uid, for_log(login, 60))
            text = f"you may not teach in the name of {for_log(login, 60)}: [learn] teachers names those who may"
            return Answer(Outcome.FORBIDDEN, text)
        if size > self._largest:
            return Answer(Outcome.NO_MAIL, f"the message is larger than {self._largest >> 20} MB; nothing was learned")
        raw = stream.octets(size)
        try:
            return self._teach(login, is_spam, raw, deadline)
        except Exception:
            log.exception("ERROR learn: unexpected")
            return Answer(Outcome.LATER, "an unexpected error; the filter's log has it")


class _Stream:
    """Reads from a client until the deadline. Raises OSError if it disconnects or is too slow."""

    def __init__(self, connection: socket.socket, deadline: Deadline) -> None:
        self._connection = connection
        self._deadline = deadline
        self._received = bytearray()
        peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        self.uid: int = _CREDENTIALS.unpack(peer)[1]

    def line(self) -> bytes:
        """The first line, without its end. Raises ValueError if it is too long."""
        while (end := self._received.find(b"\n")) < 0:
            if len(self._received) > lesson_wire.LONGEST_LINE:
                raise ValueError("the first line is too long")
            self._more()
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        return line

    def octets(self, size: int) -> bytes:
        """Read `size` octets; memory grows as they arrive."""
        while len(self._received) < size:
            self._more()
        found = bytes(self._received[:size])
        del self._received[:size]
        return found

    def _more(self) -> None:
        left = self._deadline.remaining()
        if left <= 0:
            raise TimeoutError("too slow")
        self._connection.settimeout(left)
        piece = self._connection.recv(_PIECE)
        if not piece:
            raise ConnectionResetError("the client went before it had sent all")
        self._received += piece


def side_servers(journey: Journey, settings: Settings) -> tuple[SideServer, ...]:
    """The server that runs beside the workers; none if it is off."""
    if LearnSettings not in settings or not settings[LearnSettings].socket:
        return ()

    def run(context: WorkerContext) -> None:
        context.ready()  # mail must not wait for it
        with contextlib.closing(Store.from_settings(settings)) as store:
            made = server(settings, lessons(journey, settings, store))
            failures = 0
            while True:
                try:
                    with contextlib.closing(opened(settings[LearnSettings])) as listener:
                        failures = 0
                        made.serve(listener.socket)
                except OSError as error:
                    failures += 1
                    if failures == _TRIES_UNTIL_TOLD:
                        log.error("[learn] socket: %s", error)
                time.sleep(_TRY_AGAIN)

    return (SideServer("server for bms learn", run),)


def server(settings: Settings, taught: Lessons) -> LearnServer:
    """A server with the settings of [learn]."""
    own = settings[LearnSettings]
    permissions = Permissions(own.teachers, taught.user_of)
    largest = settings[ProgramSettings].max_message
    return LearnServer(taught.teach, permissions.allow, largest=largest, timeout=own.timeout)


def opened(own: LearnSettings) -> Listener:
    """The listening socket. Raises SocketUnavailable."""
    spec = SocketSpec(socket.AF_UNIX, own.socket)
    return open_listener(spec, mode=own.socket_mode, group=own.socket_group or -1)
