"""Metrics: one file, whole or not at all, that says how the filter is."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from bms import JOURNEY
from prometheus_client.parser import text_string_to_metric_families

from antispam.journey.history_row import row_for
from antispam.learning.teacher import Teacher
from antispam.mail.connection import Connection
from antispam.mail.decisions import Decision
from antispam.mail.message import Body, Message, Recipient
from antispam.mail.subject import Subject
from antispam.mail.verdicts import CONTINUE, reject
from antispam.service.activity import Load
from antispam.service.application import Application, settings_classes
from antispam.service.board import Board
from antispam.service.counting import Counts
from antispam.service.families import families
from antispam.service.metrics import DICTIONARIES, EVERY, Metrics, chores
from antispam.settings import Mode, SettingsError, load_text
from antispam.store import Store
from antispam.store.connecting import url_from
from antispam.store.history import HistoryWriter
from antispam.store.hours import Hours
from antispam.store.outbox import Kind, QueuedMessage, post
from antispam.store.schema import quarantine_entry, stored_message
from dspam.features import extract
from dspam.schema import dspam_user
from dspam.store import TokenStore
from support.stores import make_store

NOW = 1_700_000_000.0
MAIL = b"From: ann@example.org\nSubject: x\n\nhello\n"


def written(store, tmp_path, board=None):
    """{(name, label values): value} of the file."""
    path = tmp_path / "bms.prom"
    Metrics(board or Board(families(JOURNEY)), store, lambda: NOW).write(path)
    return read(path)


def read(path):
    families = text_string_to_metric_families(path.read_text())
    return {(sample.name, *sorted(sample.labels.values())): sample.value for one in families for sample in one.samples}


def test_an_empty_store_has_figures_too(store, tmp_path):
    found = written(store, tmp_path)
    assert found["bms_store_up",] == 1
    assert (
        found["bms_trainings_pending",]
        == found["bms_quarantine_messages",]
        == found["bms_outbox_messages", "failed"]
        == 0
    )
    assert ("bms_last_training_timestamp_seconds",) not in found


def test_what_the_processes_counted_is_in_the_file(store, tmp_path):
    board = Board(families(JOURNEY))
    counts = Counts(board.page(board.claim()))
    counts.decided(Decision("spf", reject("", "forged"), Mode.LOG))
    counts.collected("spf", 0.3)
    counts.failed("dmarc")
    counts.answered(0.02)
    counts.concluded(CONTINUE)
    counts.looked_up(False)
    counts.store_failed(True)
    counts.beat(Load(3, 2), waiting=5, lost=1)
    found = written(store, tmp_path, board)
    assert found["bms_check_verdicts_total", "log", "reject", "spf"] == 1
    assert ("bms_check_verdicts_total", "continue", "log", "spf") not in found
    assert found["bms_check_seconds_bucket", "0.1", "spf"] == 0
    assert found["bms_check_seconds_bucket", "0.5", "spf"] == found["bms_check_seconds_bucket", "+Inf", "spf"] == 1
    assert found["bms_check_seconds_sum", "spf"] == 0.3
    assert found["bms_check_errors_total", "dmarc"] == 1
    assert found["bms_message_seconds_bucket", "0.025"] == 1
    assert found["bms_messages_total", "continue"] == 1
    assert found["bms_dns_questions_total", "failed"] == 1
    assert found["bms_store_errors_total", "busy"] == 1
    assert (found["bms_sessions",], found["bms_messages_in_flight",], found["bms_history_rows_waiting",]) == (3, 2, 5)
    assert found["bms_history_rows_lost_total",] == 1
    assert found["bms_memory_bytes",] > 1_000_000


def test_the_number_of_series_does_not_depend_on_mail():
    series = sum(len(family.values) for family in families(JOURNEY))
    assert series < 2000


def test_what_was_taught_is_counted_for_each_dictionary(store, tmp_path):
    teacher = Teacher(store, 'a"b', tokens=TokenStore(store, now=lambda: NOW))
    teacher.teach(MAIL, True)
    assert written(store, tmp_path)["bms_trainings_pending",] == 1
    teacher.fold()
    found = written(store, tmp_path)
    assert found["bms_last_training_timestamp_seconds",] == NOW
    assert found["bms_trainings_pending",] == 0
    assert found["bms_dictionary_messages", 'a"b', "spam"] == 1
    assert found["bms_dictionary_messages", 'a"b', "ham"] == 0
    assert found["bms_dictionary_tokens", 'a"b'] > 10


def test_what_waits_in_quarantine_and_outbox_is_counted(store, tmp_path):
    entry = {"user_name": "ann", "received_at": NOW, "mail_from": "", "recipients": "[]", "subject": "", "size": 700}
    entry |= {"check_name": "dspam", "action": "quarantine", "reason": ""}
    with store.write() as connection:
        for ref, released_at in (("one", None), ("two", NOW)):
            connection.execute(sa.insert(stored_message).values(ref=ref, stored_at=NOW, content=b""))
            connection.execute(sa.insert(quarantine_entry).values(ref=ref, released_at=released_at, **entry))
        post(store, connection, QueuedMessage(Kind.ANSWER, "one", "", ("bob@example.com",), MAIL), NOW)
    found = written(store, tmp_path)
    assert (found["bms_quarantine_messages",], found["bms_quarantine_bytes",]) == (1, 700)
    assert (found["bms_outbox_messages", "waiting"], found["bms_outbox_messages", "failed"]) == (1, 0)


def test_what_users_corrected_is_counted_beside_what_was_decided(store, tmp_path):
    writer = HistoryWriter(store)
    for ref, verdict in (("one", CONTINUE), ("two", CONTINUE), ("three", reject("", "spam"))):
        message = Message(ref, "ann@example.org", NOW - 3600.0, Body(1 << 10))
        message.recipients.append(Recipient("bob@example.com"))
        subject = Subject(Connection(ref="c", ip="192.0.2.1"), message)
        writer.record(lambda node, of=subject, what=verdict: row_for(of, what, node))
    writer.flush()
    writer.close()
    teacher = Teacher(store, "bob", tokens=TokenStore(store, now=lambda: NOW))
    teacher.learn("one", extract(MAIL), True)
    teacher.learn("three", extract(MAIL), False)
    path = tmp_path / "bms.prom"
    Metrics(Board(), store, lambda: NOW, Hours(store)).write(path)
    found = read(path)
    assert found["bms_decided_messages",] == 3
    assert (found["bms_corrected_messages", "spam"], found["bms_corrected_messages", "ham"]) == (1, 1)


def test_of_many_dictionaries_the_largest_have_figures_of_their_own(store, tmp_path):
    zeros = {column.name: 0 for column in dspam_user.c if column.name not in ("id", "name", "tokens")}
    users = [{"name": f"user{number:03}", "tokens": number, **zeros} for number in range(DICTIONARIES + 10)]
    with store.write() as connection:
        connection.execute(sa.insert(dspam_user), users)
    shown = {
        name for metric, *labels in written(store, tmp_path) if metric == "bms_dictionary_tokens" for name in labels
    }
    assert shown == {f"user{number:03}" for number in range(10, DICTIONARIES + 10)}


def test_a_database_that_is_gone_is_what_the_file_tells(tmp_path):
    found = written(Store(f"sqlite:///{tmp_path}"), tmp_path)
    assert found["bms_store_up",] == found["bms_history_rows_lost_total",] == 0
    assert ("bms_quarantine_messages",) not in found


def test_a_folder_that_is_missing_is_an_error_that_the_housekeeper_knows(store, tmp_path):
    with pytest.raises(OSError, match="No such file"):
        Metrics(Board(), store, lambda: NOW).write(tmp_path / "none" / "bms.prom")


def test_it_is_written_every_minute_where_it_is_asked_for(store, tmp_path):
    text = f"[milter]\ndatadir = {tmp_path}\n[metrics]\nfile = {tmp_path}/bms.prom\n"
    (chore,) = chores(load_text(text, settings_classes(JOURNEY)), store, Board())
    assert chore.every == EVERY
    assert not chore.task()
    assert read(tmp_path / "bms.prom")["bms_store_up",] == 1


def test_what_the_application_does_is_counted(tmp_path):
    settings = load_text(
        f"[milter]\ndatadir = {tmp_path}\n[dns]\nnameservers = 127.0.0.1@9\n", settings_classes(JOURNEY)
    )
    make_store(url_from(settings))
    board = Board(families(JOURNEY))
    application = Application(JOURNEY, settings, clock=lambda: NOW, counts=Counts(board.own))
    try:
        session = application.session()
        session.connect("127.0.0.1")
        session.helo("localhost")
        session.mail("ann@example.org")
        session.abort()
    finally:
        application.close()
    found = {(figure.family.name, *figure.values): figure.numbers for figure in board.figures()}
    assert found["bms_messages_total", "unfinished"] == (1,)
    assert found["bms_check_verdicts_total", "connection", "continue", "enforce"] == (1,)
    assert sum(found["bms_check_seconds", "connection"][:-1]) == 1


def test_a_name_that_the_collector_would_not_read_is_a_mistake():
    with pytest.raises(SettingsError, match="prom"):
        load_text("[metrics]\nfile = /var/lib/bms.txt\n", settings_classes(JOURNEY))
