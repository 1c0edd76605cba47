"""Prepared statements: built and compiled once, then executed by the driver with parameters.

To build a statement of SQLAlchemy's expressions costs ten times as much as SQLite takes to execute it, and the mail path needs
the same few for each message. Such a statement is a constant of its module:

    _FIND = Prepared(lambda dialect: sa.select(rate.c.used).where(rate.c.name == sa.bindparam("name")))

    used = _FIND.rows(connection, {"name": name})

What changes from one execution to the next is a parameter (sa.bindparam(), or the columns of an INSERT). Values and rows are
those of the driver: types that SQLAlchemy converts (PackedJson, Boolean, dates) are executed by SQLAlchemy itself, whose
statements may be built once, too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, sqlite

BEFORE = "bms_before"
"""An option of a connection to PostgreSQL: what is to be executed before each statement that is a transaction by itself."""

Parameters = Mapping[str, Any]
Row = tuple[Any, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class _Text:
    """The text of a statement for one kind of database. `order` has the names of its parameters, where the driver wants them in
    order; `constants` are those whose values belong to the statement."""

    sql: str
    order: tuple[str, ...] | None
    constants: Parameters

    def arguments(self, parameters: Parameters) -> Any:
        values = {**self.constants, **parameters}
        return values if self.order is None else tuple([values[name] for name in self.order])


class Prepared:
    """A statement whose text is made once for each kind of database."""

    def __init__(self, build: Callable[[str], sa.Executable]) -> None:
        """`build` is given the name of the database's dialect, as Store.dialect has it."""
        self._build = build
        self._texts: dict[str, _Text] = {}

    def rows(self, connection: sa.Connection, parameters: Parameters) -> list[Row]:
        """The rows that a SELECT finds, or that RETURNING returns. Raises sqlalchemy.exc.DBAPIError."""
        rows, _ = self._execute(connection, parameters)
        return rows

    def row(self, connection: sa.Connection, parameters: Parameters) -> Row | None:
        """The first row. Raises sqlalchemy.exc.DBAPIError."""
        rows, _ = self._execute(connection, parameters)
        return rows[0] if rows else None

    def change(self, connection: sa.Connection, parameters: Parameters) -> int:
        """How many rows an INSERT, UPDATE or DELETE concerned. Raises sqlalchemy.exc.DBAPIError."""
        _, count = self._execute(connection, parameters)
        return count

    def _execute(self, connection: sa.Connection, parameters: Parameters) -> tuple[list[Row], int]:
        text = self._texts.get(connection.dialect.name)
        if text is None:
            built = self._build(connection.dialect.name)
            text = self._texts[connection.dialect.name] = _compiled(built, connection.dialect)
        before = connection.get_execution_options().get(BEFORE, "")
        return execute(connection, text.sql, text.arguments(parameters), before)


def _in_one(driver: Any, before: str, sql: str, arguments: Any) -> str:
    """Both in one message to PostgreSQL, which makes them one transaction: it takes no parameters then, and the driver writes
    them as literals."""
    from psycopg import ClientCursor  # it comes with an extra

    return f"{before}; {ClientCursor(driver.driver_connection).mogrify(sql, arguments)}"


def _compiled(statement: sa.Executable, dialect: sa.Dialect) -> _Text:
    compiled: Any = statement.compile(dialect=dialect)  # type: ignore[attr-defined]
    if compiled.post_compile_params:
        raise ValueError(f"how many parameters it has changes: {compiled}")
    constants = {name: bind.value for bind, name in compiled.bind_names.items() if not bind.required}
    return _Text(str(compiled), tuple(compiled.positiontup) if compiled.positional else None, constants)


def execute(connection: sa.Connection, text: str, arguments: Any = (), before: str = "") -> tuple[list[Row], int]:
    """Let the driver execute a statement: the rows that it returns, and how many it concerned. Raises
    sqlalchemy.exc.DBAPIError, as SQLAlchemy does; a connection that broke is not used again.

    before  statements that PostgreSQL executes in the same transaction and round trip
    """
    dialect, driver = connection.dialect, connection.connection
    cursor: Any = None
    try:
        cursor = driver.cursor()
        if before:
            dialect.do_execute_no_params(cursor, _in_one(driver, before, text, arguments))
        elif arguments:
            dialect.do_execute(cursor, text, arguments)
        else:
            dialect.do_execute_no_params(cursor, text)
        while before and cursor.nextset():
            pass  # the last one's count
        rows: Sequence[Row] = cursor.fetchall() if cursor.description else ()
        count: int = cursor.rowcount
        cursor.close()
    except dialect.loaded_dbapi.Error as error:
        gone = dialect.is_disconnect(error, driver, cursor)
        if gone:
            connection.invalidate(error)
        raised = sa.exc.DBAPIError.instance(text, None, error, dialect.loaded_dbapi.Error, True, gone, dialect)
        raise raised from error
    return list(rows), count


def insert_of(dialect: str) -> Callable[[sa.Table], Any]:
    """The INSERT of PostgreSQL or SQLite, which says what becomes of a row that is there. PostgreSQL's half of SQLAlchemy takes
    2 MiB, which others need not keep."""
    if dialect == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert
    return sqlite.insert


def returning(statement: sa.sql.dml.Insert, *columns: sa.Column[Any], dialect: str) -> sa.Executable:
    """On PostgreSQL the upsert that also returns these columns of the row as it is now, which saves a round trip. Elsewhere it
    returns none: to ask SQLite again costs nothing, and MariaDB has no such upsert."""
    return statement.returning(*columns) if dialect == "postgresql" else statement


def upsert(
    dialect: str,
    table: sa.Table,
    values: Mapping[str, Any] | None,
    key: Sequence[str],
    update: Mapping[str, Any] | None,
) -> sa.sql.dml.Insert:
    """One atomic statement: insert the row (with `values` None its columns are parameters), or, where one with this key exists,
    set the `update` columns (None: leave it alone). The expressions in `update` may use the columns of `table`, which stand for
    the existing row."""
    chosen = {} if values is None else dict(values)
    if dialect in ("mysql", "mariadb"):
        statement = mysql.insert(table)
        statement = statement.values(**chosen) if chosen else statement
        # In the caller's order: these databases assign from left to right, and read what they have assigned.
        return statement.on_duplicate_key_update(list((update or {key[0]: table.c[key[0]]}).items()))
    dialect_statement = insert_of(dialect)(table)
    dialect_statement = dialect_statement.values(**chosen) if chosen else dialect_statement
    whole: sa.sql.dml.Insert
    if update is None:
        whole = dialect_statement.on_conflict_do_nothing(index_elements=list(key))
    else:
        whole = dialect_statement.on_conflict_do_update(index_elements=list(key), set_=dict(update))
    return whole
