"""The courier: a message is done once the MTA has said 250, is kept whatever else it says, and nothing it does hurts."""

from __future__ import annotations

import dataclasses
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import bms
import pytest
import spfmilter
import sqlalchemy as sa

from antispam.service import courier as module
from antispam.service import smtp_conversation
from antispam.service.application import Application, settings_classes
from antispam.service.courier import Courier, NotWaiting, send_now
from antispam.settings import SettingsError, load_text
from antispam.settings.outbox import OutboxSettings, parse_host
from antispam.store import Store, StoreError, outbox
from antispam.store.outbox import Kind, QueuedMessage, State
from antispam.store.schema import outbox as table
from support.network import Network
from support.patience import PATIENCE
from support.ports import free_port
from support.scripted_mta import HANG, HANG_UP, ScriptedMta
from support.sink import Sink

NOW = 1_700_000_000.0
DAY = 86400.0
CONTENT = b"Received: from a\r\nSubject: hi\r\n\r\ntext\r\n"
QUEUED = QueuedMessage(Kind.RELEASE, "abcdefghijkl", "a@example.org", ("b@example.com", "c@example.com"), CONTENT)
LATER = "450 4.2.0 later"
ODD = "999 odd"
NONSENSE = b"\x00\xff nonsense\r\n"
ENDLESS = b"250 ok" * 2000
SETTINGS = OutboxSettings(helo="filter.example.test", timeout=PATIENCE)


@pytest.fixture(autouse=True)
def _log(caplog):
    caplog.set_level("INFO")


def post(store, **changes):
    with store.write() as connection:
        outbox.post(store, connection, dataclasses.replace(QUEUED, **changes), NOW)
        return connection.scalar(sa.select(sa.func.max(table.c.id)))


def courier(store, mta, now=NOW, **settings):
    host = mta if isinstance(mta, str) else mta.host
    settings = dataclasses.replace(SETTINGS, host=host, **settings)
    return Courier(store, settings, clock=lambda: now, chance=lambda: 0.0, every=0.0)


def entry(store, number=1):
    return outbox.entry(store, number, NOW)


# What is sent


def test_a_message_arrives_as_it_is_with_its_pass_on_top(store):
    with Sink(Network()) as sink:
        number = post(store, content=b"Subject: \xe4\r\n\r\n.\r\n..dots\r\nlast line without an end")
        assert courier(store, f"127.0.0.1:{sink.port}").round()
        (delivery,) = sink.wait(1)
    top, trace, rest = delivery.raw.split(b"\r\n", 2)
    assert top.startswith(b"X-BMS-Pass: %d." % number)
    assert trace == b"Received: by filter.example.test id abcdefghijkl.1; Tue, 14 Nov 2023 22:13:20 -0000"
    assert rest == b"Subject: \xe4\r\n\r\n.\r\n..dots\r\nlast line without an end\r\n"
    assert (delivery.sender, delivery.recipients) == ("a@example.org", QUEUED.recipients)
    shown = top.split(b": ")[1].decode()
    assert delivery.sender_parameters == (f"ENVID=bms-{shown}", "BODY=8BITMIME")
    assert entry(store) is None


def test_the_pass_that_is_sent_is_the_one_that_the_store_knows(store):
    with ScriptedMta(END=["451 later"]) as mta:
        number = post(store)
        courier(store, mta).round()
    secret = mta.transactions[0].content.partition(b"\r\n")[0].partition(b".")[2].decode()
    assert outbox.use_pass(store, number, secret, NOW)


def test_a_pass_stands_before_a_message_without_header_fields(store):
    with ScriptedMta() as mta:
        post(store, content=b"\r\nReceived: is text here\r\n" * 60)
        assert courier(store, mta).round()
    assert mta.transactions[0].content.count(b"\r\n\r\nReceived: is") == 60


def test_the_null_path_is_sent_as_such(store):
    with ScriptedMta() as mta:
        post(store, mail_from="")
        courier(store, mta).round()
    assert mta.transactions[0].mail == "MAIL FROM:<>"


