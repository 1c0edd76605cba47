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
from antispam.store.schema import history, history_address
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
# Here few rows have one reference, Message-ID, domain or quarter of an hour, or are the newest: these may be sorted.
FEW = ("explain a reference", "explain a Message-ID", "explain a domain", "fold sums", "sort the quarantine")


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
    _analyze(engine, TABLES)
    engine.dispose()
    return database_url


def _analyze(engine, tables):
    analyze = "ANALYZE TABLE" if engine.dialect.name in ("mysql", "mariadb") else "ANALYZE"
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for table in tables:
            connection.exec_driver_sql(f"{analyze} {table}")


@pytest.mark.parametrize("what", ASKED)
def test_an_index_leads_to_what_is_asked_for(filled, what):
    said = _selects(filled, ASKED[what])
    with filled.read() as connection:
        assert [
            (plan, statement) for statement, one in said if (plan := _walks(connection, statement, one, what in FEW))
        ] == []


@pytest.fixture
def of_one_domain(database_url):
    """A store in which all mail goes from one domain to one domain, each message at another time."""
    engine = sa.create_engine(database_url)
    fill(engine, 2000, ("history", "history_address"))
    people = history_address
    sender = sa.select(sa.literal("sender"), people.c.domain, people.c.local, people.c.received_at, people.c.ref)
    with engine.begin() as connection:
        for table in (history, people):
            connection.execute(sa.update(table).values(received_at=NOW + table.c.id))
        connection.execute(sa.update(people).values(domain="example.com", role="recipient"))
        connection.execute(sa.insert(people).from_select(["role", "domain", "local", "received_at", "ref"], sender))
    _analyze(engine, ("history", "history_address"))
    engine.dispose()
    with contextlib.closing(Store(database_url)) as store:
        yield store


@pytest.mark.parametrize(
    "wanted",
    [Search(recipient="example.com"), Search(sender="example.com", recipient="example.com")],
    ids=["recipient", "both"],
)
def test_the_newest_of_all_the_mail_are_found_without_reading_all_of_it(of_one_domain, wanted):
    """A planner that takes the columns of a join for independent expects one row, and reads and sorts everything."""
    statement, parameters = _selects(of_one_domain, lambda store: search(store, wanted, 5))[-1]
    with of_one_domain.read() as connection:
        assert _walks(connection, statement, parameters, few=False, free=True) == []


def _selects(store, ask):
    """What is asked of the database, with its parameters."""
    said = []

    def note(connection, cursor, statement, parameters, context, many):
        if statement.startswith("SELECT"):
            said.append((statement, parameters))

    sa.event.listen(store._engine, "before_cursor_execute", note)
    ask(store)
    sa.event.remove(store._engine, "before_cursor_execute", note)
    assert said
    return said


def _walks(connection, statement, parameters, few, *, free=False):
    """Tables that are read or sorted whole; `free` lets the planner of PostgreSQL choose as it would with many rows."""
    match connection.dialect.name:
        case "sqlite":
            rows = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
            # A SCAN along an index is in the order of it, and ends with the page.
            walks = [
                one for one in rows if one.startswith("SCAN ") and "USING" not in one and "subquery" not in one.lower()
            ]
            return walks + [one for one in rows if one == "USE TEMP B-TREE FOR ORDER BY" and not few]
        case "postgresql":
            if not free:
                connection.exec_driver_sql("SET enable_seqscan = off")  # of so small tables it would read all
            text = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar()
            bad = ("Seq Scan", "Sort") if free else ("Seq Scan",)
            return [one for one in _nodes(text if isinstance(text, list) else json.loads(text)) if one in bad]
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
