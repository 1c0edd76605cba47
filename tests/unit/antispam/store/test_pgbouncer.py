"""The store behind a real PgBouncer in transaction mode: each transaction may have another connection to the server.

What nodes race for (greylist, rates, quarantine) is tested through it as well: the marker every_database(pooled=True).
"""

from __future__ import annotations

import concurrent.futures
import contextlib

import pytest
import sqlalchemy as sa

from antispam.deadline import Deadline
from antispam.store import Store, migrate, rates
from support.pgbouncer import CONNECTIONS

pytestmark = pytest.mark.servers


@pytest.fixture
def url(pgbouncer):
    return pgbouncer.new_store()


def _everywhere(stores, ask):
    """What a statement says on every connection to the server: as many transactions at once."""
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(store.read()) for store in stores]
        for connection in connections:
            connection.exec_driver_sql("BEGIN")
        found = [connection.exec_driver_sql("SELECT pg_backend_pid()").scalar() for connection in connections]
        assert len(set(found)) == CONNECTIONS
        return [connection.exec_driver_sql(ask).all() for connection in connections]


@pytest.fixture
def stores(url):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(contextlib.closing(Store(url))) for _ in range(CONNECTIONS)]


def test_statements_that_are_repeated_leave_nothing_prepared_behind(stores):
    for _ in range(10):
        for store in stores:
            with store.write() as connection:
                connection.execute(sa.text("SELECT count(*) FROM greylist WHERE attempts > :n"), {"n": 1})
    assert _everywhere(stores, "SELECT name FROM pg_prepared_statements") == [[]] * CONNECTIONS


def test_limits_of_one_transaction_are_not_those_of_the_next(stores):
    for store in stores:
        with store.write(Deadline.after(60), patience=2) as connection:
            assert connection.exec_driver_sql("SHOW lock_timeout").scalar() == "2s"
        assert rates.use(store, "'; %", 1, 1e9, 60.0, Deadline.after(60)) == 1 + stores.index(store)
    asked = _everywhere(stores, "SELECT current_setting('lock_timeout'), current_setting('statement_timeout')")
    assert asked == [[("0", "0")]] * CONNECTIONS


def test_nodes_that_start_at_once_upgrade_one_after_the_other(pgbouncer):
    url = pgbouncer.new_database()
    with concurrent.futures.ThreadPoolExecutor(2) as nodes:
        list(nodes.map(migrate, [url, url]))
    with contextlib.closing(Store(url)) as store, store.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM greylist").scalar() == 0
        assert connection.exec_driver_sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").scalar() == 0
