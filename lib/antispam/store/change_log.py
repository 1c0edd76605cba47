"""The log of changes made to a database while it is copied: triggers write the keys of changed rows into a table.

At the end these triggers are replaced by others that refuse every change. The store treats their error as an
unreachable database, so clients are asked to retry.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator

import sqlalchemy as sa

from antispam.store.engine import Store
from antispam.store.migrate import MOVED_AWAY
from antispam.store.schema import Number, metadata

_EVENTS = ("insert", "update", "delete")
_PREFIX = "bms_move_"
_REFUSING = "_no"  # suffix of the names of triggers that refuse changes
_REFUSED = "everything was moved to another database"

_own = sa.MetaData()
_changed = sa.Table(
    "move_changed",
    _own,
    sa.Column("seq", Number, primary_key=True, autoincrement=True),
    sa.Column("name", sa.String(64), nullable=False),  # of a table
    sa.Column("place", sa.Text, nullable=False),  # the key of a row, as a JSON list
    sqlite_autoincrement=True,
)
_moved = sa.Table(MOVED_AWAY, _own, sa.Column("at", sa.Double))

Key = tuple[object, ...]
Changes = dict[str, set[Key]]
"""The keys of rows that were written or deleted, by table."""


def begin(store: Store) -> str:
    """Record changes from now on. If a log exists, it is continued. Returns an identifier that no other log has."""
    with store.write() as connection:
        _changed.create(connection, checkfirst=True)
    for table in metadata.sorted_tables:
        with store.write() as connection:
            for statement in _noting(connection.dialect.name, table):
                connection.exec_driver_sql(statement)
    with store.write() as connection:
        _moved.drop(connection, checkfirst=True)  # left by MariaDB, whose refusing triggers were replaced
        found = connection.scalar(sa.select(_changed.c.place).where(_changed.c.name == ""))
        if found is None:
            found = secrets.token_hex(16)
            connection.execute(sa.insert(_changed).values(name="", place=found))
    return str(found)


def read(store: Store, size: int) -> Iterator[tuple[Changes, list[int]]]:
    """The recorded changes in order, in parts, each with the numbers for forget()."""
    with store.read() as connection:
        newest = connection.scalar(sa.select(sa.func.max(_changed.c.seq))) or 0
    last = 0
    while True:
        statement = (
            sa.select(_changed)
            .where(_changed.c.name != "", _changed.c.seq > last, _changed.c.seq <= newest)
            .order_by(_changed.c.seq)
            .limit(size)
        )
        with store.read() as connection:
            rows = connection.execute(statement).all()
        if not rows:
            return
        found: Changes = {}
        for row in rows:
            found.setdefault(row.name, set()).add(tuple(json.loads(row.place)))
        last = rows[-1].seq
        yield found, [row.seq for row in rows]


def forget(store: Store, numbers: list[int]) -> None:
    """Remove these changes from the log: they were copied."""
    with store.write(durable=False) as connection:
        connection.execute(sa.delete(_changed).where(_changed.c.seq.in_(numbers)))


def refuse(connection: sa.Connection) -> None:
    """Refuse every change, and lock out all writers until the caller's transaction ends. MariaDB ends that transaction
    here.
    """
    dialect = connection.dialect.name
    if dialect == "postgresql":
        connection.exec_driver_sql(
            f"CREATE OR REPLACE FUNCTION {_PREFIX}refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            f" RAISE EXCEPTION '{_REFUSED}' USING ERRCODE = '25006'; END $$"
        )
    for table in metadata.sorted_tables:
        for statement in _refusing(dialect, table.name):
            connection.exec_driver_sql(statement)
    _moved.create(connection, checkfirst=True)


def end(store: Store) -> None:
    """Remove everything of this module from a database, so that it can be used again."""
    for table in metadata.sorted_tables:
        with store.write() as connection:
            _remove_triggers(connection, table)
    with store.write() as connection:
        _own.drop_all(connection)
        if connection.dialect.name == "postgresql":
            for name in [f"{table}_note" for table in metadata.tables] + ["refuse"]:
                connection.exec_driver_sql(f"DROP FUNCTION IF EXISTS {_PREFIX}{name}()")


def is_moved(store: Store) -> bool:
    """Whether the database refuses changes because it was moved."""
    with store.read() as connection:
        return sa.inspect(connection).has_table(MOVED_AWAY)


def _remove_triggers(connection: sa.Connection, table: sa.Table) -> None:
    on = f" ON {table.name}" if connection.dialect.name == "postgresql" else ""
    for event in _EVENTS:
        for kind in ("", _REFUSING):
            connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {_PREFIX}{table.name}_{event}{kind}{on}")


def _head(dialect: str, table: str, when: str, event: str, kind: str = "") -> str:
    """The first part of a statement that creates a trigger. PostgreSQL lets others read during it, but not while a
    trigger is dropped. In MariaDB the refusing trigger replaces the recording one in one statement: there, no
    transaction can hold two such statements.
    """
    create = "CREATE TRIGGER IF NOT EXISTS" if dialect == "sqlite" else "CREATE OR REPLACE TRIGGER"
    name = f"{_PREFIX}{table}_{event}{'' if dialect in ('mysql', 'mariadb') else kind}"
    return f"{create} {name} {when} {event.upper()} ON {table}"


def _noting(dialect: str, table: sa.Table) -> Iterator[str]:
    keys = [column.name for column in table.primary_key.columns]
    array = {"sqlite": "json_array", "postgresql": "json_build_array"}.get(dialect, "JSON_ARRAY")

    def place(row: str) -> str:
        made = f"{array}({', '.join(f'{row}.{key}' for key in keys)})"
        return f"{made}::text" if dialect == "postgresql" else made

    def note(row: str, where: str = "") -> str:
        dual = " FROM DUAL" if where and dialect in ("mysql", "mariadb") else ""
        return f"INSERT INTO {_changed.name} (name, place) SELECT '{table.name}', {place(row)}{dual}{where};"

    same = note("OLD", f" WHERE {place('OLD')} <> {place('NEW')}")  # a row whose key changed
    bodies = {"insert": note("NEW"), "update": note("NEW") + same, "delete": note("OLD")}
    if dialect == "postgresql":
        branches = " ELSIF ".join(f"TG_OP = '{event.upper()}' THEN {body}" for event, body in bodies.items())
        yield (
            f"CREATE OR REPLACE FUNCTION {_PREFIX}{table.name}_note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            f" IF {branches} END IF; RETURN NULL; END $$"
        )
    for event, body in bodies.items():
        head = f"{_head(dialect, table.name, 'AFTER', event)} FOR EACH ROW"
        function = f"{_PREFIX}{table.name}_note()"
        yield f"{head} EXECUTE FUNCTION {function}" if dialect == "postgresql" else f"{head} BEGIN {body} END"


def _refusing(dialect: str, table: str) -> Iterator[str]:
    for event in _EVENTS:
        head = _head(dialect, table, "BEFORE", event, _REFUSING)
        match dialect:
            case "postgresql":
                yield f"{head} FOR EACH STATEMENT EXECUTE FUNCTION {_PREFIX}refuse()"
            case "sqlite":
                yield f"{head} BEGIN SELECT RAISE(ABORT, '{_REFUSED}'); END"
            case _:
                yield f"{head} FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{_REFUSED}'"
