"""The position up to which each mailbox folder was read, as UIDVALIDITY and UID (RFC 3501 section 2.3.1.1)."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from antispam.deadline import Deadline
from antispam.store.engine import SLICE, Store
from antispam.store.schema import folder_read

KEEP = 90 * 86400.0  # seconds since a folder was last read


class Position(NamedTuple):
    """The validity of a folder's UIDs, and the last UID that was read."""

    validity: int
    uid: int


def position(store: Store, account: str, folder: str, deadline: Deadline | None = None) -> Position | None:
    """The position up to which a folder was read; None if it never was. Raises StoreError."""
    table = folder_read.c
    query = sa.select(table.validity, table.uid).where(table.account == account, table.folder == folder)
    with store.read(deadline) as connection:
        row = connection.execute(query).one_or_none()
    return None if row is None else Position(row.validity, row.uid)


def advance(
    store: Store, account: str, folder: str, to: Position, now: float, deadline: Deadline | None = None
) -> None:
    """Record the position. A power cut may undo this: reading a message again is harmless. Raises StoreError."""
    values = {"account": account, "folder": folder, "validity": to.validity, "uid": to.uid, "read_at": now}
    update = {"validity": to.validity, "uid": to.uid, "read_at": now}
    with store.write(deadline, durable=False) as connection:
        connection.execute(store.upsert(folder_read, values, key=("account", "folder"), update=update))


def purge(store: Store, before: float) -> None:
    """Delete at most a slice of the folders that were not read since that time (seconds since the epoch). They are
    searched for before the transaction begins. Raises StoreError.
    """
    table = folder_read.c
    with store.read() as connection:
        query = sa.select(table.account, table.folder).where(table.read_at < before).limit(SLICE)
        found = connection.execute(query).all()
    here = (table.account == sa.bindparam("of"), table.folder == sa.bindparam("name"), table.read_at < before)
    if found:
        with store.write(durable=False) as connection:
            rows = [{"of": row.account, "name": row.folder} for row in found]
            connection.execute(sa.delete(folder_read).where(*here), rows)