@pytest.mark.parametrize(
    ("offered", "words"),
    [
        ("250-x\r\n250-8BITMIME\r\n250 SMTPUTF8", " BODY=8BITMIME SMTPUTF8"),
        ("250 x", ""),
    ],
)
def test_what_is_not_ascii_is_announced_where_that_is_offered_and_sent_anyway(store, offered, words):
    with ScriptedMta(EHLO=[offered]) as mta:
        post(store, mail_from="ü@example.org", recipients=("\udcff@example.com",), content=b"A: b\r\n\r\n\xff\r\n")
        courier(store, mta).round()
    (transaction,) = mta.transactions
    assert transaction.mail == f"MAIL FROM:<ü@example.org>{words}"
    assert transaction.recipients == ["RCPT TO:<\udcff@example.com>"]


def test_an_mta_that_knows_no_ehlo_is_asked_with_helo(store):
    with ScriptedMta(EHLO=["502 what?"]) as mta:
        post(store)
        courier(store, mta).round()
    assert "helo filter.example.test" in mta.commands
    assert len(mta.transactions) == 1


def test_several_messages_go_over_one_connection(store):
    with ScriptedMta() as mta:
        for _ in range(3):
            post(store)
        courier(store, mta).round()
    assert (mta.connections, len(mta.transactions)) == (1, 3)
    assert [command for command in mta.commands if command[:4] in ("rset", "quit")] == ["rset", "rset", "quit"]


def test_an_mta_is_not_held_for_ever(store, monkeypatch):
    monkeypatch.setattr(smtp_conversation, "PER_CONNECTION", 2)
    with ScriptedMta() as mta:
        for _ in range(5):
            post(store)
        courier(store, mta).round()
    assert (mta.connections, len(mta.transactions)) == (3, 5)


def test_an_mta_that_wants_no_further_message_on_a_connection_gets_it_on_another(store):
    with ScriptedMta(RSET=["421 enough", HANG_UP]) as mta:
        for _ in range(3):
            post(store)
        courier(store, mta).round()
    assert (mta.connections, len(mta.transactions)) == (3, 3)


def test_the_log_says_who_took_what(store, caplog):
    with ScriptedMta(END=["250 2.0.0 queued as 4Xy"]) as mta:
        post(store)
        courier(store, mta).round()
    assert "[abcdefghijkl] SENT message 1 (release); to=<b@example.com>,<c@example.com>: 250 2.0.0 queued as 4Xy" in (
        caplog.text
    )


# What goes wrong


@pytest.mark.parametrize("step", ["connect", "EHLO", "MAIL", "RCPT", "DATA", "END"])
@pytest.mark.parametrize("answer", [LATER, HANG, HANG_UP, NONSENSE, ENDLESS, ODD])
def test_a_try_that_fails_for_now_is_followed_by_another(store, step, answer):
    """Wherever it fails, and however."""
    answers = [answer] * (2 if step == "RCPT" and answer == LATER else 1)
    script = {step: answers} | ({"HELO": [answer]} if step == "EHLO" and answer in (LATER, NONSENSE, ODD) else {})
    with ScriptedMta(**script) as mta:
        number = post(store)
        sender = courier(store, mta, timeout=0.05 if answer in (HANG, ENDLESS) else PATIENCE)
        sender.round()
        found = entry(store)
        assert (found.state, found.next_at, found.recipients) == (State.WAITING, NOW + 60, QUEUED.recipients)
        assert found.last_error
        assert found.content == CONTENT
    with ScriptedMta() as mta:  # another: on a busy machine the first time limit may have ended the try before the step
        courier(store, mta, NOW + 60).round()
    assert outbox.entry(store, number, NOW) is None


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA", "END"])
def test_what_is_refused_for_good_is_given_up_kept_and_said(store, step, caplog):
    with ScriptedMta(**{step: ["550 5.1.1 no\x1b[31m"] * 2}) as mta:
        post(store)
        courier(store, mta).round()
    found = entry(store)
    assert (found.state, found.failed_at, found.content) == (State.FAILED, NOW, CONTENT)
    assert "550 5.1.1 no" in found.last_error
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert (
        "ERROR message 1 (release) cannot be sent and is given up; to=<b@example.com>,<c@example.com>:"
        in record.getMessage()
    )
    assert "\x1b" not in caplog.text


