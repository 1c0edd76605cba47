"""Moving the whole store to another database while mail is processed.

First everything is copied while triggers record changes (change_log.py). Then the changed rows are copied, repeatedly,
until a pass takes only a moment. Writing is locked out for the last pass, and from then on the former database refuses
changes.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite

from antispam.store import change_log
from antispam.store.change_log import Changes, Key
from antispam.store.engine import Store, StoreError
from antispam.store.migrate import migrate
from antispam.store.move import (
    Counted,
    MoveError,
    Progress,
    address,
    both,
    copy_all,
    counted,
    demand_room,
    finished,
    is_begun,
    opened,
    raw,
)
from antispam.store.schema import metadata

PART = 500  # recorded changes copied at a time
MOMENT = 1.0  # seconds; once a pass takes no longer, writing is stopped for the last one
PASSES = 20  # after this many, changes arrive faster than they can be copied
_TRIES = 5  # attempts to get a moment without writers

Row = dict[str, Any]


def move_live(
    source_url: str, target_url: str, progress: Progress = lambda table, copied, total: None
) -> list[Counted]:
    """Like move.move(), but programs may write to the source meanwhile. When it returns, the source refuses every
    change; programs must be configured to use the target.

    Raises MoveError, StoreError, OSError or sqlalchemy.exc.SQLAlchemyError; calling it again then continues, and
    cancel() gives up.
    """
    with both(source_url, target_url) as (source, target):
        copying = _Copying(source, target)
        if change_log.is_moved(source):
            found = _completed(source, target, copying)
        else:
            demand_room(target)
            migrate(address(target_url), moving=True)
            copy_all(source, target, change_log.begin(source), progress, copying.put, copying.catch_up)
            copying.follow()
            found = _stop(source, target, copying)
        finished(target)
        return found


def _completed(source: Store, target: Store, copying: _Copying) -> list[Counted]:
    """Complete a move that was interrupted after writing had been stopped."""
    if not is_begun(target):
        raise MoveError("everything was moved already: let [store] url name the new database")
    copying.catch_up(forget=False)
    return counted(source, target)


def cancel(source_url: str) -> None:
    """Give up a move: the source is usable again, as before. Copied rows stay in the target."""
    source = opened(address(source_url))
    try:
        change_log.end(source)
    finally:
        source.close()


def _stop(source: Store, target: Store, copying: _Copying) -> list[Counted]:
    """Stop writing to the source, copy the remaining changes, and count the rows. If that fails, writing is allowed
    again.
    """
    for left in reversed(range(_TRIES)):
        try:
            with source.write() as connection:
                change_log.refuse(connection)
                copying.catch_up(forget=False)
                found = counted(source, target)
                differing = [one.table for one in found if one.source != one.target]
                if differing:
                    raise MoveError(f"the counts differ ({', '.join(differing)}); cancel this move, and begin again")
                return found
        except StoreError:
            change_log.begin(source)  # MariaDB has kept the refusing triggers
            if not left:
                raise
        except BaseException:
            change_log.begin(source)
            raise
    raise AssertionError


class _Copying:
    """Copies rows from the source into the target, whether or not the target has them."""

    def __init__(self, source: Store, target: Store) -> None:
        self._source = source
        self._target = target

    def follow(self) -> None:
        """Copy recorded changes until a pass takes only a moment. Raises MoveError if that is never reached."""
        for _ in range(PASSES):
            began = time.monotonic()
            self.catch_up()
            if time.monotonic() - began < MOMENT:
                return
        raise MoveError("more is written than can be copied; please try again when there is less mail")

    def catch_up(self, *, forget: bool = True) -> None:
        """Copy all changes recorded so far."""
        for changes, numbers in change_log.read(self._source, PART):
            self._apply(changes)
            if forget:
                change_log.forget(self._source, numbers)

    def _apply(self, changes: Changes) -> None:
        found = {table.name: self._rows(table, changes[table.name]) for table in _tables(changes)}
        with self._target.write() as connection:
            for table in reversed(_tables(changes)):
                there = {_key_of(table, row) for row in found[table.name]}
                for key in changes[table.name] - there:
                    _delete(connection, table, key)
            for table in _tables(changes):
                self.put(connection, table, found[table.name])

    def put(self, connection: sa.Connection, table: sa.Table, rows: Sequence[Row]) -> None:
        """Write rows and their parent rows. A row whose parent was deleted is left out: that change was recorded as
        well.
        """
        for key in table.foreign_keys:
            parent, mine, theirs = key.column.table, key.parent.name, key.column.name
            wanted = {row[mine] for row in rows}
            has = set(connection.scalars(sa.select(key.column).where(key.column.in_(wanted))))
            owners = self._rows(parent, [(one,) for one in wanted - has])
            self.put(connection, parent, owners)
            has |= {owner[theirs] for owner in owners}
            rows = [row for row in rows if row[mine] in has]
        if rows:
            connection.execute(_upsert(connection.dialect.name, table), rows)

    def _rows(self, table: sa.Table, keys: Iterable[Key]) -> list[Row]:
        wanted = list(keys)
        if not wanted:
            return []
        plain = raw(table)
        with self._source.read() as connection:
            found = connection.execute(sa.select(plain).where(_are(plain, table, wanted))).mappings()
            return [dict(row) for row in found]


def _tables(changes: Changes) -> list[sa.Table]:
    """The changed tables, parents first."""
    return [table for table in metadata.sorted_tables if table.name in changes]


def _key_of(table: sa.Table, row: Row) -> Key:
    return tuple(row[column.name] for column in table.primary_key.columns)


def _are(plain: sa.TableClause, table: sa.Table, keys: Sequence[Key]) -> sa.ColumnElement[bool]:
    names = [column.name for column in table.primary_key.columns]
    if len(names) == 1:
        return plain.c[names[0]].in_([key[0] for key in keys])
    return sa.tuple_(*(plain.c[name] for name in names)).in_(keys)


def _delete(connection: sa.Connection, table: sa.Table, key: Key) -> None:
    """Delete a row with all its child rows, which the source cannot have any more."""
    if len(key) == 1:
        for child in metadata.tables.values():
            for foreign in child.foreign_keys:
                if foreign.column.table is table:
                    connection.execute(sa.delete(child).where(foreign.parent == key[0]))
    plain = raw(table)
    connection.execute(sa.delete(plain).where(_are(plain, table, [key])))


def _upsert(dialect: str, table: sa.Table) -> sa.sql.dml.Insert:
    plain, keys = raw(table), [column.name for column in table.primary_key.columns]
    rest = [column.name for column in table.columns if column.name not in keys]
    if dialect in ("mysql", "mariadb"):
        made = mysql.insert(plain)
        return made.on_duplicate_key_update({name: made.inserted[name] for name in rest or keys})
    insert = postgresql.insert(plain) if dialect == "postgresql" else sqlite.insert(plain)
    if not rest:
        return insert.on_conflict_do_nothing(index_elements=keys)
    return insert.on_conflict_do_update(index_elements=keys, set_={name: insert.excluded[name] for name in rest})
