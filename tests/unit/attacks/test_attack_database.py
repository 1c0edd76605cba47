"""A database that is locked, damaged or taken away while mail comes in: replies stay in time, and nothing is forgotten."""

import functools
import sqlite3
import threading

import pytest
import sqlalchemy as sa

from antispam.deadline import Deadline
from antispam.journey import session as session_module
from antispam.journey.delivery import Outcome
from antispam.journey.history_row import row_for
from antispam.mail.verdicts import CONTINUE
from antispam.store import Store
from antispam.store.greylist import Limits, State, Triplet, attempt
from antispam.store.history import HistoryWriter
from antispam.store.schema import history
from support.dns import ScriptedResolver, loopback_nameserver
from support.patience import quickest, took
from support.stores import make_store
from support.whole_journey import application, connected, send

LIMITS = Limits(300, 3600, 86400)


class Locked:
    """Somebody holds the write lock, as a backup or an administrator's shell does."""

    def __init__(self, path):
        self._connection = sqlite3.connect(path, isolation_level=None)

    def __enter__(self):
        self._connection.execute("BEGIN EXCLUSIVE")
        return self

    def __exit__(self, *_):
        self._connection.execute("ROLLBACK")
        self._connection.close()


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "bms.sqlite"
    make_store(f"sqlite:///{path}")
    return path


def ask(store, number, deadline):
    """Who is unknown is asked to come back: a lock lets nobody pass."""
    triplet = Triplet("192.0.2.0/24", "a@example.org", f"{number}@example.com")
    assert attempt(store, triplet, 0.0, LIMITS, deadline).state is State.NEW


def test_the_wait_for_a_lock_and_for_a_connection_ends_at_the_deadline(database):
    """Fifty threads, two connections: each wait alone has a limit of 5 s, and one came after the other."""
    store = Store(f"sqlite:///{database}", pool=2, busy_timeout=5.0)

    def all_ask():
        threads = [threading.Thread(target=ask, args=(store, number, Deadline.after(0.5))) for number in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    with Locked(database):
        assert quickest(lambda: took(all_ask), limit=2.0) < 2.0
    store.close()


def test_a_step_that_the_mta_did_not_wait_for_counts_against_the_next(tmp_path, monkeypatch):
    """MAIL is not answered, so the MTA's timer for RCPT runs while SPF still waits for silent name servers."""
    monkeypatch.setattr(session_module, "QUEUED", 60.0)  # on a busy machine the RCPT that is sent at once comes late
    config = "step_timeout = 2s\n[store]\nbusy_timeout = 5s\n[spf]\nmode = log\n"
    with loopback_nameserver(lambda query, by_tcp: None) as port:
        dns = f"[dns]\nnameservers = 127.0.0.1@{port}\ntimeout = 5s\n"
        with application(tmp_path, None, config + dns) as app, Locked(tmp_path / "bms.sqlite"):
            assert quickest(lambda: took(functools.partial(mail_and_rcpt, connected(app))), limit=3.5) < 3.5


def mail_and_rcpt(session):
    session.mail("ann@example.net")
    session.rcpt("bob@example.com")


def test_history_waits_for_a_database_that_is_locked(database):
    store = Store(f"sqlite:///{database}", busy_timeout=0.05)
    with application(database.parent / "other", ScriptedResolver(), "[greylist]\nmode = off") as app:
        session = connected(app)
        session.mail("ann@example.net")
        subject = session._subject()
        writer = HistoryWriter(store, pause=0.05)
        with Locked(database):
            writer.record(lambda node: row_for(subject, CONTINUE, node))
            deadline = Deadline.after(60)
            while not writer._complaint and not deadline.expired:
                threading.Event().wait(0.01)
            assert writer._complaint
        while writer._complaint and not deadline.expired:
            threading.Event().wait(0.01)
        writer.close()
        with store.read() as connection:
            assert connection.scalar(sa.select(sa.func.count()).select_from(history)) == 1
        assert writer.lost == 0
        session.close()
    store.close()


def test_a_damaged_database_is_an_expected_failure(tmp_path):
    """Greylisting is off then, as on_error says, without a traceback and a saved copy for each message."""
    with application(tmp_path, ScriptedResolver()) as app:
        app.store.close()
        for left in tmp_path.glob("bms.sqlite*"):
            left.unlink()
        (tmp_path / "bms.sqlite").write_bytes(b"no database " * 1000)
        outcome = send(connected(app), [])
        assert isinstance(outcome, Outcome)
    assert not list((tmp_path / "save").glob("*")) if (tmp_path / "save").exists() else True