@pytest.mark.parametrize(
    "script",
    [{"connect": ["554 go away"]}, {"EHLO": ["550 go away"], "HELO": ["550 go away"]}],
    ids=["greeting", "EHLO"],
)
def test_an_mta_that_wants_nobody_s_mail_is_no_fault_of_the_message(store, script):
    with ScriptedMta(**script) as mta:
        post(store)
        assert not courier(store, mta).round()
    assert entry(store).state is State.WAITING


def test_an_mta_that_is_down_is_not_asked_by_every_message(store):
    host = f"127.0.0.1:{free_port()}"
    first, second = post(store), post(store)
    assert not courier(store, host).round()
    assert "refused" in entry(store, first).last_error
    assert entry(store, second).tries == 0


def test_who_was_taken_is_not_sent_to_again(store):
    with ScriptedMta(RCPT=["250 ok", "450 later"]) as mta:
        post(store)
        courier(store, mta).round()
        found = entry(store)
        assert (found.state, found.recipients, found.next_at) == (State.WAITING, ("c@example.com",), NOW + 60)
        courier(store, mta, NOW + 60).round()
    assert [transaction.recipients for transaction in mta.transactions] == [
        ["RCPT TO:<b@example.com>", "RCPT TO:<c@example.com>"],
        ["RCPT TO:<c@example.com>"],
    ]
    assert entry(store) is None


def test_a_message_fails_for_those_who_were_refused_for_good_and_only_for_them(store):
    with ScriptedMta(RCPT=["550 unknown", "250 ok"]) as mta:
        post(store)
        courier(store, mta).round()
    found = entry(store)
    assert (found.state, found.recipients) == (State.FAILED, ("b@example.com",))


def test_who_was_refused_for_good_waits_while_others_were_refused_for_now(store):
    with ScriptedMta(RCPT=["550 unknown", "450 later"]) as mta:
        post(store)
        courier(store, mta).round()
    assert entry(store).state is State.WAITING
    assert not mta.transactions


def test_when_those_who_were_taken_do_not_get_it_nobody_is_crossed_off(store):
    with ScriptedMta(RCPT=["250 ok", "550 unknown"], END=["450 later"]) as mta:
        post(store)
        courier(store, mta).round()
    assert entry(store).recipients == QUEUED.recipients


def test_more_recipients_than_the_mta_takes_at_once_come_in_several_transactions(store):
    people = tuple(f"r{number}@example.com" for number in range(5))
    with ScriptedMta(RCPT=["250 ok", "250 ok", "452 too many", "250 ok", "250 ok", "452 too many"]) as mta:
        post(store, recipients=people)
        courier(store, mta).round()
    assert [len(transaction.recipients) for transaction in mta.transactions] == [3, 3, 1]
    assert entry(store) is None


@pytest.mark.parametrize(
    "address", ["b@example.com>\r\nRCPT TO:<evil@example.net", "b\0@example.com", "b\n@example.com"]
)
def test_an_address_that_would_be_a_command_is_never_said(store, address):
    with ScriptedMta() as mta:
        post(store, recipients=(address, "c@example.com"))
        courier(store, mta).round()
    assert mta.transactions[0].recipients == ["RCPT TO:<c@example.com>"]
    assert entry(store).recipients == (address,)


def test_an_answer_to_a_question_that_was_not_asked_yet_is_no_answer(store):
    with ScriptedMta(DATA=[b"354 go on\r\n250 taken\r\n"]) as mta:
        post(store)
        courier(store, mta).round()
    assert entry(store).last_error == "it sent a reply that was not asked for"


