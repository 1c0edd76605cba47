"""The store: one schema history, transactions that commit or raise, a breaker, the history of messages."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import alembic.autogenerate
import alembic.migration
import pytest
import sqlalchemy as sa

from antispam.journey.history_row import row_for
from antispam.mail.connection import Connection
from antispam.mail.decisions import Decision
from antispam.mail.evidence import AuthFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Body, Header, Message, Recipient
from antispam.mail.subject import Subject
from antispam.mail.verdicts import CONTINUE, reject
from antispam.store import Store, StoreError, migrate
from antispam.store.engine import Breaker
from antispam.store.history import HistoryWriter
from antispam.store.schema import greylist, history, metadata, quarantine_entry, sender_list, stored_message
from support.patience import PATIENCE
from support.stores import make_store

pytestmark = pytest.mark.every_database


@pytest.fixture
def sqlite_store(tmp_path):
    store = Store(make_store(tmp_path / "test.db"), busy_timeout=0.05)
    yield store
    store.close()


def subject(ref="0123456789ab", mail_from="a@example.org", to="b@example.com"):
    connection = Connection(ref="c", ip="192.0.2.1", helo="mail.example.org")
    message = Message(ref, mail_from, 1_700_000_000.0, Body(1 << 20), findings=Findings(connection.findings))
    message.findings.add(AuthFinding(login="bob"))
    message.recipients.append(Recipient(to))
    message.headers.append(Header(b"Subject", b" caf\xe9"))
    message.body.write(b"text \x00\xff\r\n")
    return Subject(connection, message)


def test_after_an_internal_error_connections_are_made_anew_and_none_is_left_open(tmp_path):
    """As of a server that became read-only, while another connection is in use."""
    store = Store(make_store(tmp_path / "bms.sqlite"))
    with store.read() as connection:
        in_use = connection.connection.dbapi_connection
        with pytest.raises(StoreError, match="read-only"), store.read():
            raise sa.exc.InternalError("INSERT", None, sqlite3.InternalError("read-only"))
    with store.read() as connection, store.read() as other:
        assert in_use not in (connection.connection.dbapi_connection, other.connection.dbapi_connection)
    store.close()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        in_use.execute("SELECT 1")


def test_the_migrations_make_the_schema_that_the_program_uses(empty_database_url):
    migrate(empty_database_url)
    with sa.create_engine(empty_database_url).connect() as connection:
        context = alembic.migration.MigrationContext.configure(connection)
        assert alembic.autogenerate.compare_metadata(context, metadata) == []
    connection.engine.dispose()


def test_migrating_again_changes_nothing(empty_database_url):
    migrate(empty_database_url)
    migrate(empty_database_url)


def test_what_older_versions_had_in_quarantine_moves_along(empty_database_url):
    migrate(empty_database_url, "0002")
    engine = sa.create_engine(empty_database_url)
    old = sa.table("quarantine", *map(sa.column, ("ref", "received_at", "mail_from", "recipients", "reason")))
    raw = sa.table("raw_message", sa.column("ref"), sa.column("content"))
    with engine.begin() as connection:
        values = ["abc", 5.0, "a@example.org", '["Ann@example.com", "bob@example.com"]', "helo: a: b"]
        connection.execute(sa.insert(old).values(values))
        connection.execute(sa.insert(raw).values(ref="abc", content=b"\x00\xff"))
    migrate(empty_database_url)
    with engine.connect() as connection:
        assert connection.execute(sa.select(stored_message)).all() == [("abc", 5.0, b"\x00\xff")]
        ann, bob = connection.execute(sa.select(quarantine_entry).order_by(quarantine_entry.c.user_name)).all()
    engine.dispose()
    assert (ann.user_name, json.loads(ann.recipients), ann.size) == ("ann@example.com", ["Ann@example.com"], 2)
    assert (bob.user_name, bob.check_name, bob.reason) == ("bob@example.com", "helo", "a: b")


def test_several_nodes_may_migrate_at_once(empty_database_url):
    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(migrate, empty_database_url) for _ in range(4)]:
            future.result()


def test_a_transaction_that_raises_leaves_nothing(store):
    def half():
        with store.write() as connection:
            connection.execute(
                sa.insert(greylist).values(
                    triplet="t", client="", mail_from="", recipient="", first_seen=0.0, last_seen=0.0, attempts=1
                )
            )
            raise KeyError("something else went wrong")

    with pytest.raises(KeyError):
        half()
    with store.read() as connection:
        assert connection.execute(sa.select(greylist)).all() == []


def test_a_locked_database_is_a_store_error(sqlite_store, tmp_path):
    other = sqlite3.connect(tmp_path / "test.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreError, match="locked"), sqlite_store.write():
        pass
    other.execute("ROLLBACK")
    other.close()
    with sqlite_store.write() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(greylist)).scalar() == 0


def test_a_database_that_is_gone_is_a_store_error():
    store = Store("postgresql+psycopg://nobody@127.0.0.1:1/none", busy_timeout=PATIENCE)
    with pytest.raises(StoreError), store.read():
        pass
    store.close()


def test_after_failures_in_a_row_the_breaker_asks_nobody_for_a_while_then_lets_one_try():
    now = [0.0]
    breaker = Breaker(threshold=2, pause=5.0, clock=lambda: now[0])
    for _ in range(2):
        breaker.admit()
        breaker.failed()
    with pytest.raises(StoreError):
        breaker.admit()
    now[0] = 5.0
    breaker.admit()
    with pytest.raises(StoreError):
        breaker.admit()
    breaker.succeeded()
    breaker.admit()


def test_a_message_is_written_down_with_its_findings_and_decisions(store):
    writer = HistoryWriter(store, node="mx1")
    it = subject(mail_from="caf\udce9@example.org")
    it.message.decisions.append(Decision("spf", reject("No.", "fail")))
    writer.record(lambda node: row_for(it, reject("No.", "fail"), node))
    writer.close()
    with store.read() as connection:
        (row,) = connection.execute(sa.select(history)).all()
    assert (row.ref, row.node, row.action, row.code) == ("0123456789ab", "mx1", "reject", 550)
    assert row.mail_from == "caf\\xe9@example.org"
    assert json.loads(row.findings)["auth"]["login"] == "bob"
    assert json.loads(row.decisions)[0]["check"] == "spf"
    assert json.loads(row.recipients)[0]["address"] == "b@example.com"


def test_a_reason_with_a_nul_has_its_history_in_every_database(store):
    """PostgreSQL takes no NUL in a text: such a message was deferred for ever."""
    writer = HistoryWriter(store)
    writer.record(lambda node: row_for(subject(mail_from="a\0@example.org"), reject("no", "held \0 against it"), node))
    writer.close()
    with store.read() as connection:
        assert connection.scalar(sa.select(history.c.reason)) == "held \\x00 against it"
    assert writer.lost == 0


def test_history_that_the_database_refuses_is_given_up_when_the_time_for_closing_is_over(store, monkeypatch):
    """Without its table, PostgreSQL and MariaDB refuse each row by itself: what waited was tried for minutes."""
    with store.write() as connection:
        connection.exec_driver_sql("DROP TABLE history")
    attempts, write = [], store.write
    monkeypatch.setattr(store, "write", lambda: (attempts.append(1), write())[1])
    writer = HistoryWriter(store, pause=0.0)
    row = row_for(subject(), CONTINUE, "mx1")
    for _ in range(5000):
        writer.put(history, row)
    writer.close(timeout=0.0)
    writer._thread.join(PATIENCE)
    assert (writer._thread.is_alive(), writer.lost) == (False, 5000)
    assert len(attempts) < 5000


def test_a_flush_gives_up_where_the_database_can_not_be_used(sqlite_store):
    with sqlite_store.write() as connection:
        connection.exec_driver_sql("DROP TABLE history")
    with contextlib.closing(HistoryWriter(sqlite_store)) as writer:
        writer.put(history, row_for(subject(), CONTINUE, "mx1"))
        assert not writer.flush(timeout=0.05)


def test_history_that_does_not_fit_is_counted_and_said(sqlite_store, caplog, monkeypatch):
    monkeypatch.setattr(sqlite_store, "write", lambda: (_ for _ in ()).throw(StoreError("disk full")))
    writer = HistoryWriter(sqlite_store)
    writer.record(lambda node: row_for(subject(), reject("No.", "fail"), node))
    writer.close()
    assert writer.lost == 1
    assert "1 rows were not written down" in caplog.text


def test_the_sqlite_file_is_made_where_its_folder_is_missing(tmp_path):
    path = tmp_path / "deep" / "down" / "bms.sqlite"
    migrate(f"sqlite:///{path}")
    assert Path(path).exists()


def test_a_slice_is_deleted_by_its_keys(sqlite_store):
    """By the index of what is outdated, each batch would read all that is, with mail waiting for the lock."""
    values = {"kind": "whitelist", "reason": "", "added_by": "x", "added_at": 1.0, "seen_at": 1.0, "expires_at": 1.0}
    with sqlite_store.write() as connection:
        rows = [values | {"entry": f"whitelist:{n}", "name": str(n), "offences": 1} for n in range(500)]
        connection.execute(sa.insert(sender_list), rows)
    said = []

    def note(connection, cursor, statement, parameters, context, many):
        if statement.startswith("DELETE"):
            said.append((statement, parameters))

    sa.event.listen(sqlite_store._engine, "before_cursor_execute", note)
    assert (
        sqlite_store.delete_slice(
            sender_list, sa.and_(sender_list.c.kind == "whitelist", sender_list.c.expires_at < 2.0)
        )
        > 0
    )
    statement, parameters = said[0]
    with sqlite_store.read() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
    assert "autoindex" in plan[0][3], plan
