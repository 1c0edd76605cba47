"""`bms outbox`: what waits and what failed, for people and for programs; nothing in it speaks to the terminal."""

from __future__ import annotations

import json
import time

import click.testing
import pytest
import sqlalchemy as sa
from bms import main

from antispam.store import outbox
from antispam.store.outbox import Kind, QueuedMessage, State
from antispam.store.schema import outbox as table
from support.scripted_mta import ScriptedMta
from support.stores import make_store

CONTENT = b"Subject: \x1b[31m\xff\r\n\r\nhi\r\n"


@pytest.fixture
def bms(tmp_path):
    config = tmp_path / "milter.cfg"

    def run(*arguments, host="127.0.0.1:1", **more):
        config.write_text(f"[milter]\ndatadir = {tmp_path}\n[outbox]\nhost = {host}\nhelo = a.example\n")
        # Wide enough that no cell is folded.
        runner = click.testing.CliRunner(env={"COLUMNS": "300"})
        return runner.invoke(main, ["--config", str(config), "outbox", *arguments], **more)

    return run


def post(store, *recipients, once=""):
    queued = QueuedMessage(Kind.ANSWER, "abcdefghijkl", "", recipients or ("b@example.com",), CONTENT, once)
    with store.write() as connection:
        outbox.post(store, connection, queued, time.time())
        return connection.scalar(sa.select(sa.func.max(table.c.id)))


def fail(store, number, error="550 no \x1b[31m"):
    outbox.given_up(store, outbox.claim(store, time.time(), 600.0, number), error, time.time())


def state(store, number):
    return outbox.entry(store, number, time.time()).state


def test_the_list_tells_what_waits_and_what_failed(store, bms):
    waiting, failed = post(store, *(f"r{number}@example.com" for number in range(5))), post(store)
    fail(store, failed)
    shown = bms("list").output
    assert shown.index("failed") < shown.index("waiting")
    assert "r0@example.com, r1@example.com, r2@example.com and 2 more" in shown
    assert "550 no \\x1b[31m" in shown
    only = bms("list", "--failed").output
    assert "failed" in only
    assert "waiting" not in only
    assert state(store, waiting) is State.WAITING


def test_the_list_for_programs_has_one_object_a_line(store, bms):
    post(store)
    fail(store, post(store, "\udcff@example.com"))
    failed, waiting = map(json.loads, bms("list", "--json").output.splitlines())
    assert (failed["state"], failed["recipients"], failed["last_error"]) == (
        "failed", ["\udcff@example.com"], "550 no \x1b[31m",
    )  # fmt: skip
    assert (waiting["number"], waiting["state"], waiting["size"], waiting["failed_at"]) == (
        1,
        "waiting",
        len(CONTENT),
        None,
    )


def test_a_message_is_shown_with_its_octets(store, bms):
    number = post(store)
    fail(store, number)
    shown = bms("show", str(number)).stdout_bytes
    head, _, content = shown.partition(b"\n\n")
    assert content == CONTENT
    assert b"last error:  550 no \\x1b[31m" in head
    assert b"recipients:  <b@example.com>" in head
    assert json.loads(bms("show", str(number), "--json").output)["state"] == "failed"


def test_a_terminal_is_told_no_escapes(store, bms, monkeypatch):
    number = post(store)
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda self: True, raising=False)
    shown = bms("show", str(number)).output
    assert "Subject: \\x1b[31m\\xff" in shown
    assert "\x1b" not in shown


def test_a_message_that_is_not_there_is_an_error_with_a_sentence(store, bms):
    result = bms("show", "7")
    assert result.exit_code == 1
    assert "there is no message 7 in the outbox" in result.output


def test_a_failed_message_can_be_sent_again(store, bms):
    number = post(store)
    fail(store, number)
    assert bms("retry", str(number)).exit_code == 0
    assert state(store, number) is State.WAITING


def test_a_message_can_be_sent_at_once_and_the_answer_is_printed(store, bms):
    number = post(store)
    with ScriptedMta(END=["451 4.3.0 \x1b[31mlater", "250 2.0.0 queued as 4Xy"]) as mta:
        refused = bms("retry", "--now", str(number), host=mta.host)
        assert (refused.exit_code, state(store, number)) == (1, State.WAITING)
        assert f"message {number}: end of message: 451 4.3.0 \\x1b[31mlater\n" in refused.output
        taken = bms("retry", "--now", str(number), host=mta.host)
    assert (taken.exit_code, taken.output) == (0, f"message {number}: 250 2.0.0 queued as 4Xy\n")
    assert bms("retry", "--now", str(number)).exit_code == 1


def test_all_failed_messages_can_be_sent_again_or_deleted_at_once(store, bms):
    numbers = [post(store) for _ in range(3)]
    for number in numbers[:2]:
        fail(store, number)
    assert bms("retry", "--failed").output == "message 1 will be sent\nmessage 2 will be sent\n"
    fail(store, numbers[0])
    assert bms("delete", "--failed", "--yes").output == "message 1 is deleted\n"
    assert bms("delete", "--failed").output == "no messages\n"
    assert {one.id for one in outbox.entries(store, time.time())} == set(numbers[1:])


def test_nothing_is_deleted_without_a_yes(store, bms):
    number = post(store)
    assert bms("delete", str(number), input="n\n").exit_code == 1
    assert state(store, number) is State.WAITING
    assert bms("delete", str(number), input="y\n").exit_code == 0
    assert outbox.entry(store, number, time.time()) is None


def test_a_message_under_way_is_left_alone_and_the_exit_status_says_so(store, bms):
    number = post(store)
    outbox.claim(store, time.time(), 600.0)
    for command in (("retry", str(number)), ("delete", "--yes", str(number))):
        result = bms(*command)
        assert result.exit_code == 1
        assert "it may be under way" in result.output
    assert state(store, number) is State.UNDER_WAY


@pytest.mark.parametrize("arguments", [(), ("1", "--failed")])
@pytest.mark.parametrize("command", ["retry", "delete"])
def test_messages_are_named_by_number_or_by_having_failed(store, bms, command, arguments):
    assert bms(command, *arguments).exit_code == 2


def test_a_database_that_can_not_be_used_is_an_error_with_a_sentence(tmp_path, bms):
    (tmp_path / "bms.sqlite").write_bytes(b"this is no database, however long it is" * 100)
    result = bms("list")
    assert result.exit_code == 1
    assert "Error: the database:" in result.output


def test_what_fails_beside_the_database_is_not_blamed_on_it(tmp_path, monkeypatch):
    def unreadable(*arguments):
        raise PermissionError(13, "Permission denied", "/var/mail/ann")

    config = tmp_path / "milter.cfg"
    config.write_text(f"[milter]\ndatadir = {tmp_path}\n")
    make_store(f"sqlite:///{tmp_path}/bms.sqlite")
    monkeypatch.setattr("antispam.commands.outbox.outbox.entries", unreadable)
    said = click.testing.CliRunner().invoke(main, ["--config", str(config), "outbox", "list"]).output
    assert said == "Error: /var/mail/ann: Permission denied\n"