def test_an_mta_that_never_ends_its_reply_is_left(store):
    with ScriptedMta(MAIL=[b"250-and so on\r\n" * 100_000]) as mta:
        post(store)
        courier(store, mta).round()
    assert "the reply does not end" in entry(store).last_error


def test_the_end_of_the_message_is_waited_for_longer_than_anything_else(store, monkeypatch):
    asked = []
    original = smtp_conversation._Conversation.wait_longer
    monkeypatch.setattr(
        smtp_conversation._Conversation, "wait_longer", lambda self, s: (asked.append(s), original(self, s))[1]
    )
    with ScriptedMta() as mta:
        post(store)
        courier(store, mta).round()
    assert asked == [PATIENCE, 5 * PATIENCE]


def test_the_lease_outlasts_the_longest_try():
    assert SETTINGS.lease > SETTINGS.patience >= 6 * SETTINGS.timeout


def test_a_message_that_goes_in_a_circle_is_given_up_unsent(store):
    with ScriptedMta() as mta:
        post(store, content=b"RECEIVED : x\r\n" * 51 + b"\r\n")
        post(store, content=b"Received: x\r\n" * 50 + b"\r\nReceived: in the text\r\n")
        courier(store, mta).round()
    assert entry(store).state is State.FAILED
    assert entry(store).last_error == "mail loop: more than 50 Received fields"
    assert len(mta.transactions) == 1


def test_a_message_that_comes_back_and_is_posted_again_has_one_field_more_each_time(store):
    """So that a circle ends even where the filter doesn't know its own mail; it sees no field that its own MTA added."""
    content = CONTENT
    with ScriptedMta() as mta:
        for _ in range(60):
            post(store, content=content)
            courier(store, mta).round()
            content = mta.transactions[-1].content.partition(b"\r\n")[2]
    assert len(mta.transactions) == 50
    assert outbox.counts(store, NOW) == {"failed": 10}


# When the next try is


def test_the_next_try_is_later_each_time_but_never_later_than_an_hour():
    pauses = [OutboxSettings().pause(tries, 0.0) for tries in (0, 1, 2, 3, 6, 7, 8, 10_000)]
    assert pauses == [60, 60, 120, 240, 1920, 3600, 3600, 3600]


def test_tries_are_spread_over_a_quarter_more():
    assert OutboxSettings().pause(1, 1.0) == 75


def test_after_five_days_a_message_is_given_up(store):
    with ScriptedMta(MAIL=["450 later", "450 still later"]) as mta:
        post(store)
        courier(store, mta, NOW + 5 * DAY - 1).round()
        assert entry(store).state is State.WAITING
        courier(store, mta, NOW + 6 * DAY).round()
    assert entry(store).state is State.FAILED
    assert "450 still later" in entry(store).last_error


# Whose courier it is


def test_a_program_without_an_outbox_has_no_courier(tmp_path):
    """Its mail would not be known when it comes back, and its configuration does not say where to send it."""
    for journey, wanted in ((bms.JOURNEY, True), (spfmilter.JOURNEY, False)):
        settings = load_text(f"[milter]\ndatadir = {tmp_path}\n", settings_classes(journey))
        application = Application(journey, settings, record=False)
        assert (application.courier() is not None) is wanted
        application.close()


# Crashes and company


def test_a_crash_after_the_250_sends_the_message_twice_and_not_never(store, monkeypatch):
    class Killed(BaseException):
        """Nothing that the code could catch."""

    def killed(*args):
        raise Killed

    with ScriptedMta() as mta:
        post(store)
        with monkeypatch.context() as patch:
            patch.setattr(outbox, "delivered", killed)
            with pytest.raises(Killed):
                courier(store, mta).round()
        assert entry(store).state is State.UNDER_WAY
        courier(store, mta, NOW + SETTINGS.lease).round()
    assert len(mta.transactions) == 2
    assert entry(store) is None


_CHILD = """
import sys
from antispam.service.courier import Courier
from antispam.settings.outbox import OutboxSettings
from antispam.store import Store
store = Store(sys.argv[1])
Courier(store, OutboxSettings(host=sys.argv[2], helo="a.example"), clock=lambda: float(sys.argv[3])).round()
"""


