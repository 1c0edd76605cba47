"""The numbers that databases assign to rows."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa


def last_number(connection: sa.Connection, table: sa.Table, column: sa.Column[Any]) -> int:
    """The last number assigned to a row of this table; 0 if the database does not know."""
    match connection.dialect.name:
        case "postgresql":
            sequence = connection.scalar(sa.select(sa.func.pg_get_serial_sequence(table.name, column.name)))
            given = connection.exec_driver_sql(f"SELECT last_value FROM {sequence} WHERE is_called").scalar()
        case "sqlite":
            if not table.dialect_options["sqlite"]["autoincrement"]:
                return 0
            given = connection.scalar(
                sa.text("SELECT seq FROM sqlite_sequence WHERE name = :name"), {"name": table.name}
            )
        case _:
            statement = (
                "SELECT auto_increment - 1 FROM information_schema.tables"
                " WHERE table_schema = DATABASE() AND table_name = :name"
            )
            given = connection.scalar(sa.text(statement), {"name": table.name})
    return int(given or 0)


def set_last_number(connection: sa.Connection, table: sa.Table, column: sa.Column[Any], last: int) -> None:
    """Make the database assign the number after `last` to the next row of this table."""
    match connection.dialect.name:
        case "postgresql":
            sequence = sa.func.pg_get_serial_sequence(table.name, column.name)
            connection.execute(sa.select(sa.func.setval(sequence, last)))
        case "sqlite":
            if not table.dialect_options["sqlite"]["autoincrement"]:
                return
            connection.execute(sa.text("DELETE FROM sqlite_sequence WHERE name = :name"), {"name": table.name})
            statement = sa.text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :last)")
            connection.execute(statement, {"name": table.name, "last": last})
        case _:
            connection.exec_driver_sql(f"ALTER TABLE {table.name} AUTO_INCREMENT = {last + 1}")
