"""`bms learn`: what its words mean, where it looks for the filter, how it fails, and that it imports nothing heavy."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antispam.commands import learn_client
from antispam.commands.learn_client import CannotTeachError, own_name, read, socket_in, understood
from antispam.learning.teacher import Dictionaries
from antispam.protocols import lesson_wire
from antispam.settings import load_text
from antispam.settings.learn import LearnSettings
from antispam.settings.program import ProgramSettings
from antispam.store import Store
from support.patience import PATIENCE
from support.places import REPOSITORY

MAIL = b"From: a@example.org\r\nSubject: pills\r\n\r\nBuy!\r\n"
KNOWN = {"__main__", "antispam", "_socket", "pwd", "time", "__future__"} | {
    f"antispam.{name}" for name in ("commands", "commands.start", "commands.learn_client", "protocols")
} | {"antispam.protocols.lesson_wire"}  # fmt: skip


def asked(*words):
    found = understood(list(words))
    return found and (found.is_spam, found.user, found.file, found.place)


@pytest.mark.parametrize(
    ("words", "is_spam", "user", "file"),
    [
        (("learn", "--spam", "--user", "ann"), True, "ann", "-"),
        (("learn", "--user=ann", "--ham"), False, "ann", "-"),
        (("learn", "--ham", "--user", "ann", "mail.eml"), False, "ann", "mail.eml"),
        (("learn", "--ham", "--user", "ann", "-"), False, "ann", "-"),
        (("-c", "/no/such.cfg", "learn", "--ham", "--user", "ann"), False, "ann", "-"),
    ],
)
def test_the_usual_words_are_understood(words, is_spam, user, file):
    assert asked(*words, "--socket", "/s") == (is_spam, user, file, "/s")


def test_without_a_user_it_is_the_system_user_who_calls():
    assert asked("learn", "--spam", "--socket", "/s") == (True, own_name(), "-", "/s")


@pytest.mark.parametrize(
    "words",
    [
        (), ("report",), ("--help",), ("learn",), ("learn", "--help"), ("learn", "--spam", "--ham"),
        ("learn", "--spam", "--user"), ("learn", "--spam", "--direct"), ("learn", "--spam", "a", "b"),
        ("learn", "--spam", "--usr", "ann"), ("-c", "learn"), ("--config", "x", "learn"),
    ],
)  # fmt: skip
def test_other_words_are_for_the_whole_program(words):
    assert understood(list(words)) is None


CONFIGURED = [
    "[learn]\nsocket = /run/a.sock\n",
    "\ufeff[learn]\nSocket:/run/a.sock\n",
    "# [learn]\n[milter]\nsocket = local:/b\n[learn]\n;socket = /x\nsocket_mode = 0600\nsocket=/run/a.sock  \n",
    "[milter]\nsocket = local:/b\n",
    "[learn]\nteachers = a,\n\tsocket\n[milter]\nsocket = local:/b\n",
    "[learn]\nteachers = a,\n  socket = /x\n",
    "[learn]\nsocket =\n",
    "",
]


@pytest.mark.parametrize("text", CONFIGURED)
def test_it_reads_the_same_socket_as_the_settings(tmp_path, text):
    file = tmp_path / "milter.cfg"
    file.write_text(text)
    assert (
        socket_in(str(file))
        == load_text(text.removeprefix("\ufeff"), [LearnSettings, ProgramSettings])[LearnSettings].socket
    )


@given(st.binary(max_size=300))
def test_no_configuration_makes_it_fail(tmp_path_factory, content):
    file = tmp_path_factory.getbasetemp() / "any.cfg"
    file.write_bytes(content)
    assert isinstance(socket_in(str(file)), str)


def test_a_configuration_that_it_may_not_read_leaves_the_usual_place(tmp_path):
    found = understood(["-c", str(tmp_path), "learn", "--spam"])
    assert found is not None
    assert found.place == lesson_wire.DEFAULT_SOCKET


def test_a_message_that_is_too_large_is_not_sent(tmp_path, monkeypatch):
    monkeypatch.setattr(lesson_wire, "LARGEST", 1 << 20)
    file = tmp_path / "mail"
    file.write_bytes(b"x" * ((1 << 20) + 1))
    with pytest.raises(CannotTeachError, match="larger than 1 MB") as caught:
        read(str(file))
    assert caught.value.status == os.EX_DATAERR


def test_a_file_that_is_not_there_is_named(capsys):
    found = understood(["learn", "--spam", "--socket", "/s", "/no/such/file"])
    assert learn_client.teach(found) == os.EX_NOINPUT
    assert "/no/such/file cannot be read" in capsys.readouterr().err


def test_a_closed_standard_input_is_no_traceback(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", None)
    assert learn_client.teach(understood(["learn", "--spam", "--socket", "/s"])) == os.EX_NOINPUT
    assert "there is no standard input" in capsys.readouterr().err


@given(
    st.lists(
        st.sampled_from(["learn", "--spam", "--ham", "--user", "--user=a", "--socket", "-c", "x", "-", "--", "-x", ""])
    )
)
def test_no_words_make_it_fail(words):
    understood(words)


def test_without_a_filter_it_says_so_and_may_be_tried_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(learn_client, "_PATIENCE", 0.0)
    file = tmp_path / "mail"
    file.write_bytes(MAIL)
    found = understood(["learn", "--spam", "--socket", str(tmp_path / "none"), str(file)])
    assert learn_client.teach(found) == os.EX_TEMPFAIL
    assert "no filter listens at" in capsys.readouterr().err


def test_a_path_that_no_socket_can_have_is_no_traceback(tmp_path, capsys):
    file = tmp_path / "mail"
    file.write_bytes(MAIL)
    for place in ("/" + "x" * 200, "/a\0b"):
        assert learn_client.teach(understood(["learn", "--spam", "--socket", place, str(file)])) == os.EX_TEMPFAIL
    assert "no filter listens at" in capsys.readouterr().err


def test_nothing_heavy_is_imported_for_it():
    """A hook of a mail server waits for it: the bound is 30 ms, half of which is Python's own start."""
    code = (
        "import sys; before = set(sys.modules); sys.argv = ['bms', 'learn', '--spam', '--socket', '/none', '/none']\n"
        "from antispam.commands import start\n"
        "try: start.quick()\n"
        "except SystemExit: print(*(set(sys.modules) - before))"
    )
    lib = {"PYTHONPATH": str(REPOSITORY / "lib")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=lib, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) - KNOWN == set()