@pytest.mark.parametrize("step", ["connect", "MAIL", "RCPT", "DATA", "END"])
def test_a_process_that_is_killed_loses_no_message(store, tmp_path, step):
    """The MTA kills it before it answers, and takes the message all the same where it has it."""
    child, started = None, threading.Event()

    def kill():
        started.wait(PATIENCE)
        child.kill()
        child.wait(PATIENCE)
        return {"connect": "220 hi", "DATA": "354 go on"}.get(step, "250 ok")

    with ScriptedMta(**{step: [kill]}) as mta:
        post(store)
        place = Path(module.__file__).parents[1]
        url = f"sqlite:///{tmp_path / 'bms.sqlite'}"
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD, url, mta.host, str(NOW)], env={"PYTHONPATH": str(place)}
        )
        started.set()
        assert child.wait(PATIENCE) == -9
        assert entry(store).state is State.UNDER_WAY
        courier(store, mta, NOW + OutboxSettings().lease - 1).round()
        assert entry(store) is not None
        courier(store, mta, NOW + OutboxSettings().lease).round()
    assert entry(store) is None
    assert len(mta.transactions) == (2 if step == "END" else 1)


def test_a_store_that_is_locked_for_a_moment_does_not_send_a_message_twice(store, monkeypatch):
    original, failures = outbox.delivered, [1, 2, 3]

    def locked(*args):
        if failures:
            failures.pop()
            raise StoreError("locked")
        return original(*args)

    monkeypatch.setattr(outbox, "delivered", locked)
    with ScriptedMta() as mta:
        post(store)
        assert courier(store, mta).round()
    assert len(mta.transactions) == 1
    assert entry(store) is None


def test_a_store_that_fails_after_the_250_is_said_to_make_a_second_copy(store, monkeypatch, caplog):
    monkeypatch.setattr(outbox, "delivered", lambda *args: (_ for _ in ()).throw(StoreError("disk full")))
    with ScriptedMta() as mta:
        post(store)
        assert not courier(store, mta).round()
    assert (
        "ERROR message 1 (release) was sent, but this cannot be recorded: it may be sent a second time: disk full"
        in caplog.text
    )


def test_a_store_that_is_down_is_said_once(store, monkeypatch, caplog):
    monkeypatch.setattr(outbox, "claim", lambda *args, **more: (_ for _ in ()).throw(StoreError("gone")))
    sender = courier(store, "127.0.0.1:1")
    assert not sender.round()
    assert not sender.round()
    assert caplog.text.count("outbox: gone") == 1


