"""Housekeeping: what is outdated goes, in pieces; what fails keeps nothing else from being done; a stop is not delayed."""

from __future__ import annotations

import collections
import os
import threading

import pytest
import sqlalchemy as sa
from bms import JOURNEY

from antispam import chores
from antispam.chores import Chore, Pieces
from antispam.journey import saved
from antispam.service.application import Application, settings_classes
from antispam.service.housekeeping import Housekeeper
from antispam.settings import SettingsError, load_text
from antispam.settings.program import ProgramSettings
from antispam.store import StoreError, history
from antispam.store.connecting import url_from
from antispam.store.greylist import Limits, Triplet, attempt, newest
from antispam.store.outbox import Kind, QueuedMessage, post
from antispam.store.outbox_upkeep import purge_failed
from antispam.store.schema import history as history_table
from antispam.store.schema import outbox as outbox_table
from antispam.store.schema import quarantine_entry, stored_message
from support.patience import PATIENCE
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
    attempt(store, Triplet("192.0.2.0/24", "old@example.org", "b@example.com"), NOW - 30 * DAY, limits)
    attempt(store, Triplet("192.0.2.0/24", "new@example.org", "b@example.com"), NOW - 60, limits)
    (tmp_path / "save").mkdir()
    for name, age in (("old.original.eml", 31 * DAY), ("new.original.eml", DAY), ("old.txt", 31 * DAY)):
        (tmp_path / "save" / name).touch()
        os.utime(tmp_path / "save" / name, (NOW - age, NOW - age))
    Housekeeper(application.chores(), first=0).round()
    assert refs(store) == {"new"}
    assert [one.triplet.mail_from for one in newest(store, 9, passed=False)] == ["new@example.org"]
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
    assert begun.wait(PATIENCE)
    housekeeper.close(timeout=PATIENCE)
    assert not housekeeper._thread.is_alive()


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


def test_pieces_are_done_one_a_call_and_begin_anew():
    began = []

    def start():
        began.append(1)
        yield from range(2)

    task = Pieces(start)
    assert [task() for _ in range(6)] == [True, True, False, True, True, False]
    assert len(began) == 2


def test_the_quarantine_is_cleaned_without_cron(application):
    with application.store.write() as connection:
        for ref, age in (("old", 31), ("new", 29)):
            at = NOW - age * DAY
            connection.execute(sa.insert(stored_message).values(ref=ref, stored_at=at, content=b"x"))
            row = {
                "ref": ref,
                "user_name": "ann",
                "received_at": at,
                "mail_from": "",
                "recipients": "[]",
                "subject": "",
            }
            more = {"size": 1, "check_name": "words", "action": "quarantine", "reason": ""}
            connection.execute(sa.insert(quarantine_entry).values(**row, **more))
    Housekeeper(application.chores(), first=0, pause=0).round()
    with application.store.read() as connection:
        assert connection.scalars(sa.select(stored_message.c.ref)).all() == ["new"]


def give_up(store, ref, age, octets):
    queued = QueuedMessage(Kind.COPY, ref, "a@example.org", ("b@example.com",), b"x" * octets)
    with store.write() as connection:
        number = post(store, connection, queued, NOW - age)
    with store.write() as connection:
        values = {"failed_at": NOW - age, "next_at": None}
        connection.execute(sa.update(outbox_table).where(outbox_table.c.id == number).values(values))


@pytest.mark.parametrize(
    ("keep", "size", "stay"),
    [
        (0, 0, ["a", "b", "c"]),
        (10 * DAY, 0, ["b", "c"]),
        (0, 250, ["b", "c"]),
        (0, 150, ["c"]),
        (0, 50, []),
        (DAY, 0, []),
    ],
)
def test_messages_that_were_given_up_have_limits_of_age_and_size(application, keep, size, stay):
    for ref, days in (("a", 20), ("b", 5), ("c", 2)):
        give_up(application.store, ref, days * DAY, 100)
    while purge_failed(application.store, NOW, keep, size):
        pass
    with application.store.read() as connection:
        assert connection.scalars(sa.select(outbox_table.c.ref).order_by(outbox_table.c.id)).all() == stay


def test_what_is_saved_has_a_limit_of_size(tmp_path):
    folder = tmp_path / "save"
    folder.mkdir()
    for name, age in (("a", 3), ("b", 2), ("c", 1)):
        (folder / f"{name}.failed.eml").write_bytes(b"x" * 100)
        os.utime(folder / f"{name}.failed.eml", (NOW - age, NOW - age))
    assert saved.purge(ProgramSettings(datadir=tmp_path, saved_size=250), NOW) == 1
    assert sorted(path.name[0] for path in folder.iterdir()) == ["b", "c"]
