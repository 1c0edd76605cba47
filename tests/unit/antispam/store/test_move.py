"""Moving everything from one database to another."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from antispam.store import move as moving
from antispam.store.engine import Store
from antispam.store.migrate import HalfMoved, migrate
from antispam.store.move import MoveError, move
from antispam.store.schema import metadata
from support import outdated
from support.stores import make_store

REST = {
    "preference": {"scope": "user", "owner": "ann", "name": "reject", "value": "on"},
    "preference_group": {"user_name": "ann", "group_name": "staff"},
    "shared_secret": {"name": "links", "value": "x" * 20},
    "dspam_fold": {"user_id": 1},
}


def _engine(url: str) -> sa.Engine:
    """One that keeps no connection open."""
    return sa.create_engine(url, poolclass=sa.pool.NullPool)


def _fill(url: str, rows: int) -> None:
    engine = _engine(url)
    outdated.fill(engine, rows)
    with engine.begin() as connection:
        for name, values in REST.items():
            table = metadata.tables[name]
            others = {column.name: 1 for column in table.columns if column.name not in values}
            connection.execute(sa.insert(table).values(**others | values))


def _rows(url: str) -> dict[str, list[tuple[object, ...]]]:
    engine = _engine(url)
    with engine.connect() as connection:
        return {
            table.name: sorted((tuple(row) for row in connection.execute(sa.select(table))), key=repr)
            for table in metadata.sorted_tables
        }


@pytest.fixture
def source(tmp_path):
    url = make_store(tmp_path / "from.sqlite")
    _fill(url, 60)
    return url


@pytest.fixture
def target(tmp_path):
    return f"sqlite:///{tmp_path}/to/bms.sqlite"


def test_every_row_of_every_table_is_copied_and_counted(source, target):
    counted = move(source, target)
    assert _rows(target) == _rows(source)
    assert {one.table for one in counted} == set(metadata.tables)
    assert all(one.source == one.target > 0 for one in counted)


def test_nothing_of_the_move_stays_behind(source, target):
    move(source, target)
    assert "move_begun" not in sa.inspect(_engine(target)).get_table_names()


def test_an_interrupted_move_goes_on_where_it_stopped(source, target, monkeypatch):
    monkeypatch.setattr(moving, "ROWS", 7)
    monkeypatch.setattr(moving, "LARGE", 7)

    def interrupt(table, copied, total):
        if table == "stored_piece" and copied >= 21:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        move(source, target, interrupt)
    seen = []
    move(source, target, lambda *told: seen.append(told))
    assert _rows(target) == _rows(source)
    assert next(told for told in seen if told[0] == "stored_piece") == ("stored_piece", 21, 60)


def test_a_half_moved_database_is_not_used(source, target):
    def interrupt(table, copied, total):
        if copied:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        move(source, target, interrupt)
    with pytest.raises(HalfMoved, match="complete the move with the same `bms db move` command"):
        migrate(target)
    move(source, target)
    migrate(target)


def test_a_transaction_that_fails_leaves_the_place_behind_the_last_good_one(source, target, monkeypatch):
    monkeypatch.setattr(moving, "ROWS", 7)
    write, calls = Store.write, iter(range(1000))

    def failing(self, *args, **kwargs):
        if next(calls) == 9:
            raise sa.exc.OperationalError("INSERT", {}, Exception("disk full"))
        return write(self, *args, **kwargs)

    monkeypatch.setattr(Store, "write", failing)
    with pytest.raises(sa.exc.OperationalError):
        move(source, target)
    move(source, target)
    assert _rows(target) == _rows(source)


def test_a_target_with_rows_of_its_own_is_refused_and_left_alone(source, tmp_path):
    target = make_store(tmp_path / "other.sqlite")
    _fill(target, 1)
    before = _rows(target)
    with pytest.raises(MoveError, match="not empty"):
        move(source, target)
    assert _rows(target) == before


def test_an_older_database_that_is_in_use_is_not_even_upgraded(source, target, tmp_path):
    (tmp_path / "to").mkdir()
    migrate(target, "0008")
    engine = _engine(target)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO greylist VALUES ('triplet', '192.0.2.1', 'a@example.org', 'b@example.com', 1, 2, NULL, 1)"
        )
    with pytest.raises(MoveError, match="not empty"):
        move(source, target)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one() == "0008"


def test_a_finished_move_is_not_done_twice(source, target):
    move(source, target)
    with pytest.raises(MoveError, match="not empty"):
        move(source, target)


def test_a_begun_move_does_not_go_on_from_another_source(source, target, tmp_path):
    def interrupt(table, copied, total):
        if copied:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        move(source, target, interrupt)
    with pytest.raises(MoveError, match="another database"):
        move(make_store(tmp_path / "other.sqlite"), target)


def test_rows_that_came_behind_the_copy_are_noticed_by_the_counts(source, target):
    def late(table, copied, total):
        if table == "history" and not copied:
            with _engine(source).begin() as connection:
                connection.exec_driver_sql("INSERT INTO attempt SELECT '!', " + others + " FROM attempt LIMIT 1")

    others = ", ".join(column.name for column in metadata.tables["attempt"].columns if column.name != "name")
    counted = {one.table: one for one in move(source, target, late)}
    assert counted["attempt"].source == counted["attempt"].target + 1


def test_numbers_of_rows_that_have_gone_are_not_given_again(source, target):
    with _engine(source).begin() as connection:
        connection.exec_driver_sql("DELETE FROM outbox")
    move(source, target)
    with _engine(target).begin() as connection:
        assert connection.exec_driver_sql("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'").scalar_one() == 60


def test_packed_columns_are_copied_as_they_are(source, target):
    with _engine(source).begin() as connection:
        connection.exec_driver_sql("UPDATE history SET findings = 'z1damaged'")
    move(source, target)
    with _engine(target).begin() as connection:
        assert connection.exec_driver_sql("SELECT DISTINCT findings FROM history").all() == [("z1damaged",)]


def test_a_source_of_an_older_version_is_refused(tmp_path, target):
    older = f"sqlite:///{tmp_path}/older.sqlite"
    migrate(older, "0008")
    with pytest.raises(MoveError, match="bms db upgrade"):
        move(older, target)


def test_a_source_that_is_not_there_is_not_made(tmp_path, target):
    with pytest.raises(MoveError, match="there is no database"):
        move(f"sqlite:///{tmp_path}/absent.sqlite", target)
    assert not (tmp_path / "absent.sqlite").exists()


def test_a_database_is_not_moved_onto_itself(source):
    with pytest.raises(MoveError, match="the same"):
        move(source, source)


@pytest.mark.parametrize(
    "url",
    ["postgresql//bms:geheim@db", "postgresql://bms:x@db:geheim/mail", "nosql://bms:geheim@db/mail", "bms:geheim@db"],
)
def test_an_address_that_is_none_is_not_repeated_with_its_password(url):
    with pytest.raises(MoveError, match="can't be read") as raised:
        move(url, url)
    assert "geheim" not in str(raised.value)


@pytest.mark.servers
def test_sqlite_to_postgresql_to_mariadb_and_back(source, target, postgresql, mariadb):
    middle, last = postgresql.new_database(), mariadb.new_database()
    for number, (one, other) in enumerate(((source, middle), (middle, last), (last, target)), 61):
        counted = move(one, other)
        assert all(count.source == count.target > 0 for count in counted)
        assert _rows(other) == _rows(source)
        assert _next_number(other) == number  # not the one that was given and rolled back


def _next_number(url: str) -> int:
    """The number that the database gives to a row which does not come to stay."""
    table = metadata.tables["dspam_training"]
    engine = _engine(url)
    with engine.connect() as connection:
        row = connection.execute(sa.select(table).limit(1)).mappings().one()
        values = {name: value for name, value in row.items() if name != "seq"} | {"message": "another"}
        made = connection.execute(sa.insert(table).values(**values)).inserted_primary_key
        connection.rollback()
    assert made is not None
    return int(made[0])
