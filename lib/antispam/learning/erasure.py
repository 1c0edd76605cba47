"""Erasure of the data of one person. Mail that is still to be sent stays, so that no mail is lost."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import TypeVar

import msgspec
import sqlalchemy as sa

from antispam.learning.personal_data import Person, Row, Search
from antispam.store import Store, accounts, history_sums, lists, outbox, quarantine, stored_messages
from antispam.store.engine import StoreBusy
from antispam.store.personal import TABLES, Holds
from antispam.store.schema import metadata
from dspam.store import users

SOMEBODY = "somebody"  # replaces the person's name in records about others
_BATCH = 100  # rows per transaction
_TRIES = 20
_T = TypeVar("_T")


@dataclasses.dataclass(slots=True)
class Forgotten:
    """The number of deleted rows of each table, and the tables in which rows remain because they are still needed to
    deliver mail.
    """

    rows: dict[str, int] = dataclasses.field(default_factory=dict)
    left: dict[str, int] = dataclasses.field(default_factory=dict)


def counted(store: Store, person: Person) -> dict[str, int]:
    """The number of rows about the person in each table. Raises StoreError."""
    search = Search(store, person)
    found = {name: sum(1 for _ in search.rows(name)) for name in TABLES}
    return {name: number for name, number in found.items() if number}


def forget(store: Store, person: Person, now: float) -> Forgotten:
    """Delete the person's data in short transactions. After an interruption, call it again. Raises StoreError."""
    search, done = Search(store, person), Forgotten()
    search.refs, search.kept  # noqa: B018 - references must be collected before the rows that contain them are deleted
    _note(done, "quarantine_entry", *_quarantine(store, search))
    _note(done, "outbox", *_outbox(store, search, now))
    _note(done, "web_account", _accounts(store, person, search))
    names = [name for name in TABLES if name not in _APART and "user_id" not in TABLES[name].columns]
    # Tables that lead to others are deleted last.
    for name in sorted(names, key=lambda name: name in ("history", "fingerprint_report")):
        _note(done, name, _plain(store, name, person, search))
    ids = [row["id"] for row in search.rows("dspam_user")]
    for number in ids:
        users.delete_user(store, number)
    _note(done, "dspam_user", len(ids))
    return done


_APART = frozenset({"quarantine_entry", "stored_message", "stored_piece", "outbox", "web_account", "dspam_user"})


def _note(done: Forgotten, table: str, gone: int, left: int = 0) -> None:
    if gone:
        done.rows[table] = gone
    if left:
        done.left[table] = left


def _quarantine(store: Store, search: Search) -> tuple[int, int]:
    """Delete quarantined mail, except for messages being released, which would be lost."""
    numbers = [row["id"] for row in search.rows("quarantine_entry")]
    gone = 0
    refs: set[str] = set()
    for some in _batches(numbers):
        entries = [entry for number in some if (entry := quarantine.of_number(store, int(number))) is not None]
        refs.update(entry.ref for entry in entries)
        gone += quarantine.remove(store, entries).entries
    for _ in stored_messages.sweep(store, sorted(refs)) if refs else ():
        pass
    return gone, len(numbers) - gone


def _outbox(store: Store, search: Search, now: float) -> tuple[int, int]:
    rows = list(search.rows("outbox"))
    over = [row for row in rows if row["next_at"] is None]
    gone = sum(outbox.delete(store, row["id"], now) for row in over)
    return gone, len(rows) - gone


def _accounts(store: Store, person: Person, search: Search) -> int:
    """Delete their own account, and remove their mailbox from other accounts."""
    found = list(search.rows("web_account"))
    for row in found:
        mailboxes = msgspec.json.decode(row["mailboxes"], type=list[str])
        left = [one for one in mailboxes if one.lower() not in person.names]
        if person.is_named(row["name"]) or not left:
            accounts.remove(store, row["name"])
        else:
            table = metadata.tables["web_account"]
            values = {"mailboxes": msgspec.json.encode(left).decode()}
            with store.write() as connection:
                connection.execute(sa.update(table).where(table.c.name == row["name"]).values(values))
    return len(found)


def _plain(store: Store, name: str, person: Person, search: Search) -> int:
    """Delete rows by their keys. If a row only names the person as its author, replace that name."""
    by = [column for column, holds in TABLES[name].columns.items() if holds is Holds.BY]
    gone = 0
    for rows in _batches(list(search.rows(name))):
        _delete(store, name, rows, by, person)
        gone += len(rows)
    return gone


def _delete(store: Store, name: str, rows: list[Row], by: list[str], person: Person) -> None:
    table = metadata.tables[name]
    keys = [column.name for column in table.primary_key.columns]
    for _ in range(_TRIES):
        with contextlib.suppress(history_sums.Changed), store.write() as connection:
            for row in rows:
                here = sa.and_(*(table.c[key] == row[key] for key in keys))
                if by and _is_of_another(row, name, person):
                    connection.execute(
                        sa.update(table).where(here).values({one: lists.renamed(row[one], SOMEBODY) for one in by})
                    )
                else:
                    connection.execute(sa.delete(table).where(here))
            if name == "history":
                history_sums.forget(connection, rows)
            return
    raise StoreBusy("housekeeping replaces the sums of the history; please try again")


def _is_of_another(row: Row, name: str, person: Person) -> bool:
    """Whether the row is about somebody else, so that only the author's name is replaced."""
    own = [str(row[column]) for column, holds in TABLES[name].columns.items() if holds in (Holds.TEXT, Holds.NAME)]
    return not any(person.in_text(one) or person.is_named(one) for one in own)


def _batches(rows: list[_T]) -> Iterator[list[_T]]:
    return (rows[at : at + _BATCH] for at in range(0, len(rows), _BATCH))
