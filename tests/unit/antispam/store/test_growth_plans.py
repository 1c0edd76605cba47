"""What people ask of the history and of the quarantine is found by an index that has it in the order asked for, whatever the
number of rows."""

from __future__ import annotations

import contextlib
import json

import pytest
import sqlalchemy as sa

from antispam.store import Store, history_sums, quarantine
from antispam.store.history_search import Search, newest, page, search
from antispam.store.quarantine_order import Order, bounded
from antispam.store.reports import report
from support.outdated import DAY, NOW, fill
from support.stores import make_store

pytestmark = pytest.mark.every_database

TABLES = (
    "history",
    "history_address",
    "history_sum",
    "stored_message",
    "quarantine_entry",
    "dspam_user",
    "dspam_training",
    "outbox",
)


def _found(store, wanted, order=Order.RECEIVED):
    return quarantine.find(store, bounded(store, wanted, order, most=5)[0], order=order)


ASKED = {
    "explain a reference": lambda store: search(store, Search(name="ref7"), 20),
    "explain a Message-ID": lambda store: search(store, Search(message_id="mess7"), 20),
    "explain an address": lambda store: search(store, Search(sender="loca7@doma7"), 20),
    "explain a domain": lambda store: search(store, Search(recipient="doma7"), 20),
    "explain two domains": lambda store: search(store, Search(sender="doma7", recipient="doma8"), 20),
    "explain the newest": lambda store: page(store, Search(), 20),
    "name the newest": lambda store: newest(store, 20),
    "list the quarantine": lambda store: quarantine.find(store, quarantine.Search()),
    "search the quarantine": lambda store: _found(store, quarantine.Search(text="offer")),
    "search the quarantine by check": lambda store: _found(store, quarantine.Search(check="spf")),
    "sort the quarantine": lambda store: _found(store, quarantine.Search(), Order.SUBJECT),
    "list a user's quarantine": lambda store: quarantine.find(store, quarantine.Search(user="user7")),
    "report": lambda store: report(store, NOW - 30 * DAY, 2),
    "fold sums": history_sums.fold,
    "purge sums": lambda store: history_sums.purge(store, NOW, NOW),
}
# Few rows have one reference, one Message-ID, one quarter of an hour, or are the newest: these may be sorted.
FEW = ("explain a reference", "explain a Message-ID", "fold sums", "sort the quarantine")


CHANGES = ("fold sums", "purge sums")


@pytest.fixture(scope="module")
def shared():
    """URLs of databases that are filled once for all questions, by their kind."""
    return {}


@pytest.fixture
def filled(what, _database, shared, request, tmp_path_factory):
    """A store with many rows; one of its own for what changes them."""
    if what in CHANGES:
        url = _filled(request.getfixturevalue("database_url"))
    else:
        if _database not in shared:
            folder = tmp_path_factory.mktemp("filled")
            empty = (
                make_store(folder / "bms.sqlite") if _database == "sqlite" else request.getfixturevalue("database_url")
            )
            shared[_database] = _filled(empty)
        url = shared[_database]
    with contextlib.closing(Store(url)) as store:
        yield store


def _filled(database_url):
    engine = sa.create_engine(database_url)
    fill(engine, 2000, TABLES)
    analyze = "ANALYZE TABLE" if engine.dialect.name in ("mysql", "mariadb") else "ANALYZE"
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for table in TABLES:
            connection.exec_driver_sql(f"{analyze} {table}")
    engine.dispose()
    return database_url


@pytest.mark.parametrize("what", ASKED)
def test_an_index_leads_to_what_is_asked_for(filled, what):
    said = []

    def note(connection, cursor, statement, parameters, context, many):
        if statement.startswith("SELECT"):
            said.append((statement, parameters))

    sa.event.listen(filled._engine, "before_cursor_execute", note)
    ASKED[what](filled)
    sa.event.remove(filled._engine, "before_cursor_execute", note)
    assert said
    with filled.read() as connection:
        assert [
            (plan, statement) for statement, one in said if (plan := _walks(connection, statement, one, what in FEW))
        ] == []


def _walks(connection, statement, parameters, few):
    """Tables that are read or sorted whole."""
    match connection.dialect.name:
        case "sqlite":
            rows = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
            # A SCAN along an index is in the order of it, and ends with the page.
            walks = [
                one for one in rows if one.startswith("SCAN ") and "USING" not in one and "subquery" not in one.lower()
            ]
            return walks + [one for one in rows if one == "USE TEMP B-TREE FOR ORDER BY" and not few]
        case "postgresql":
            connection.exec_driver_sql("SET enable_seqscan = off")  # of so small tables it would read all
            text = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar()
            return [one for one in _nodes(text if isinstance(text, list) else json.loads(text)) if one == "Seq Scan"]
        case _:
            rows = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).mappings().all()
            return [str(dict(row)) for row in rows if row["type"] == "ALL" and row["table"] and row["table"][0] != "<"]


def _nodes(node):
    if isinstance(node, list):
        for one in node:
            yield from _nodes(one)
    elif isinstance(node, dict):
        if "Node Type" in node:
            yield node["Node Type"]
        for value in node.values():
            yield from _nodes(value)
