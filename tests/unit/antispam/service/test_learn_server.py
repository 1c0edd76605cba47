"""The server that `bms learn` talks to: who may teach, and clients that mean no good."""

from __future__ import annotations

import contextlib
import os
import pwd
import socket
import threading
import types

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antispam.commands import learn_client
from antispam.learning.lessons import Answer, Outcome
from antispam.net.sockets import SocketUnavailable
from antispam.protocols import lesson_wire
from antispam.service import learn_server
from antispam.service.learn_server import LearnServer, Permissions
from antispam.settings.learn import LearnSettings
from support.patience import PATIENCE

RAW = b"From: a@example.org\r\n\r\nhello\r\n"


class Taught:
    """Stands in for the lessons: notes what it was to teach."""

    def __init__(self, answer=None):
        self.seen, self._answer = [], answer or Answer(Outcome.TAUGHT, "learned as spam")

    def __call__(self, login, is_spam, raw, deadline):
        self.seen.append((login, is_spam, raw))
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def conversation(server, sent, *, ends=True):
    """What the server answers to these octets."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(PATIENCE)
        ours.sendall(sent)
        if ends:
            ours.shutdown(socket.SHUT_WR)
        with contextlib.suppress(OSError):
            server.answer(theirs)
        theirs.close()
        return ours.recv(5000)


def make(taught, **more):
    return LearnServer(taught, lambda uid, login: True, **more)


def test_a_lesson_is_taught_and_answered():
    taught = Taught()
    said = conversation(make(taught), lesson_wire.request(True, b"ann", len(RAW)) + RAW, ends=False)
    assert (said, taught.seen) == (b"0 learned as spam\n", [("ann", True, RAW)])


def test_who_may_not_is_told_before_the_message_is_read():
    taught = Taught()
    server = LearnServer(taught, lambda uid, login: False)
    said = conversation(server, lesson_wire.request(True, b"bob", 10**9), ends=False)
    assert (said[:3], taught.seen) == (b"77 ", [])


def test_the_system_says_who_asks():
    asked = []
    server = LearnServer(Taught(), lambda uid, login: asked.append((uid, login)) or True)
    conversation(server, lesson_wire.request(True, b"bob", len(RAW)) + RAW)
    assert asked == [(os.getuid(), "bob")]


def test_what_is_too_large_is_refused_before_it_is_sent():
    said = conversation(make(Taught(), largest=1 << 20), lesson_wire.request(True, b"ann", (1 << 20) + 1), ends=False)
    assert said == b"65 the message is larger than 1 MB; nothing was learned\n"


def test_a_client_that_goes_too_early_has_taught_nothing():
    """A message without its end is another message."""
    taught = Taught()
    assert conversation(make(taught), lesson_wire.request(True, b"ann", len(RAW)) + RAW[:-1]) == b""
    assert taught.seen == []


def test_a_client_that_is_silent_is_let_go():
    assert conversation(make(Taught(), timeout=0.01), b"LEARN", ends=False) == b""


@given(st.binary(max_size=400))
@settings(max_examples=200)
def test_octets_that_are_no_request_teach_nothing(octets):
    taught = Taught()
    assert conversation(make(taught), octets)[:3] in (b"", b"65 ")
    assert taught.seen == []


def test_a_first_line_without_an_end_is_refused():
    assert conversation(make(Taught()), b"x" * 100_000, ends=False) == b"65 the first line is too long\n"


def test_a_name_without_an_end_is_refused():
    said = conversation(make(Taught()), lesson_wire.request(True, b"x" * 5000, 1), ends=False)
    assert said == b"67 the user's name is too long\n"


def test_a_defect_means_later_and_not_the_end(caplog):
    said = conversation(make(Taught(ValueError("oops"))), lesson_wire.request(True, b"ann", len(RAW)) + RAW)
    assert said.startswith(b"75 ")
    assert "oops" in caplog.text


def permissions(*teachers, users=None):
    return Permissions(teachers, lambda login: (users or {}).get(login, login))


@pytest.mark.parametrize("uid", [0, os.getuid()])
def test_root_and_the_filter_itself_teach_for_all(uid):
    assert permissions().allow(uid, "ann")


def test_others_teach_for_themselves_only(monkeypatch):
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: types.SimpleNamespace(pw_name="jim"))
    users = {"jim": "jim", "jim@example.com": "jim"}
    allowed = permissions(users=users)
    assert [allowed.allow(4711, login) for login in ("jim", "jim@example.com", "ann")] == [True, True, False]


def test_a_system_user_without_a_name_teaches_nobody():
    assert not permissions().allow(4_000_000_000, "ann")


def test_teachers_by_name_and_number_teach_for_all():
    allowed = permissions("nobody", "4711")
    assert allowed.allow(pwd.getpwnam("nobody").pw_uid, "ann")
    assert allowed.allow(4711, "ann")


def test_a_teacher_who_does_not_exist_is_logged(caplog):
    permissions("no-such-user")
    assert "there is no system user no-such-user" in caplog.text


def test_client_and_server_over_a_socket(tmp_path):
    taught, place = Taught(), str(tmp_path / "learn.sock")
    with contextlib.closing(learn_server.opened(LearnSettings(socket=place))) as listener:
        assert os.stat(place).st_mode & 0o777 == 0o660
        connection = threading.Thread(target=_serve_one, args=(make(taught), listener.socket))
        connection.start()
        assert learn_client.ask(place, False, "ann", RAW) == (0, "learned as spam")
        connection.join()
    assert taught.seen == [("ann", False, RAW)]


def test_a_client_whose_message_is_refused_unread_hears_why(tmp_path):
    """It is still sending when the answer comes."""
    place = str(tmp_path / "learn.sock")
    server = make(Taught(), largest=1 << 20)
    with contextlib.closing(learn_server.opened(LearnSettings(socket=place))) as listener:
        connection = threading.Thread(target=_serve_one, args=(server, listener.socket))
        connection.start()
        assert learn_client.ask(place, False, "ann", RAW * (1 << 17)) == (
            65,
            "the message is larger than 1 MB; nothing was learned",
        )
        connection.join()


def _serve_one(server, listening):
    listening.setblocking(True)
    connection, _ = listening.accept()
    with connection:
        server.answer(connection)


def test_the_permissions_of_the_socket_are_a_setting(tmp_path):
    place = tmp_path / "learn.sock"
    with contextlib.closing(learn_server.opened(LearnSettings(socket=str(place), socket_mode=0o600))):
        assert place.stat().st_mode & 0o777 == 0o600


def test_a_living_server_keeps_its_socket(tmp_path):
    own = LearnSettings(socket=str(tmp_path / "learn.sock"))
    with contextlib.closing(learn_server.opened(own)), pytest.raises(SocketUnavailable):
        learn_server.opened(own)
