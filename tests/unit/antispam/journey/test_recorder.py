"""What must be safe before the client hears 250: the quarantine and the outbox, in one transaction."""

from __future__ import annotations

import json
import threading

import pytest
import sqlalchemy as sa

from antispam.journey.recorder import StoreRecorder
from antispam.mail.decisions import Decision
from antispam.mail.message import Body, Header, Message
from antispam.mail.verdicts import quarantine
from antispam.store import StoreError
from antispam.store.history import HistoryWriter
from antispam.store.outbox import Kind, QueuedMessage
from antispam.store.quarantine import NewEntry
from antispam.store.schema import outbox, quarantine_entry, stored_message

pytestmark = pytest.mark.every_database

SPAM = Decision("dspam", quarantine("probability 0.99"))
QUEUED = QueuedMessage(Kind.COPY, "0123456789ab", "a@example.org", ("c@example.com",), b"Subject: x\r\n\r\ntext\r\n")


@pytest.fixture
def recorder(store):
    history = HistoryWriter(store)
    yield StoreRecorder(store, history, lambda: 1_700_000_000.0)
    history.close()


def message():
    it = Message("0123456789ab", "a@example.org", 1_700_000_000.0, Body(1 << 20))
    it.headers.append(Header(b"Subject", b" caf\xe9 \x00"))
    it.body.write(b"text \x00\xff\r\n")
    return it


def rows(store, table):
    with store.read() as connection:
        return connection.execute(sa.select(table)).all()


def test_a_message_is_kept_octet_by_octet(store, recorder):
    assert recorder.store(message(), [NewEntry("ann", ("ann@example.com",), SPAM, 0.99)])
    assert rows(store, stored_message)[0].content == b"Subject: caf\xe9 \x00\r\n\r\ntext \x00\xff\r\n"


def test_each_user_has_an_entry_of_his_own(store, recorder):
    kept = [
        NewEntry("ann", ("ann@example.com", "anna@example.com"), SPAM, 0.99),
        NewEntry("Ann", ("ann@example.net",), SPAM),
    ]
    assert recorder.store(message(), kept)
    ann, other = sorted(rows(store, quarantine_entry), key=lambda row: -len(row.recipients))
    assert (ann.user_name, json.loads(ann.recipients)) == ("ann", ["ann@example.com", "anna@example.com"])
    assert (ann.check_name, ann.action, ann.reason, ann.score) == ("dspam", "quarantine", "probability 0.99", 0.99)
    assert ann.subject == "caf\\xe9 \\x00"
    assert (other.user_name, other.score) == ("Ann", None)


def test_what_is_sent_is_kept_in_the_same_transaction(store, recorder):
    assert recorder.store(message(), [NewEntry("ann", ("ann@example.com",), SPAM)], [QUEUED])
    (queued,) = rows(store, outbox)
    assert (queued.kind, json.loads(queued.recipients), queued.content) == ("copy", ["c@example.com"], QUEUED.content)


def test_who_sends_is_told_of_messages_and_of_nothing_else(store):
    history, posted = HistoryWriter(store), threading.Event()
    recorder = StoreRecorder(store, history, lambda: 0.0, posted)
    recorder.store(message(), [NewEntry("ann", ("ann@example.com",), SPAM)])
    assert not posted.is_set()
    recorder.store(message(), [], [QUEUED])
    history.close()
    assert posted.is_set()


def test_a_message_that_can_not_be_kept_is_not_sent_either(store, recorder):
    assert recorder.store(message(), [NewEntry("ann", ("ann@example.com",), SPAM)])
    assert not recorder.store(message(), [NewEntry("bob", ("bob@example.com",), SPAM)], [QUEUED])
    assert rows(store, outbox) == []


def test_a_database_that_is_gone_is_said(store, recorder, monkeypatch, caplog):
    monkeypatch.setattr(store, "write", lambda: (_ for _ in ()).throw(StoreError("disk full")))
    assert not recorder.store(message(), [NewEntry("ann", ("ann@example.com",), SPAM)])
    assert "[0123456789ab] ERROR the message cannot be stored: disk full" in caplog.text


def test_of_messages_that_may_be_sent_once_the_second_is_dropped(store, recorder):
    once = QueuedMessage(Kind.ANSWER, "0123456789ab", "", ("a@example.org",), b"x", once="answer a@example.org today")
    assert recorder.store(message(), [], [once])
    assert recorder.store(message(), [], [once])
    assert len(rows(store, outbox)) == 1
