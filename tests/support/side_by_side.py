"""What a migration takes away from a program of the version before that is still running."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa


def broken(before: Sequence[sa.Table], after: Sequence[sa.Table]) -> list[str]:
    """Why such a program would fail: what it reads must be there, and what it writes must be accepted."""
    now = {table.name: table for table in after}
    found: list[str] = []
    for table in before:
        found += _of_table(table, now[table.name]) if table.name in now else [f"{table.name} is gone"]
    return found


def _of_table(table: sa.Table, now: sa.Table) -> Iterator[str]:
    for column in table.c:
        name = f"{table.name}.{column.name}"
        if column.name not in now.c:
            yield f"{name} is gone"
        else:
            yield from (f"{name} {why}" for why in _of_column(column, now.c[column.name]))
    for column in now.c:
        if column.name not in table.c and not column.nullable and column.server_default is None:
            yield f"{table.name}.{column.name} is new and must be given"
    for names in sorted(_unique(now) - _unique(table)):
        yield f"{table.name}: {', '.join(names)} must be unique"


def _of_column(column: sa.Column[Any], now: sa.Column[Any]) -> Iterator[str]:
    if column.type.python_type is not now.type.python_type:
        yield "has another type"
    elif isinstance(column.type, sa.String) and isinstance(now.type, sa.String):
        longest = float("inf")
        if (now.type.length or longest) < (column.type.length or longest):
            yield "is shorter"
    if column.nullable and not now.nullable:
        yield "must be given"


def _unique(table: sa.Table) -> set[tuple[str, ...]]:
    """The columns that may not be the same in two rows."""
    found: set[tuple[str, ...]] = {tuple(column.name for column in table.primary_key.columns)}
    for one in table.constraints:
        if isinstance(one, sa.UniqueConstraint):
            found.add(tuple(column.name for column in one.columns))
    return found | {tuple(column.name for column in one.columns) for one in table.indexes if one.unique}
