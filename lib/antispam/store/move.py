"""Moving the whole store from one database to another, of the same kind or not: SQLite, PostgreSQL, MariaDB.

Rows are copied in the order of their primary key, parents first. The progress is stored in the transaction that writes
the rows, so an interrupted copy continues where it stopped.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from antispam.store.connecting import demand_driver, with_driver
from antispam.store.engine import Store
from antispam.store.migrate import MOVE_BEGUN, leave_to_its_owner, migrate, newest, revision_of
from antispam.store.numbers import last_number, set_last_number
from antispam.store.packed import PackedJson
from antispam.store.schema import LongText, metadata

ROWS = 1000  # rows per transaction
LARGE = 50  # rows per transaction, for tables whose rows may have a megabyte each
Progress = Callable[[str, int, int], None]
"""Called after each transaction with the table, the number of its rows copied so far, and their total."""
Put = Callable[[sa.Connection, sa.Table, Sequence[dict[str, Any]]], None]
"""put(connection, table, rows) writes rows into the target, within a transaction."""

# Exists only in the target, until the move is complete.
_places = sa.Table(
    MOVE_BEGUN,
    sa.MetaData(),
    sa.Column("name", sa.String(64), primary_key=True),  # name of a table; "" for the source
    sa.Column("place", sa.Text, nullable=False),  # the last key copied, as JSON; for "", the identity of the source
    sa.Column("copied", sa.BigInteger, nullable=False),  # rows
)


class MoveError(Exception):
    """The move cannot begin or be completed. The text says why and contains no password."""


@dataclass(frozen=True)
class Counted:
    """The final numbers of rows of one table in both databases."""

    table: str
    source: int
    target: int


def move(source_url: str, target_url: str, progress: Progress = lambda table, copied, total: None) -> list[Counted]:
    """Copy every table from one database to another, which must be empty or left by an interrupted move().

    The target's tables are created or upgraded. Nobody may write to either database meanwhile. Returns the counts of
    all tables. If they differ, something was written, and the target remains incomplete. Raises MoveError, StoreError,
    OSError or sqlalchemy.exc.SQLAlchemyError; calling it again then continues.
    """
    with both(source_url, target_url) as (source, target):
        demand_room(target)
        migrate(address(target_url), moving=True)
        return _copied(source, target, progress)


@contextlib.contextmanager
def both(source_url: str, target_url: str) -> Iterator[tuple[Store, Store]]:
    """The source and the target, which may still lack its tables. Raises MoveError and OSError."""
    source_url, target_url = address(source_url), address(target_url)
    if source_url == target_url:
        raise MoveError("both addresses name the same database")
    with contextlib.closing(opened(source_url)) as source:
        leave_to_its_owner(target_url)
        with contextlib.closing(Store(target_url)) as target:
            yield source, target


def address(url: str) -> str:
    """The address of a database with its driver. Raises MoveError."""
    try:
        demand_driver(url := with_driver(url))
    except ValueError as error:
        if isinstance(error.__cause__, ImportError):
            raise MoveError(str(error)) from error
        # An address that cannot be parsed is not repeated, not even in part: a password with an @ may be anywhere.
        known = "sqlite:////FOLDER/FILE, postgresql://USER@HOST/NAME or mariadb://USER@HOST/NAME"
        raise MoveError(f"an address can't be read; expected {known}, with %40 for an @ in a password") from None
    return url


def opened(url: str) -> Store:
    leave_to_its_owner(url)
    parsed = sa.engine.make_url(url)
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").is_file():
        raise MoveError(f"there is no database at {parsed.database or 'that address'}")
    store = Store(url)
    with store.read() as connection:
        found = revision_of(connection)
    if found != newest():
        store.close()
        raise MoveError("the tables of the source are not those of this version: run `bms db upgrade` with it first")
    return store


def demand_room(target: Store) -> None:
    """Raises MoveError if the target has rows that do not come from a move()."""
    with target.read() as connection:
        names = set(sa.inspect(connection).get_table_names())
        if _places.name in names:
            return
        for name in sorted(names - {"alembic_version"}):
            if connection.execute(sa.select(sa.literal(1)).select_from(sa.table(name)).limit(1)).first() is not None:
                raise MoveError(f"the target is not empty: its table {name} has rows. Please name an empty database")


def _copied(source: Store, target: Store, progress: Progress) -> list[Counted]:
    copy_all(source, target, source.url.render_as_string(hide_password=True), progress)
    found = counted(source, target)
    if all(one.source == one.target for one in found):
        finished(target)
    return found


def copy_all(
    source: Store,
    target: Store,
    identity: str,
    progress: Progress,
    put: Put | None = None,
    catch_up: Callable[[], None] | None = None,
) -> None:
    """Copy all rows of all tables, or continue doing so.

    identity  of this move: the target must not have parts of another
    put       writes rows; None inserts them
    catch_up  called when a row is refused: copies what others have changed; then the row is tried again
    """
    places = _begun(target, identity)
    counts = {table.name: _count(source, table) for table in metadata.sorted_tables}
    for table in metadata.sorted_tables:
        copied = partial(_tell, progress, table.name, counts[table.name])
        try:
            _copy(source, target, table, places, copied, put or _insert)
        except (sa.exc.IntegrityError, sa.exc.DataError) as error:
            if catch_up is None:
                raise _refused(table, error) from error
            catch_up()
            try:
                _copy(source, target, table, _begun(target, identity), copied, put or _insert)
            except (sa.exc.IntegrityError, sa.exc.DataError) as again:
                raise _refused(table, again) from again


def counted(source: Store, target: Store) -> list[Counted]:
    """Count the rows of all tables, and make the target number the next rows as the source would."""
    for table in metadata.sorted_tables:
        _count_on(source, target, table)
    return [Counted(table.name, _count(source, table), _count(target, table)) for table in metadata.sorted_tables]


def is_begun(target: Store) -> bool:
    """Whether the target has a part of a move."""
    with target.read() as connection:
        return sa.inspect(connection).has_table(MOVE_BEGUN)


def finished(target: Store) -> None:
    """Mark the target as complete, so that it can be used."""
    with target.write() as connection:
        _places.drop(connection)


def _refused(table: sa.Table, error: sa.exc.DBAPIError) -> MoveError:
    return MoveError(f"a row of the table {table.name} is refused: {_first_line(error)}")


def _insert(connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    connection.execute(sa.insert(raw(table)), rows)


def _tell(progress: Progress, table: str, total: int, copied: int) -> None:
    progress(table, copied, total)


def _begun(target: Store, identity: str) -> dict[str, tuple[str, int]]:
    """The progress of each table, by name. Raises MoveError if the target has parts of another move."""
    mark = hashlib.sha256(identity.encode()).hexdigest()
    with target.write() as connection:
        _places.create(connection, checkfirst=True)
    with target.write() as connection:
        places = {row.name: (row.place, row.copied) for row in connection.execute(sa.select(_places))}
        if "" not in places:
            connection.execute(sa.insert(_places).values(name="", place=mark, copied=0))
        elif places[""][0] != mark:
            raise MoveError(
                "the target has a part of another database, or of a move that was cancelled or had no --live: please empty it, "
                "or give that command again"
            )
    return places


def _copy(
    source: Store,
    target: Store,
    table: sa.Table,
    places: Mapping[str, tuple[str, int]],
    progress: Callable[[int], None],
    put: Put,
) -> None:
    plain = raw(table)
    keys = [plain.c[column.name] for column in table.primary_key.columns]
    size = LARGE if any(isinstance(column.type, sa.LargeBinary) for column in table.columns) else ROWS
    place, copied = places.get(table.name, ("", 0))
    known = table.name in places
    last = json.loads(place) if place else None
    progress(copied)
    while True:
        statement = sa.select(plain).order_by(*keys).limit(size)
        if last is not None:
            statement = statement.where(_after(keys, last))
        with source.read() as connection:
            rows = [dict(row) for row in connection.execute(statement).mappings()]
        if not rows:
            return
        last = [rows[-1][key.name] for key in keys]
        copied += len(rows)
        now = {"place": json.dumps(last), "copied": copied}
        with target.write() as connection:
            put(connection, table, rows)
            if known:
                connection.execute(sa.update(_places).where(_places.c.name == table.name).values(**now))
            else:
                connection.execute(sa.insert(_places).values(name=table.name, **now))
        known = True
        progress(copied)


def raw(table: sa.Table) -> sa.TableClause:
    """The table with its columns in stored form: packed values stay packed, whatever version wrote them."""
    columns: list[sa.ColumnClause[Any]] = [
        sa.column(column.name, LongText if isinstance(column.type, PackedJson) else column.type)
        for column in table.columns
    ]
    return sa.table(table.name, *columns)


def _after(keys: Sequence[sa.ColumnElement[Any]], last: Sequence[Any]) -> sa.ColumnElement[bool]:
    """The condition for rows after that key. The first column is also compared alone: MariaDB uses no index for row
    comparisons.
    """
    key, value = keys[0], last[0]
    behind: sa.ColumnElement[bool] = key > value
    if len(keys) == 1:
        return behind
    return sa.and_(key >= value, sa.or_(behind, _after(keys[1:], last[1:])))


def _count(store: Store, table: sa.Table) -> int:
    with store.read() as connection:
        return int(connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0)


def _count_on(source: Store, target: Store, table: sa.Table) -> None:
    """Make the target number its next row as the source would. Numbers of deleted rows are in mail already sent, and
    are remembered by readers of the log of lessons.
    """
    column = table.autoincrement_column
    if column is None:
        return
    with source.read() as connection:
        last = max(last_number(connection, table, column), connection.scalar(sa.select(sa.func.max(column))) or 0)
    if last < 1:
        return
    with target.write() as connection:
        set_last_number(connection, table, column, last)


def _first_line(error: sa.exc.DBAPIError) -> str:
    return str(error.orig).splitlines()[0][:200]