def test_bms_py_takes_the_short_way_too():
    done = subprocess.run(
        [sys.executable, "-X", "importtime", REPOSITORY / "bms.py", "learn", "--spam", "/no/such/file"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == os.EX_NOINPUT
    assert "click" not in done.stderr


def _bms(*arguments: str | Path, given: bytes = MAIL) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, REPOSITORY / "bms.py", *arguments]
    return subprocess.run(command, input=given, capture_output=True, check=False, timeout=PATIENCE)


def test_direct_opens_the_store_itself(tmp_path):
    config = tmp_path / "milter.cfg"
    config.write_text(f"[milter]\ndatadir = {tmp_path}\n")
    done = _bms("-c", config, "learn", "--spam", "--direct", "--user", "ann")
    assert (done.returncode, done.stdout) == (0, b"learned as spam\n"), done.stderr
    store = Store(f"sqlite:///{tmp_path}/bms.sqlite")
    try:
        assert Dictionaries(store).make("site").totals() == (1, 0)
    finally:
        store.close()


def test_direct_says_what_is_no_mail(tmp_path):
    config = tmp_path / "milter.cfg"
    config.write_text(f"[milter]\ndatadir = {tmp_path}\n")
    done = _bms("-c", config, "learn", "--spam", "--direct", given=b"no mail")
    assert (done.returncode, b"not a mail message" in done.stderr) == (os.EX_DATAERR, True)


def test_a_conversation_that_a_reload_cut_off_is_begun_again(tmp_path):
    """The predecessor's queue is closed with what nobody took out of it."""
    place = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(place)
        listening.listen()

        def serve():
            listening.accept()[0].close()
            connection, _ = listening.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(lesson_wire.answer(0, "learned as spam"))

        thread = threading.Thread(target=serve)
        thread.start()
        assert learn_client.ask(place, True, "bob", MAIL) == (0, "learned as spam")
        thread.join()
