"""What is found wrong with a database, and that the repair that is told repairs it."""

from __future__ import annotations

import contextlib

import pytest
import sqlalchemy as sa

from antispam.store import Store, migrate
from antispam.store.checking import check
from support import outdated

every_database = pytest.mark.every_database


def _do(store, *statements):
    with store.write() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def _faults(store):
    return list(check(store))


def _without_foreign_keys(url, *statements):
    """What happens to databases in the world: a restore that was cut short, a hand that deletes."""
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    with engine.begin() as connection:
        match engine.dialect.name:
            case "postgresql":
                connection.exec_driver_sql("SET session_replication_role = replica")
            case "mysql":
                connection.exec_driver_sql("SET foreign_key_checks = 0")
        for statement in statements:
            connection.exec_driver_sql(statement)


@every_database
def test_a_database_in_use_is_sound(store, database_url):
    outdated.fill(
        sa.create_engine(database_url, poolclass=sa.pool.NullPool), 30, ("dspam_user", "dspam_page", "greylist")
    )
    _do(store, "CREATE TABLE their_own (id INT)", "CREATE INDEX their_index ON greylist (client)")
    if store.dialect == "postgresql":  # rows with numbers of their own, as fill() writes them
        _do(store, "SELECT setval(pg_get_serial_sequence('dspam_user', 'id'), 10)")
    assert _faults(store) == []


@every_database
def test_a_missing_index_is_told_with_the_statement_that_makes_it(store):
    on = " ON greylist" if store.dialect in ("mysql", "mariadb") else ""
    _do(store, f"DROP INDEX greylist_waiting{on}")
    (fault,) = _faults(store)
    assert fault.about == "index"
    assert "greylist_waiting" in fault.text
    _do(store, fault.repair)
    assert _faults(store) == []


@every_database
def test_rows_that_lost_their_owner_are_told_with_the_statement_that_deletes_them(store, database_url):
    outdated.fill(sa.create_engine(database_url, poolclass=sa.pool.NullPool), 30, ("dspam_user", "dspam_page"))
    if store.dialect == "postgresql":
        _do(store, "SELECT setval(pg_get_serial_sequence('dspam_user', 'id'), 10)")
    _without_foreign_keys(database_url, "DELETE FROM dspam_user WHERE id = 3")
    faults = [fault for fault in _faults(store) if fault.about == "row"]
    assert [fault.text for fault in faults] == ["3 rows of dspam_page have no row in dspam_user to belong to."]
    _do(store, faults[0].repair)
    assert _faults(store) == []


def test_pieces_without_their_message_are_told_but_harm_nobody(store):
    _do(store, "INSERT INTO stored_piece (ref, number, content) VALUES ('abc', 1, 'x')")
    (fault,) = _faults(store)
    assert (fault.about, fault.harms) == ("row", False)
    assert fault.text == "1 rows of stored_piece have no row in stored_message to belong to."


def test_a_missing_table_and_a_missing_column_are_told(store):
    _do(store, "DROP TABLE rate", "ALTER TABLE sender_list DROP COLUMN offences")
    assert {fault.text for fault in _faults(store) if fault.about == "table"} == {
        "the table rate is missing.",
        "the column sender_list.offences is missing.",
    }


@pytest.mark.parametrize(("revision", "said"), [("0008", "are of schema 0008"), (None, "has no tables")])
def test_another_version_is_told_and_nothing_else(empty_database_url, revision, said):
    if revision is not None:
        migrate(empty_database_url, revision)
    with contextlib.closing(Store(empty_database_url)) as store:
        (fault,) = _faults(store)
    assert said in fault.text
    assert fault.repair == "bms db upgrade"


def test_a_newer_version_is_told(sqlite_store):
    _do(sqlite_store, "UPDATE alembic_version SET version_num = '9999'")
    (fault,) = _faults(sqlite_store)
    assert "newer version of this program" in fault.text


def test_half_a_move_is_told(sqlite_store):
    _do(sqlite_store, "CREATE TABLE move_begun (name TEXT)")
    (fault,) = _faults(sqlite_store)
    assert "complete the move" in fault.repair


@pytest.mark.servers
def test_numbers_that_would_be_given_twice_are_told(postgresql):
    with contextlib.closing(Store(postgresql.new_store())) as store:
        _do(
            store,
            "INSERT INTO history_address VALUES (7, 'd', 'l', 1, 'r', 'role', NULL), (8, 'd', 'l', 1, 'r', 'role', NULL)",
        )
        (fault, orphans) = _faults(store)
        assert fault.text == "the next row of history_address would get a number that is in use."
        assert not orphans.harms
        _do(store, fault.repair, "DELETE FROM history_address")
        assert _faults(store) == []


@pytest.mark.servers
def test_an_index_that_could_not_be_built_is_told(postgresql):
    with contextlib.closing(Store(postgresql.new_store())) as store:
        _do(store, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'greylist_waiting'::regclass")
        faults = [fault for fault in _faults(store) if "not valid" in fault.text]
        assert [fault.repair for fault in faults] == ["REINDEX INDEX greylist_waiting"]
        _do(store, faults[0].repair)
        assert _faults(store) == []


@pytest.mark.parametrize("begin", [0, -40_000])
def test_a_damaged_file_is_told(tmp_path, sqlite_store, begin):
    outdated.fill(sa.create_engine(f"sqlite:///{tmp_path}/bms.sqlite", poolclass=sa.pool.NullPool), 500, ("greylist",))
    sqlite_store.close()
    with (tmp_path / "bms.sqlite").open("r+b") as file:
        file.seek(begin, 2 if begin < 0 else 0)
        file.write(b"\xff" * 20_000)
    faults = _faults(sqlite_store)
    assert faults
    assert {fault.about for fault in faults} == {"file"}
    assert "restore the last backup" in faults[0].repair
