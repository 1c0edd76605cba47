"""The databases that other tests are given work, and are empty."""

from __future__ import annotations

import sqlalchemy


def test_a_test_gets_an_empty_database_that_takes_any_character(database_url: str) -> None:
    engine = sqlalchemy.create_engine(database_url)
    try:
        with engine.begin() as connection:
            assert sqlalchemy.inspect(connection).get_table_names() == []
            connection.execute(sqlalchemy.text("CREATE TABLE words (word VARCHAR(20))"))
            connection.execute(sqlalchemy.text("INSERT INTO words VALUES (:word)"), {"word": "Grüße 🦊"})
            assert connection.scalar(sqlalchemy.text("SELECT word FROM words")) == "Grüße 🦊"
    finally:
        engine.dispose()
