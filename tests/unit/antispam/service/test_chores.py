"""Threads beside the mail outlive whatever they meet, and say what it was."""

from __future__ import annotations

import collections
import threading

import pytest
import sqlalchemy as sa

from antispam import chores
from antispam.service import worker
from antispam.store import Store, migrate
from antispam.store.history import HistoryWriter
from antispam.store.schema import rate
from support.patience import PATIENCE


@pytest.fixture(autouse=True)
def counted(monkeypatch):
    counter = collections.Counter()
    monkeypatch.setattr(chores, "failures", counter)
    monkeypatch.setattr(worker, "failures", counter)
    return counter


def test_a_thread_whose_work_fails_says_so_and_begins_again(counted, caplog):
    began = []

    def body():
        began.append(1)
        if len(began) < 3:
            raise ValueError("row of a newer version")

    thread = chores.steady("courier", body, threading.Event(), pause=0)
    thread.start()
    thread.join(PATIENCE)
    assert len(began) == 3
    assert counted == {"courier": 2}
    assert caplog.text.count("row of a newer version") >= 2


def test_one_that_is_told_to_close_does_not_begin_again():
    closing, began = threading.Event(), []

    def body():
        began.append(1)
        closing.set()
        raise ValueError

    thread = chores.steady("courier", body, closing, pause=3600)
    thread.start()
    thread.join(PATIENCE)
    assert began == [1]


def test_the_end_of_any_other_thread_is_logged_and_counted(counted, caplog):
    try:
        raise KeyError("x")
    except KeyError as error:
        arguments = (type(error), error, error.__traceback__, threading.current_thread())
    worker._report(threading.ExceptHookArgs(arguments))
    assert counted == {"others": 1}
    assert "KeyError" in caplog.text


def test_a_defect_in_writing_history_costs_the_rows_at_hand_and_no_others(tmp_path, counted, monkeypatch):
    url = f"sqlite:///{tmp_path}/bms.sqlite"
    migrate(url)
    store = Store(url)
    writer = HistoryWriter(store)
    write, first = store.write, threading.Event()

    def fail_once(*arguments):
        if not first.is_set():
            first.set()
            raise TypeError("defect")
        return write(*arguments)

    monkeypatch.setattr(store, "write", fail_once)
    writer.put(rate, {"name": "a", "began_at": 1.0, "used": 1})
    writer.flush()
    writer.put(rate, {"name": "b", "began_at": 1.0, "used": 1})
    writer.close()
    assert (writer.lost, counted) == (1, {"history": 1})
    with store.read() as connection:
        assert connection.scalars(sa.select(rate.c.name)).all() == ["b"]
    store.close()