def test_two_couriers_send_each_message_once(store, tmp_path):
    """Both may even be in the middle of a message at the same moment."""
    meet = threading.Barrier(2, timeout=PATIENCE)

    def both():
        meet.wait()
        return "250 ok"

    with ScriptedMta(END=[both, both]) as mta:
        numbers = [post(store) for _ in range(6)]
        others = Store(f"sqlite:///{tmp_path / 'bms.sqlite'}")
        threads = [threading.Thread(target=courier(each, mta).round) for each in (store, others)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        others.close()
    queued_messages = [transaction.content.partition(b".")[0] for transaction in mta.transactions]
    assert sorted(queued_messages) == sorted(b"X-BMS-Pass: %d" % number for number in numbers)


def test_a_message_of_this_process_does_not_wait_for_the_next_look(store):
    posted, taken = threading.Event(), threading.Event()

    def end():
        taken.set()
        return "250 ok"

    with ScriptedMta(END=[end]) as mta:
        settings = dataclasses.replace(SETTINGS, host=mta.host)
        sender = Courier(store, settings, posted=posted, clock=lambda: NOW, every=3600.0)
        looked = threading.Event()
        sender.round = lambda original=sender.round: (original(), looked.set())[0]
        sender.start()
        assert looked.wait(PATIENCE)
        post(store)
        posted.set()
        assert taken.wait(PATIENCE)
        sender.close(grace=PATIENCE)
    assert entry(store) is None


def test_a_stop_does_not_wait_for_a_silent_mta(store):
    asked = threading.Event()

    def silent():
        asked.set()
        return ""

    with ScriptedMta(MAIL=[silent]) as mta:
        post(store)
        sender = courier(store, mta, timeout=3600.0)
        sender.start()
        assert asked.wait(PATIENCE)
        sender.close(grace=0.1)
        sender._thread.join(PATIENCE)
        assert not sender._thread.is_alive()
    assert entry(store).state is State.WAITING


def test_a_stop_before_the_start_is_none(store):
    courier(store, "127.0.0.1:1").close()


def test_a_defect_does_not_end_the_courier(store, monkeypatch, caplog):
    monkeypatch.setattr(module, "UNREACHABLE_PAUSE", 0.0)
    claims = iter([RuntimeError("a defect\x1b"), None])
    again = threading.Event()

    def claim(*args, **more):
        error = next(claims, None)
        if error:
            raise error
        again.set()

    monkeypatch.setattr(outbox, "claim", claim)
    sender = courier(store, "127.0.0.1:1")
    sender.start()
    assert again.wait(PATIENCE)
    sender.close(grace=PATIENCE)
    assert "RuntimeError: a defect" in caplog.text


def test_what_stands_in_the_store_after_a_kill_is_whole(store, tmp_path):
    """What another process sees while a message is under way is a message that waits."""
    seen = []

    def look():
        with closing(sqlite3.connect(tmp_path / "bms.sqlite")) as connection, connection:
            seen.extend(connection.execute("SELECT recipients, content, sent_at, failed_at FROM outbox"))
        connection.close()
        return "250 ok"

    with ScriptedMta(END=[look]) as mta:
        post(store)
        courier(store, mta).round()
    assert seen == [('["b@example.com", "c@example.com"]', CONTENT, None, None)]


# send_now


def now(store, mta, number, at=NOW):
    settings = dataclasses.replace(SETTINGS, host=mta.host)
    return send_now(store, settings, number, clock=lambda: at, chance=lambda: 0.0)


def test_a_message_can_be_sent_at_once_and_the_answer_is_told(store):
    with ScriptedMta(END=["250 2.0.0 queued as 4Xy"]) as mta:
        post(store)
        result = now(store, mta, post(store))
        assert (result.taken, result.answer) == (QUEUED.recipients, "250 2.0.0 queued as 4Xy")
    assert [one.id for one in outbox.entries(store, NOW)] == [1]


def test_a_message_that_waits_or_failed_can_be_sent_at_once(store):
    with ScriptedMta(MAIL=["450 later", "550 no"]) as mta:
        number = post(store)
        assert now(store, mta, number).answer == "MAIL FROM: 450 later"
        refused = now(store, mta, number)
        assert (refused.answer, refused.for_good, refused.taken) == ("MAIL FROM: 550 no", True, ())
        assert now(store, mta, number).taken


def test_a_message_that_is_under_way_is_not_sent_beside(store):
    number = post(store)
    outbox.claim(store, NOW, 600.0)
    with ScriptedMta() as mta, pytest.raises(NotWaiting, match="message 1"):
        now(store, mta, number)
    assert not mta.transactions


# Settings


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("localhost", ("localhost", 25)),
        ("localhost:2525", ("localhost", 2525)),
        ("192.0.2.1:25", ("192.0.2.1", 25)),
        ("[::1]:25", ("::1", 25)),
        ("[2001:db8::1]", ("2001:db8::1", 25)),
    ],
)
def test_an_mta_is_named_by_host_and_port(text, address):
    assert parse_host(text) == address


@pytest.mark.parametrize("text", ["", ":25", "::1", "a:b", "a:0", "a:65536", "[::1", "a b:25", "a:25:26", "[]:25"])
def test_what_names_no_mta_is_a_mistake(text):
    with pytest.raises(SettingsError, match="host"):
        load_text(f"[outbox]\nhost = {text}\n", [OutboxSettings])
