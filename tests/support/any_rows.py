"""Rows for any table, made from the table itself: what people have stored, of each length, whatever version made the table."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

KINDS = ("usual", "longest", "empty")
_LONG = 30_000  # characters of a text without a length: MariaDB takes 65,535 octets
# What migrations read is what the program would have written there.
_JSON = {"recipients": '["ann@example.com"]', "findings": "{}", "decisions": "[]", "mailboxes": '["ann"]'}


def tables_of(connection: sa.Connection) -> list[sa.Table]:
    """The tables as they are in the database, parents first."""
    found = sa.MetaData()
    found.reflect(connection)
    return [table for table in found.sorted_tables if table.name != "alembic_version"]


def fill(connection: sa.Connection, tables: list[sa.Table], mark: int = 0) -> None:
    """Put a row of each kind into each table; `mark` (0 to 9) tells those of one call from those of another."""
    for table in tables:
        for number, kind in enumerate(KINDS, 1 + 10 * mark):
            connection.execute(
                sa.insert(table).values({column.name: _value(column, kind, number) for column in table.c})
            )


def rows_of(connection: sa.Connection, table: sa.Table, columns: list[str]) -> list[tuple[Any, ...]]:
    """Those columns of all rows, sorted."""
    found = connection.execute(sa.select(*(table.c[name] for name in columns)))
    return sorted((tuple(row) for row in found), key=repr)


def _value(column: sa.Column[Any], kind: str, number: int) -> Any:
    """`number` is in all values, so that keys differ and children find their parents."""
    if kind == "empty" and column.nullable:
        return None
    if column.name in _JSON:
        return _JSON[column.name]
    match column.type:
        case sa.LargeBinary():
            return bytes([0, 255, number]) * (1 if kind != "longest" else 100_000)
        case sa.String() as text:
            length = (text.length or _LONG) if kind == "longest" else len(str(number))
            return str(number).rjust(min(length, _LONG), "ä" if kind == "longest" else "0")
        case sa.Double() | sa.Float() | sa.REAL() | sa.NUMERIC():
            return 1_700_000_000.5 + number
        case sa.Boolean():
            return kind == "longest"
        case sa.SmallInteger():
            return number
        case _:
            return number
