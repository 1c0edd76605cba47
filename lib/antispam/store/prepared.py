"""Prepared statements: built and compiled once, then executed by the driver with parameters.

Building a statement from SQLAlchemy's expressions takes ten times as long as SQLite needs to execute it, and the mail
path uses the same few for each message. Such a statement is a constant of its module:

    _FIND = Prepared(lambda dialect: sa.select(rate.c.used).where(rate.c.name == sa.bindparam("name")))

    used = _FIND.rows(connection, {"name": name})

Everything that varies between executions is a parameter (sa.bindparam(), or the columns of an INSERT). Values and rows
are those of the driver. Statements with types that SQLAlchemy converts (PackedJson, Boolean, dates) must be executed by
SQLAlchemy itself; those can be built once, too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, sqlite

BEFORE = "bms_before"
"""A connection option for PostgreSQL: SQL to execute before each statement that is its own transaction."""

Parameters = Mapping[str, Any]
Row = tuple[Any, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class _Text:
    """The text of a statement for one kind of database. `order` has the names of its parameters, if the driver needs
    them in order. `constants` are parameters whose values belong to the statement.
    """

    sql: str
    order: tuple[str, ...] | None
    constants: Parameters

    def arguments(self, parameters: Parameters) -> Any:
        values = {**self.constants, **parameters}
        return values if self.order is None else tuple([values[name] for name in self.order])


class Prepared:
    """A statement whose text is made once for each kind of database."""

    def __init__(self, build: Callable[[str], sa.Executable]) -> None:
        """`build` receives the name of the database's dialect, as in Store.dialect."""
        self._build = build
        self._texts: dict[str, _Text] = {}

    def rows(self, connection: sa.Connection, parameters: Parameters) -> list[Row]:
        """The rows found by a SELECT or returned by RETURNING. Raises sqlalchemy.exc.DBAPIError."""
        rows, _ = self._execute(connection, parameters)
        return rows

    def row(self, connection: sa.Connection, parameters: Parameters) -> Row | None:
        """The first row. Raises sqlalchemy.exc.DBAPIError."""
        rows, _ = self._execute(connection, parameters)
        return rows[0] if rows else None

    def change(self, connection: sa.Connection, parameters: Parameters) -> int:
        """The number of rows affected by an INSERT, UPDATE or DELETE. Raises sqlalchemy.exc.DBAPIError."""
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
    """Both statements in one message to PostgreSQL, which makes them one transaction. Such a message has no parameters,
    so the driver writes them as literals.
    """
    from psycopg import ClientCursor  # installed by an extra

    return f"{before}; {ClientCursor(driver.driver_connection).mogrify(sql, arguments)}"


def _compiled(statement: sa.Executable, dialect: sa.Dialect) -> _Text:
    compiled: Any = statement.compile(dialect=dialect)  # type: ignore[attr-defined]
    if compiled.post_compile_params:
        raise ValueError(f"how many parameters it has changes: {compiled}")
    constants = {name: bind.value for bind, name in compiled.bind_names.items() if not bind.required}
    return _Text(str(compiled), tuple(compiled.positiontup) if compiled.positional else None, constants)


def execute(connection: sa.Connection, text: str, arguments: Any = (), before: str = "") -> tuple[list[Row], int]:
    """Execute a statement by the driver. Returns its rows and the number of rows affected. Raises
    sqlalchemy.exc.DBAPIError, as SQLAlchemy does. A broken connection is not used again.

    before  statements that PostgreSQL executes first, in the same transaction and round trip
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
            pass  # the count of the last one
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
    """The INSERT of PostgreSQL or SQLite, which can handle an existing row. It is imported late: SQLAlchemy's
    PostgreSQL part takes 2 MiB, which others do not need.
    """
    if dialect == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert
    return sqlite.insert


def returning(statement: sa.sql.dml.Insert, *columns: sa.Column[Any], dialect: str) -> sa.Executable:
    """The upsert, on PostgreSQL also returning these columns of the resulting row, which saves a round trip. Elsewhere
    it returns none: asking SQLite again costs nothing, and MariaDB has no such upsert.
    """
    return statement.returning(*columns) if dialect == "postgresql" else statement


def upsert(
    dialect: str,
    table: sa.Table,
    values: Mapping[str, Any] | None,
    key: Sequence[str],
    update: Mapping[str, Any] | None,
) -> sa.sql.dml.Insert:
    """One atomic statement that inserts the row (with `values` None its columns are parameters) or, if a row with this
    key exists, sets the `update` columns (None: leaves it alone). The expressions in `update` may use the columns of
    `table`, which stand for the existing row.
    """
    chosen = {} if values is None else dict(values)
    if dialect in ("mysql", "mariadb"):
        statement = mysql.insert(table)
        statement = statement.values(**chosen) if chosen else statement
        # In the caller's order: these databases assign from left to right and read the new values.
        return statement.on_duplicate_key_update(list((update or {key[0]: table.c[key[0]]}).items()))
    dialect_statement = insert_of(dialect)(table)
    dialect_statement = dialect_statement.values(**chosen) if chosen else dialect_statement
    whole: sa.sql.dml.Insert
    if update is None:
        whole = dialect_statement.on_conflict_do_nothing(index_elements=list(key))
    else:
        whole = dialect_statement.on_conflict_do_update(index_elements=list(key), set_=dict(update))
    return whole
