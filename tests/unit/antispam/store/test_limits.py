"""A database that hangs costs a message no more than its deadline, and the circuit breaker hears of it."""

from __future__ import annotations

import contextlib
import sqlite3
import time

import pytest
import sqlalchemy as sa

from antispam.deadline import Deadline
from antispam.store import Store, StoreError, limits, migrate
from antispam.store.greylist import Limits, Triplet, attempt
from antispam.store.limits import Limit, Watch
from support.frozen_path import frozen_path

pytestmark = pytest.mark.every_database

FOR_EVER = {
    "sqlite": "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n",
    "postgresql": "SELECT pg_sleep(600)",
    "mysql": "SELECT SLEEP(600)",
    "mariadb": "SELECT SLEEP(600)",
}
LATE = 120.0  # seconds: far less than the statements take, and enough for a machine that has much to do


@pytest.fixture
def store(database_url):
    store = Store(database_url)
    yield store
    store.close()


@pytest.fixture(params=["postgresql", "mariadb"])
def path(request):
    """A store behind a path that can be frozen."""
    server = request.getfixturevalue(request.param)
    url = sa.engine.make_url(server.new_database())
    with frozen_path(url.port) as path:
        store = Store(url.set(port=path.port).render_as_string(hide_password=False))
        yield store, path
        store.close()


@pytest.mark.parametrize("kind", ["read", "write"])
def test_a_statement_that_never_ends_is_cut_off_at_the_deadline(store, kind):
    began = time.monotonic()
    with (
        pytest.raises(StoreError, match="did not answer in time"),
        getattr(store, kind)(Deadline.after(0.2)) as connection,
    ):
        connection.exec_driver_sql(FOR_EVER[store.dialect]).all()
    assert time.monotonic() - began < LATE


@pytest.mark.servers
def test_a_server_that_is_quicker_than_the_watch_is_told_of_in_the_same_words(postgresql, monkeypatch):
    monkeypatch.setattr(limits, "EVERY", 600.0)
    with contextlib.closing(Store(postgresql.new_database())) as store:
        _connect(store)
        with pytest.raises(StoreError, match="did not answer in time"), store.write(Deadline.after(0.2)) as connection:
            connection.exec_driver_sql(FOR_EVER["postgresql"])


def test_the_next_statement_is_answered(store):
    with pytest.raises(StoreError), store.read(Deadline.after(0.2)) as connection:
        connection.exec_driver_sql(FOR_EVER[store.dialect]).all()
    with store.read(Deadline.after(LATE)) as connection:
        assert connection.scalar(sa.text("SELECT 1")) == 1


def _connect(store):
    """Use it for the first time, so that connecting takes nothing of a deadline."""
    with store.read() as connection:
        assert connection.scalar(sa.text("SELECT 1")) == 1


@pytest.mark.servers
def test_behind_a_frozen_path_the_breaker_opens_and_then_nothing_is_waited_for(path):
    store, way = path
    _connect(store)
    way.frozen.set()
    began = time.monotonic()
    for _ in range(3):
        with pytest.raises(StoreError), store.read(Deadline.after(0.5)) as connection:
            connection.scalar(sa.text("SELECT 1"))
    assert time.monotonic() - began < LATE
    with pytest.raises(StoreError, match="failed repeatedly"), store.read(Deadline.after(0.5)):
        pass


def _freeze_within(store, way):
    with store.write(Deadline.after(0.5)) as connection:
        way.frozen.set()
        connection.scalar(sa.text("SELECT 1"))


@pytest.mark.servers
def test_a_transaction_under_way_when_the_path_freezes_is_cut_off(path):
    store, way = path
    _connect(store)
    began = time.monotonic()
    with pytest.raises(StoreError, match="did not answer in time"):
        _freeze_within(store, way)
    assert time.monotonic() - began < LATE


def test_a_node_that_is_cut_off_in_a_transaction_holds_its_locks_no_longer_than_the_transaction_may_take(store):
    """The server hears nothing of it: not that the node hung up, and for hours not that it is gone."""
    told = {
        "sqlite": ("SELECT 10", 10),  # a file that is not shared
        "postgresql": ("SHOW idle_in_transaction_session_timeout", "10s"),
        "mysql": ("SELECT @@idle_write_transaction_timeout", 10),
        "mariadb": ("SELECT @@idle_write_transaction_timeout", 10),
    }[store.dialect]
    with store.write(Deadline.after(600), patience=5) as connection:
        assert connection.exec_driver_sql(told[0]).scalar() == told[1]


@pytest.mark.servers
def test_a_server_that_became_read_only_is_an_expected_failure(postgresql):
    """As after a failover, until the connections find the new primary."""
    url = postgresql.new_database()
    migrate(url)
    name = sa.engine.make_url(url).database
    store = Store(url)
    triplet, limits = Triplet("192.0.2.0/24", "a@example.org", "b@example.com"), Limits(1.0, 2.0, 3.0)
    with store.write() as connection:
        connection.exec_driver_sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    store.close()
    with pytest.raises(StoreError, match="read-only"):
        attempt(store, triplet, 1.0, limits)
    admin = sa.create_engine(sa.engine.make_url(url).set(database="postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f"ALTER DATABASE {name} SET default_transaction_read_only = off")
    admin.dispose()
    attempt(store, triplet, 1.0, limits)
    store.close()


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def watched(monkeypatch):
    """A watch without a thread, its clock, and what it cut off."""
    clock, cut = Clock(), []
    watch = Watch(clock)
    monkeypatch.setattr("threading.Thread.start", lambda thread: None)
    return watch, clock, cut


def test_who_is_over_his_time_is_cut_off_once(watched):
    watch, clock, cut = watched
    limit = Limit(1.0)
    watch.begin(1, limit, lambda: cut.append(1))
    assert watch.sweep() is True
    assert (cut, limit.over) == ([], False)
    clock.now = 1.0
    assert watch.sweep() is False
    watch.sweep()
    assert (cut, limit.over) == ([1], True)


def test_who_is_done_in_time_is_left_alone(watched):
    watch, clock, cut = watched
    watch.begin(1, Limit(1.0), lambda: cut.append(1))
    watch.end(1)
    clock.now = 2.0
    watch.sweep()
    assert cut == []


def test_a_connection_that_can_not_be_cut_off_keeps_no_other_from_it(watched, caplog):
    watch, clock, cut = watched

    def fail():
        raise RuntimeError("driver")

    watch.begin(1, Limit(1.0), fail)
    watch.begin(2, Limit(1.0), lambda: cut.append(2))
    clock.now = 1.0
    watch.sweep()
    assert cut == [2]
    assert "store-limits: unexpected" in caplog.text


def test_a_connection_that_was_closed_meanwhile_is_cut_off_in_silence():
    connection = sqlite3.connect(":memory:")
    cut = limits._cut_for("sqlite", connection, None)
    connection.close()
    cut()
