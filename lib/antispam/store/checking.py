"""Checks of a database for faults: its files, its version, its tables and indexes, and rows without their parents.

The checks only read, and may run while mail is processed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import alembic.autogenerate
import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext

from antispam.store.engine import Store, StoreError
from antispam.store.migrate import MOVE_BEGUN, newest, revisions
from antispam.store.numbers import last_number
from antispam.store.schema import metadata

_MOST = 20  # faults reported for one file
_BACKUP = "stop the filter and restore the last backup (docs/backup.md)"

# Relations without a foreign key: (table, column) of the child, (table, column) of the parent, and what cleans up.
_BELONGING = (
    (("stored_piece", "ref"), ("stored_message", "ref")),
    (("stored_message", "ref"), ("quarantine_entry", "ref")),
    (("fingerprint", "report_id"), ("fingerprint_report", "id")),
    (("history_address", "ref"), ("history", "ref")),
)


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of the database.

    about   "file", "version", "table", "index", "number" or "row"
    text    the fault, as a sentence
    repair  the repair: an SQL statement or a sentence
    harms   False if the filter cleans it up by itself
    """

    about: str
    text: str
    repair: str
    harms: bool = True


def check(store: Store) -> Iterator[Fault]:
    """All faults of a database, the gravest kind first. Raises StoreError if the database cannot be read."""
    damaged = list(_files(store))
    yield from damaged
    version = [] if damaged else list(_version(store))
    yield from version
    if version or damaged:  # no other check is reliable then
        return
    tables = list(_tables(store))
    yield from tables
    yield from _invalid_indexes(store)
    if not any(fault.about == "table" for fault in tables):
        yield from _numbers(store)
        yield from _rows(store)


def _files(store: Store) -> Iterator[Fault]:
    try:
        yield from _damages(store)
    except StoreError as error:
        if type(error.__cause__) is not sa.exc.DatabaseError:  # SQLite's error for a file that it cannot read
            raise
        yield Fault("file", f"the file is damaged: {error}.", _BACKUP)


def _damages(store: Store) -> Iterator[Fault]:
    with store.read() as connection:
        match store.dialect:
            case "sqlite":
                found = connection.exec_driver_sql(f"PRAGMA integrity_check({_MOST})").scalars().all()
                for line in found if list(found) != ["ok"] else ():
                    yield Fault("file", f"the file is damaged: {' '.join(str(line).split())}.", _BACKUP)
            case "postgresql":
                for name in _names_of(connection):  # reads each page of each table and verifies its checksum
                    connection.execute(sa.select(sa.func.count()).select_from(sa.table(name)))
            case _:
                for name in _names_of(connection):
                    for row in connection.exec_driver_sql(f"CHECK TABLE `{name}`").all():
                        if row[2] in ("error", "warning") or (row[2] == "status" and row[3] != "OK"):
                            yield Fault("file", f"the table {name} is damaged: {row[3]}.", _BACKUP)


def _names_of(connection: sa.Connection) -> list[str]:
    return sorted(set(sa.inspect(connection).get_table_names()) & set(metadata.tables))


def _version(store: Store) -> Iterator[Fault]:
    with store.read() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
        half = sa.inspect(connection).has_table(MOVE_BEGUN)
    if half:
        yield Fault(
            "version",
            "only a part of another database has been moved here.",
            "complete the move with the same `bms db move` command",
        )
    elif found is None:
        yield Fault("version", "the database has no tables of this program.", "bms db upgrade")
    elif found not in revisions():
        text = f"a newer version of this program has upgraded the tables (schema {found})."
        yield Fault("version", text, "install that version")
    elif found != newest():
        yield Fault("version", f"the tables are of schema {found}, this version's are {newest()}.", "bms db upgrade")


def _tables(store: Store) -> Iterator[Fault]:
    """Differences of tables and indexes from those of this version. Additions by an administrator are ignored."""
    with store.read() as connection:
        context = MigrationContext.configure(connection)
        for difference in alembic.autogenerate.compare_metadata(context, metadata):
            changes = difference if isinstance(difference, list) else [difference]
            for change in changes:
                yield from _fault_of(change, connection)


