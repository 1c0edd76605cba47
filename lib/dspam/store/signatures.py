"""The stored content of signatures: enough of a message to train with it later, when a user forwards it."""

from __future__ import annotations

import dataclasses
import time

import sqlalchemy as sa

from dspam.schema import dspam_signature
from dspam.store.database import Database

_LONGEST = 64  # characters


@dataclasses.dataclass(frozen=True, slots=True)
class Signature:
    """`content` is the caller's own, for example records.pack_keys(); `created_at` in seconds since the epoch."""

    user_id: int
    signature: str
    content: bytes
    created_at: float


def put_signature(database: Database, user_id: int, signature: str, content: bytes, now: float | None = None) -> None:
    """Store the content under this signature, replacing an earlier one. It is committed when this returns. Raises ValueError
    for a signature that is empty or longer than 64 characters."""
    if not 0 < len(signature) <= _LONGEST or not (signature.isascii() and signature.isprintable()):
        raise ValueError(f"{signature[:_LONGEST]!a} can't be a signature")
    values = {"content": content, "created_at": time.time() if now is None else now}
    with database.write() as connection:
        connection.execute(
            database.upsert(
                dspam_signature,
                {"signature": signature, "user_id": user_id, **values},
                key=("signature", "user_id"),
                update=values,
            )
        )


def get_signature(database: Database, user_id: int, signature: str) -> Signature | None:
    """The content, or None if the signature is unknown or expired."""
    return next((found for found in find_signature(database, signature) if found.user_id == user_id), None)


def find_signature(database: Database, signature: str) -> list[Signature]:
    """The signature of any user: a forwarded message names its signature, but not the owner. The name may be any text, because
    senders choose it."""
    if not (0 < len(signature) <= _LONGEST and signature.isascii() and signature.isprintable()):
        return []
    table = dspam_signature
    query = sa.select(table.c.user_id, table.c.signature, table.c.content, table.c.created_at)
    with database.read() as connection:
        rows = connection.execute(query.where(table.c.signature == signature).order_by(table.c.user_id)).all()
    return [Signature(*row) for row in rows]


def delete_signature(database: Database, user_id: int, signature: str) -> bool:
    """Delete the signature. Returns False if there was none."""
    table = dspam_signature
    with database.write() as connection:
        mine = sa.delete(table).where(table.c.signature == signature, table.c.user_id == user_id)
        return connection.execute(mine).rowcount > 0


def purge_signatures(database: Database, before: float, slice_size: int = 500) -> int:
    """Forget a slice of those made before that time (seconds since the epoch), in one short transaction; call again while it
    returns `slice_size`."""
    table = dspam_signature
    with database.read() as connection:
        rows = connection.execute(
            sa.select(table.c.signature, table.c.user_id).where(table.c.created_at < before).limit(slice_size)
        ).all()
    if rows:
        mine = sa.and_(table.c.signature == sa.bindparam("of"), table.c.user_id == sa.bindparam("by"))
        with database.write() as connection:
            connection.execute(
                sa.delete(table).where(mine, table.c.created_at < before),
                [{"of": row[0], "by": row[1]} for row in rows],
            )
    return len(rows)
