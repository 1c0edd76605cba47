"""Statements whose text is made once, on every database that the store supports."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from antispam.deadline import Deadline
from antispam.store import Store, StoreError
from antispam.store.prepared import Prepared, upsert
from antispam.store.schema import rate

pytestmark = pytest.mark.every_database

NAME = sa.bindparam("name")
FIND = Prepared(lambda _: sa.select(rate.c.began_at, rate.c.used).where(rate.c.name == NAME))
ADD = Prepared(lambda _: sa.insert(rate))
DOUBLE = Prepared(lambda _: sa.update(rate).where(rate.c.name == NAME).values(used=rate.c.used * 2))
ADD_OR_COUNT = Prepared(lambda dialect: upsert(dialect, rate, None, ("name",), {"used": rate.c.used + 1}))
ROW = {"name": "50% of £ 'x'", "began_at": 1_700_000_000.123457, "used": 2**40}


@pytest.fixture
def row(store):
    with store.write() as connection:
        ADD.change(connection, ROW)
    return ROW


def test_what_was_written_is_read(store, row):
    with store.read() as connection:
        assert FIND.row(connection, {"name": row["name"]}) == (row["began_at"], row["used"])
        assert FIND.rows(connection, {"name": "nobody"}) == []
        assert FIND.row(connection, {"name": "nobody"}) is None


def test_values_of_the_statement_itself_are_not_asked_for(store, row):
    with store.write() as connection:
        assert DOUBLE.change(connection, {"name": row["name"]}) == 1
        assert DOUBLE.change(connection, {"name": "nobody"}) == 0
        assert FIND.row(connection, {"name": row["name"]}) == (row["began_at"], 2 * row["used"])


def test_an_upsert_takes_its_row_from_the_parameters(store, row):
    with store.write_once() as connection:
        ADD_OR_COUNT.change(connection, row)
    with store.read() as connection:
        assert FIND.row(connection, {"name": row["name"]}) == (row["began_at"], row["used"] + 1)


def test_the_text_is_made_once(store):
    built = []

    def build(dialect):
        built.append(dialect)
        return sa.select(rate.c.used)

    statement = Prepared(build)
    with store.read() as connection:
        assert [statement.rows(connection, {}) for _ in range(3)] == [[], [], []]
    assert built == [store.dialect]


def _add(store, *rows, between=lambda: None):
    """All of them in one transaction."""
    with store.write() as connection:
        for row in rows:
            ADD.change(connection, row)
            between()


def test_an_error_of_the_driver_is_one_of_sqlalchemy_and_nothing_is_written(store, row):
    with pytest.raises(sa.exc.IntegrityError):
        _add(store, {**row, "name": "other"}, row)
    with store.read() as connection:
        assert FIND.rows(connection, {"name": "other"}) == []


def test_a_statement_whose_parameters_change_in_number_is_refused(store):
    several = Prepared(lambda _: sa.select(rate).where(rate.c.name.in_(sa.bindparam("names", expanding=True))))
    with pytest.raises(ValueError, match="changes"), store.read() as connection:
        several.rows(connection, {"names": ["a"]})


@pytest.fixture(
    params=[pytest.param("postgresql", marks=pytest.mark.servers), pytest.param("mariadb", marks=pytest.mark.servers)]
)
def served(request):
    """A store of a server, and what ends all its connections: as an administrator does, or a restart of the server."""
    server = request.getfixturevalue(request.param)
    store = Store(server.new_store())
    admin = sa.create_engine(server.new_database(), isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)

    def end():
        with admin.connect() as connection:
            if store.dialect == "postgresql":
                ending = "SELECT pg_terminate_backend(pid, 20000) FROM pg_stat_activity WHERE datname = %s"
                connection.exec_driver_sql(ending, (store.url.database,)).all()
                return
            find = "SELECT id FROM information_schema.processlist WHERE db = %s"
            for (number,) in connection.exec_driver_sql(find, (store.url.database,)).all():
                connection.exec_driver_sql(f"KILL {number}")
            while connection.exec_driver_sql(find, (store.url.database,)).all():
                pass  # it ends when it hears of it

    yield store, end
    store.close()


def test_a_connection_that_the_server_ended_costs_no_statement(served):
    store, end = served
    with store.read() as connection:
        assert FIND.rows(connection, {"name": "a"}) == []
    end()
    with store.write(Deadline.after(60)) as connection:
        ADD.change(connection, ROW)
    end()
    with store.read(Deadline.after(60)) as connection:
        assert len(FIND.rows(connection, {"name": ROW["name"]})) == 1


def test_a_connection_that_breaks_in_a_transaction_is_not_used_again(served):
    store, end = served
    with pytest.raises(StoreError):
        _add(store, ROW, {**ROW, "name": "other"}, between=end)
    with store.read() as connection:
        assert FIND.rows(connection, {"name": ROW["name"]}) == []