def _fault_of(change: Any, connection: sa.Connection) -> Iterator[Fault]:
    match change:
        case ("add_table", sa.Table() as table):
            made = _sql(sa.schema.CreateTable(table), connection)
            yield Fault("table", f"the table {table.name} is missing.", f"{_BACKUP}, or make it empty: {made}")
        case ("add_column", _, str(table_name), sa.Column() as column):
            yield Fault("table", f"the column {table_name}.{column.name} is missing.", _BACKUP)
        case (("modify_type" | "modify_nullable") as what, _, str(table_name), str(column_name), _, is_now, should_be):
            told = {"modify_type": f"has the type {is_now!r}, not {should_be!r}"}.get(
                what, "accepts NULL" if is_now else "does not accept NULL"
            )
            yield Fault("table", f"the column {table_name}.{column_name} {told}.", _BACKUP)
        case ("add_index", sa.Index() as index):
            assert index.table is not None
            text = f"the table {index.table.name} has no index {index.name}: what looks for it reads all rows."
            yield Fault("index", text, _sql(sa.schema.CreateIndex(index), connection))
        case (("add_constraint" | "add_fk"), sa.Constraint() as constraint):
            text = f"the table {constraint.table.name} does not have its constraint {constraint.name or '(unnamed)'}."
            yield Fault("index", text, _sql(sa.schema.AddConstraint(constraint), connection))


def _sql(statement: sa.schema.ExecutableDDLElement, connection: sa.Connection) -> str:
    return " ".join(str(statement.compile(dialect=connection.dialect)).split())


def _invalid_indexes(store: Store) -> Iterator[Fault]:
    """Invalid indexes. PostgreSQL keeps an index that could not be built, for example on a full disk, but does not use
    it.
    """
    if store.dialect != "postgresql":
        return
    statement = sa.text(
        "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid"
        " WHERE NOT i.indisvalid AND c.relnamespace = current_schema()::regnamespace AND t.relname = ANY(:names)"
    )
    with store.read() as connection:
        for name in connection.scalars(statement, {"names": list(metadata.tables)}):
            yield Fault("index", f"the index {name} is not valid and therefore not used.", f"REINDEX INDEX {name}")


def _numbers(store: Store) -> Iterator[Fault]:
    """Sequences of PostgreSQL that are behind their tables. They ignore rows inserted with numbers, so the next rows
    would be refused.
    """
    if store.dialect != "postgresql":
        return
    for table in metadata.sorted_tables:
        column = table.autoincrement_column
        if column is None:
            continue
        with store.read() as connection:
            highest = connection.scalar(sa.select(sa.func.max(column))) or 0
            if highest <= last_number(connection, table, column):
                continue
        yield Fault(
            "number",
            f"the next row of {table.name} would get a number that is in use.",
            f"SELECT setval(pg_get_serial_sequence('{table.name}', '{column.name}'), {highest})",
        )


def _rows(store: Store) -> Iterator[Fault]:
    """Rows whose parent row is missing."""
    for table in metadata.sorted_tables:
        for key in sorted(table.foreign_keys, key=lambda key: key.parent.name):
            yield from _orphans(store, key.parent, key.column, tidied=False)
    for (child, column), (parent, other) in _BELONGING:
        yield from _orphans(store, metadata.tables[child].c[column], metadata.tables[parent].c[other], tidied=True)


def _orphans(store: Store, child: sa.Column[Any], parent: sa.Column[Any], *, tidied: bool) -> Iterator[Fault]:
    alone = ~sa.exists().where(parent == child)
    with store.read() as connection:
        found = connection.scalar(sa.select(sa.func.count()).select_from(child.table).where(alone)) or 0
    if found:
        text = f"{found} rows of {child.table.name} have no row in {parent.table.name} to belong to."
        delete = (
            f"DELETE FROM {child.table.name} WHERE NOT EXISTS"
            f" (SELECT 1 FROM {parent.table.name} WHERE {parent} = {child})"
        )
        repair = "none needed: the running filter deletes them within some hours" if tidied else delete
        yield Fault("row", text, repair, harms=not tidied)
