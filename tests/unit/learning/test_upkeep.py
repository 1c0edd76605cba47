"""Upkeep of the dictionaries: old signatures and trainings go, and silence is told."""

from __future__ import annotations

import pytest
from bms import JOURNEY

from antispam.application import Application, settings_classes
from antispam.housekeeping import Housekeeper
from antispam.learning.teacher import Teacher
from antispam.learning.upkeep import DAY, Alarm, UpkeepSettings, last_training, learning_chores
from antispam.program import ProgramSettings
from antispam.settings import SettingsError, load_text
from antispam.store import Store, migrate
from antispam.store.engine import url_from
from dspam.store import TokenStore, get_signature, put_signature

NOW = 1_700_000_000.0
MAIL = b"From: ann@example.org\nSubject: x\n\nhello\n"


@pytest.fixture
def store(tmp_path):
    url = f"sqlite:///{tmp_path}/bms.sqlite"
    migrate(url)
    store = Store(url)
    yield store
    store.close()


def teacher_at(store, when):
    return Teacher(store, tokens=TokenStore(store, now=lambda: when))


def alarms(store, caplog, now, after=14 * DAY):
    caplog.clear()
    assert not Alarm(store, after, lambda: now)()
    return [record.getMessage() for record in caplog.records]


def test_a_filter_that_nobody_teaches_any_more_is_told_of(store, caplog):
    teacher_at(store, NOW).teach(MAIL, True)
    assert alarms(store, caplog, NOW + 13 * DAY) == []
    assert "has not been taught for 15 days" in alarms(store, caplog, NOW + 15 * DAY)[0]


def test_a_filter_that_nobody_ever_taught_is_silent(store, caplog):
    assert alarms(store, caplog, NOW) == []
    assert last_training(store) is None


def test_the_alarm_can_be_turned_off(store):
    assert len(learning_chores(UpkeepSettings(), store, lambda: NOW)) == 2
    assert len(learning_chores(UpkeepSettings(alarm=0.0), store, lambda: NOW)) == 1


def test_a_round_forgets_signatures_and_what_could_be_taken_back(store):
    teacher = teacher_at(store, NOW - 31 * DAY)
    teacher.teach(MAIL, True)
    teacher.fold()
    put_signature(store, teacher.number, "old", b"x", now=NOW - 31 * DAY)
    put_signature(store, teacher.number, "new", b"x", now=NOW - 29 * DAY)
    Housekeeper(learning_chores(UpkeepSettings(), store, lambda: NOW), pause=0).round()
    assert get_signature(store, teacher.number, "old") is None
    assert get_signature(store, teacher.number, "new") is not None
    assert not teacher.take_back(MAIL)
    assert teacher.totals() == (1, 0)


def test_trainings_are_folded_twice_a_minute_and_the_rest_is_done_once_a_day(tmp_path):
    settings = load_text(f"[milter]\ndatadir = {tmp_path}\n[dspam]\nretain_undo = 7d\n", settings_classes(JOURNEY))
    assert settings[ProgramSettings].datadir == tmp_path
    migrate(url_from(settings))
    application = Application(JOURNEY, settings, clock=lambda: NOW, record=False)
    try:
        every = sorted(chore.every for chore in application.chores())
    finally:
        application.close()
    assert every[0] == 30.0
    assert every.count(DAY) == 2


def test_keeping_tokens_for_no_time_at_all_is_a_mistake():
    with pytest.raises(SettingsError, match="retain_tokens"):
        load_text("[dspam]\nretain_tokens = 0\n", settings_classes(JOURNEY))
