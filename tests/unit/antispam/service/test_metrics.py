"""Metrics: one file, whole or not at all, that says how the filter is."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from bms import JOURNEY
from prometheus_client.parser import text_string_to_metric_families

from antispam.learning.teacher import Teacher
from antispam.service.application import Application, settings_classes
from antispam.service.metrics import EVERY, Metrics
from antispam.settings import SettingsError, load_text
from antispam.store import Store, StoreError
from antispam.store.engine import url_from
from antispam.store.outbox import Kind, QueuedMessage, post
from antispam.store.schema import quarantine_entry, stored_message
from dspam.store import TokenStore
from support.stores import make_store

NOW = 1_700_000_000.0
MAIL = b"From: ann@example.org\nSubject: x\n\nhello\n"


def written(store, tmp_path, lost=0):
    """{(name, label values): value} of the file."""
    path = tmp_path / "bms.prom"
    assert not Metrics(store, path, lost=lambda: lost, clock=lambda: NOW)()
    return read(path)


def read(path):
    families = text_string_to_metric_families(path.read_text())
    return {(sample.name, *sorted(sample.labels.values())): sample.value for one in families for sample in one.samples}


def test_an_empty_store_has_figures_too(store, tmp_path):
    found = written(store, tmp_path, lost=3)
    assert found["bms_store_up",] == 1
    assert found["bms_history_rows_lost",] == 3
    assert (
        found["bms_trainings_pending",]
        == found["bms_quarantine_messages",]
        == found["bms_outbox_messages", "failed"]
        == 0
    )
    assert ("bms_last_training_timestamp_seconds",) not in found


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


def test_a_database_that_is_gone_is_what_the_file_tells(tmp_path):
    gone = Store(f"sqlite:///{tmp_path}")
    with pytest.raises(StoreError):
        written(gone, tmp_path)
    found = read(tmp_path / "bms.prom")
    assert found["bms_store_up",] == found["bms_history_rows_lost",] == 0
    assert {name for name, *_ in found} == {
        "bms_store_up",
        "bms_history_rows_lost",
        "bms_log_lines_dropped",
        "bms_thread_failures",
    }


def test_a_folder_that_is_missing_is_an_error_that_the_housekeeper_knows(store, tmp_path):
    with pytest.raises(OSError, match="No such file"):
        Metrics(store, tmp_path / "none" / "bms.prom", lost=lambda: 0, clock=lambda: NOW)()


def test_it_is_written_every_minute_where_it_is_asked_for(tmp_path):
    text = f"[milter]\ndatadir = {tmp_path}\n[metrics]\nfile = {tmp_path}/bms.prom\n"
    settings = load_text(text, settings_classes(JOURNEY))
    make_store(url_from(settings))
    application = Application(JOURNEY, settings, clock=lambda: NOW)
    try:
        tasks = [chore for chore in application.chores() if isinstance(chore.task, Metrics)]
        assert [chore.every for chore in tasks] == [EVERY]
        tasks[0].task()
    finally:
        application.close()
    assert read(tmp_path / "bms.prom")["bms_store_up",] == 1


def test_a_name_that_the_collector_would_not_read_is_a_mistake():
    with pytest.raises(SettingsError, match="prom"):
        load_text("[metrics]\nfile = /var/lib/bms.txt\n", settings_classes(JOURNEY))
