"""Every statement of housekeeping finds its rows by an index, and looks for them before it takes the lock that mail wants."""

from __future__ import annotations

import json

import pytest
import sqlalchemy as sa
from bms import JOURNEY

from antispam.service import metrics
from antispam.service.application import Application, settings_classes
from antispam.service.board import Board
from antispam.service.housekeeping import Housekeeper
from antispam.settings import load_text
from support.outdated import NOW, fill

pytestmark = pytest.mark.every_database

ROWS = 3000

# Read from one end, outside of any lock: a handful of rows, or the last one, or once a day and page by page.
WALKED = (
    "FROM dspam_user",
    "ORDER BY dspam_training.seq DESC",
    "GROUP BY quarantine_entry.user_name",
    "FROM stored_message",
    "FROM dspam_page",
)


@pytest.fixture(scope="module")
def said():
    """What a round of housekeeping said, by the kind of database: it is listened to once."""
    return {}


@pytest.fixture
def statements(said, _database, request, tmp_path):
    """All that a round of housekeeping says to the database: (dialect's explanation, statement, whether under the lock)."""
    if _database not in said:
        said[_database] = _statements(request.getfixturevalue("database_url"), tmp_path)
    return said[_database]


def _statements(database_url, tmp_path):
    engine = sa.create_engine(database_url)
    fill(engine, ROWS)
    with engine.connect() as connection:
        connection = connection.execution_options(isolation_level="AUTOCOMMIT")
        for table in sa.inspect(engine).get_table_names():
            connection.exec_driver_sql(f"ANALYZE {'TABLE ' if 'mysql' in database_url else ''}{table}")
    said = []
    text = (
        f"[milter]\ndatadir = {tmp_path}\n[store]\nurl = {database_url}\n[metrics]\nfile = {tmp_path}/bms.prom\n"
        "[gossip]\nmode = enforce\nlearn = yes\nserver = 127.0.0.1:9\ntimeout = 1s\n[dspam]\nmode = enforce\n"
    )
    settings = load_text(text, settings_classes(JOURNEY))
    application = Application(JOURNEY, settings, clock=lambda: NOW, record=False)

    def note(connection, cursor, statement, parameters, context, many):
        under_lock = bool(connection.get_execution_options().get("bms_write"))
        if statement.split()[0] in ("SELECT", "UPDATE", "DELETE", "WITH"):
            said.append((statement, parameters[0] if many else parameters, under_lock))

    sa.event.listen(application.store._engine, "before_cursor_execute", note)
    chores = [*application.chores(), *metrics.chores(settings, application.store, Board())]
    Housekeeper(chores, first=0, pause=0).round()
    application.close()
    unique = {statement: (statement, parameters, under_lock) for statement, parameters, under_lock in said}
    with engine.connect() as connection:
        explained = [(_plan(connection, one, parameters), one, lock) for one, parameters, lock in unique.values()]
    engine.dispose()
    return explained


def _plan(connection, statement, parameters):
    """Of each table that the statement reads row by row, a line; nothing where an index leads to the rows."""
    match connection.dialect.name:
        case "sqlite":
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
            return [
                row[3]
                for row in rows
                if row[3].startswith("SCAN ") and "CONSTANT ROW" not in row[3] and "(subquery" not in row[3]
            ]
        case "postgresql":
            connection.exec_driver_sql("SET enable_seqscan = off")  # of so small tables it would read all
            text = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar()
            return list(_sequential(text if isinstance(text, list) else json.loads(text)))
        case _:
            rows = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).mappings().all()
            return [str(dict(row)) for row in rows if row["type"] in ("ALL", "index")]


def _sequential(node):
    if isinstance(node, list):
        for one in node:
            yield from _sequential(one)
    elif isinstance(node, dict):
        if node.get("Node Type") == "Seq Scan":
            yield node["Relation Name"]
        for value in node.values():
            yield from _sequential(value)


def test_an_index_leads_each_statement_to_its_rows(statements):
    walks = [(plan, one) for plan, one, _ in statements if plan and not any(known in one for known in WALKED)]
    assert walks == []
    assert len(statements) > 30


def test_nothing_is_searched_for_under_the_lock(statements):
    assert [(plan, one) for plan, one, under_lock in statements if under_lock and plan] == []
    searches = [
        one for _, one, under_lock in statements if under_lock and "LIMIT" in one and "reputation_vote" not in one
    ]
    assert searches == []
