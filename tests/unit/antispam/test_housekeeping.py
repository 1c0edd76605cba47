"""Housekeeping: what is outdated goes, in pieces; what fails keeps nothing else from being done; a stop is not delayed."""

from __future__ import annotations

import collections
import os
import threading

import pytest
import sqlalchemy as sa
from bms import JOURNEY

from antispam import chores
from antispam.chores import Chore
from antispam.journey import saved
from antispam.service.application import Application, settings_classes
from antispam.service.housekeeping import Housekeeper
from antispam.settings import SettingsError, load_text
from antispam.settings.program import ProgramSettings
from antispam.store import StoreError, history
from antispam.store.engine import url_from
from antispam.store.greylist import Limits, Triplet, attempt, counts
from antispam.store.schema import history as history_table
from support.stores import make_store

NOW = 1_700_000_000.0
DAY = 86400.0


@pytest.fixture
def application(tmp_path):
    text = f"[milter]\ndatadir = {tmp_path}\n[store]\nhistory_retain = 30d\n[greylist]\nretain = 36d\n"
    settings = load_text(text, settings_classes(JOURNEY))
    make_store(url_from(settings))
    application = Application(JOURNEY, settings, clock=lambda: NOW, record=False)
    yield application
    application.close()


def row(ref, received_at):
    empty = {"node": "", "queue_id": "", "client_ip": "", "client_name": "", "helo": "", "mail_from": "", "reason": ""}
    lists = {"recipients": "[]", "findings": "{}", "decisions": "[]"}
    return {"ref": ref, "received_at": received_at, "size": 0, "action": "continue", "code": 0, **empty, **lists}


def refs(store):
    with store.read() as connection:
        return set(connection.scalars(sa.select(history_table.c.ref)))


def test_a_round_forgets_old_history_old_triplets_and_old_originals(application, tmp_path):
    store = application.store
    with store.write() as connection:
        connection.execute(sa.insert(history_table), [row("old", NOW - 31 * DAY), row("new", NOW - 29 * DAY)])
    limits = Limits(300.0, 21600.0, 36 * DAY)
    attempt(store, Triplet("192.0.2.0/24", "old@example.org", "b@example.com"), NOW - DAY, limits)
    attempt(store, Triplet("192.0.2.0/24", "new@example.org", "b@example.com"), NOW - 60, limits)
    (tmp_path / "save").mkdir()
    for name, age in (("old.original.eml", 31 * DAY), ("new.original.eml", DAY), ("old.txt", 31 * DAY)):
        (tmp_path / "save" / name).touch()
        os.utime(tmp_path / "save" / name, (NOW - age, NOW - age))
    Housekeeper(application.chores(), first=0).round()
    assert refs(store) == {"new"}
    assert counts(store) == {"waiting": 1}
    assert {path.name for path in (tmp_path / "save").iterdir()} == {"new.original.eml", "old.txt"}


def test_history_is_forgotten_in_slices(application):
    with application.store.write() as connection:
        connection.execute(sa.insert(history_table), [row(f"r{number}", NOW - 40 * DAY) for number in range(5)])
    assert [history.purge(application.store, NOW, slice_size=2) for _ in range(3)] == [2, 2, 1]


def test_a_task_is_called_until_nothing_is_left():
    left = [True, True, False]
    Housekeeper([Chore(lambda: left.pop(0))], first=0, pause=0).round()
    assert left == []


def test_a_task_that_fails_keeps_no_other_from_its_work(caplog):
    done = []

    def fail():
        raise StoreError("locked\x1b[31m")

    Housekeeper([Chore(fail), Chore(lambda: bool(done.append(1)))], first=0).round()
    assert done == [1]
    assert "housekeeping: locked\\x1b[31m" in caplog.text


def test_each_chore_is_done_in_its_own_time():
    now, done = [100.0], []
    chores = [Chore(lambda: bool(done.append("often")), 30.0), Chore(lambda: bool(done.append("daily")), DAY)]
    housekeeper = Housekeeper(chores, first=30.0, clock=lambda: now[0])
    assert housekeeper.round() == 30.0
    assert done == []
    now[0] = 130.0
    assert housekeeper.round() == 30.0
    now[0] = 161.0
    housekeeper.round()
    assert done == ["often", "daily", "often"]


def test_a_stop_waits_for_one_piece_and_not_for_the_rest():
    begun = threading.Event()

    def endless():
        begun.set()
        return True

    housekeeper = Housekeeper([Chore(endless)], first=0, pause=3600)
    housekeeper.start()
    assert begun.wait(10)
    housekeeper.close(timeout=10)
    assert not any(thread.name == "housekeeping" for thread in threading.enumerate())


def test_a_folder_of_originals_that_does_not_exist_yet_is_no_error(tmp_path):
    assert saved.purge(ProgramSettings(datadir=tmp_path / "none"), NOW) == 0


def test_keeping_history_for_no_time_at_all_is_a_mistake():
    with pytest.raises(SettingsError, match="history_retain"):
        load_text("[store]\nhistory_retain = 0\n", settings_classes(JOURNEY))


def test_a_client_pattern_that_means_nothing_is_found_when_the_configuration_is_read():
    with pytest.raises(SettingsError, match=r"milter.cfg:2: \[greylist\] exempt_clients"):
        load_text("[greylist]\nexempt_clients = 10.0.0.0/33\n", settings_classes(JOURNEY))


def test_an_exception_that_nobody_expected_is_logged_and_counted_and_the_other_chores_are_done(caplog, monkeypatch):
    monkeypatch.setattr(chores, "failures", collections.Counter())
    done = []

    def fail():
        raise ValueError("deltas of version 2, which this program does not know")

    Housekeeper([Chore(fail), Chore(lambda: bool(done.append(1)))], first=0).round()
    assert done == [1]
    assert chores.failures["housekeeping"] == 1
    assert "deltas of version 2" in caplog.text
