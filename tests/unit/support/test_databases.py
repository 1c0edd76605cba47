"""The databases that other tests are given work, and are empty."""

from __future__ import annotations

import pytest
import sqlalchemy

from antispam.store import migrate

pytestmark = pytest.mark.every_database


def test_a_test_gets_an_empty_database_that_takes_any_character(empty_database_url: str) -> None:
    engine = sqlalchemy.create_engine(empty_database_url)
    try:
        with engine.begin() as connection:
            assert sqlalchemy.inspect(connection).get_table_names() == []
            connection.execute(sqlalchemy.text("CREATE TABLE words (word VARCHAR(20))"))
            connection.execute(sqlalchemy.text("INSERT INTO words VALUES (:word)"), {"word": "Grüße 🦊"})
            assert connection.scalar(sqlalchemy.text("SELECT word FROM words")) == "Grüße 🦊"
    finally:
        engine.dispose()


@pytest.mark.servers
@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_copy_has_what_the_migrations_make_and_nothing_else(kind: str, request: pytest.FixtureRequest) -> None:
    """Tables, columns, indexes, constraints and their options, as the database itself tells them."""
    server = request.getfixturevalue(kind)
    empty = server.new_database()
    migrate(empty)
    assert description(server.new_store()) == description(empty)


def description(url: str) -> dict[str, object]:
    """What a database says of its tables, and what is in the one that is not empty."""
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.pool.NullPool)
    with engine.connect() as connection:
        seen = sqlalchemy.inspect(connection)
        names = seen.get_table_names()
        parts = (
            seen.get_columns,
            seen.get_pk_constraint,
            seen.get_foreign_keys,
            seen.get_indexes,
            seen.get_table_options,
        )
        told: dict[str, object] = {name: [repr(part(name)) for part in parts] for name in names}
        rows = {name: connection.exec_driver_sql(f"SELECT * FROM {name}").all() for name in names}
    return told | {"rows": {name: found for name, found in rows.items() if found}}
