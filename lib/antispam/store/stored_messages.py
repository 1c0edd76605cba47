"""The content of stored messages. A large message is stored in pieces, so that deleting it takes several short
transactions: SQLite overwrites deleted data while mail waits.

The row of stored_message has the first piece. Without that row the other pieces are orphans.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from antispam.store.engine import Store
from antispam.store.schema import stored_message, stored_piece

PIECE = 1 << 20  # octets
_SWEPT = 50  # pieces, most of them small last ones


def write(connection: sa.Connection, ref: str, stored_at: float, raw: bytes, *, again: bool = False) -> None:
    """Store a message under an unused reference, in the caller's transaction.

    again  the reference may have been used before, and pieces may be left
    """
    connection.execute(sa.insert(stored_message).values(ref=ref, stored_at=stored_at, content=raw[:PIECE]))
    write_rest(connection, ref, raw, again=again)


def write_rest(connection: sa.Connection, ref: str, raw: bytes, *, again: bool) -> None:
    """Write all pieces but the first."""
    if again:
        connection.execute(sa.delete(stored_piece).where(stored_piece.c.ref == ref))
    rest = [
        {"ref": ref, "number": number, "content": raw[begin : begin + PIECE]}
        for number, begin in enumerate(range(PIECE, len(raw), PIECE), 1)
    ]
    if rest:
        connection.execute(sa.insert(stored_piece), rest)


def read(connection: sa.Connection, ref: str) -> bytes | None:
    """The whole message; None if there is none."""
    first = connection.scalar(sa.select(stored_message.c.content).where(stored_message.c.ref == ref))
    if first is None:
        return None
    rest = sa.select(stored_piece.c.content).where(stored_piece.c.ref == ref).order_by(stored_piece.c.number)
    # Only a full first piece is followed by others; pieces under the reference of a small message belong to an older
    # one.
    return bytes(first) + (b"".join(connection.scalars(rest)) if len(first) == PIECE else b"")


def delete(connection: sa.Connection, refs: Sequence[str]) -> None:
    """Delete messages in the caller's transaction. sweep() deletes the remaining pieces."""
    connection.execute(sa.delete(stored_message).where(stored_message.c.ref.in_(refs)))


def sweep(store: Store, refs: Sequence[str] | None = None) -> Iterator[None]:
    """Delete orphaned pieces, less than twice PIECE octets per transaction, and yield after each. Raises StoreError.

    refs  messages that were just deleted; None finds all orphaned pieces

    Each look-up continues where the last one ended. From the beginning, it would read all pieces of the remaining
    messages.
    """
    table, last = stored_piece, ("", 0)
    theirs = sa.exists().where(stored_message.c.ref == table.c.ref)
    query = sa.select(table.c.ref, table.c.number, sa.func.length(table.c.content)).where(~theirs)
    if refs is not None:
        query = query.where(table.c.ref.in_(refs))
    this = sa.and_(table.c.ref == sa.bindparam("of"), table.c.number == sa.bindparam("piece"))
    while True:
        beyond = sa.or_(table.c.ref > last[0], sa.and_(table.c.ref == last[0], table.c.number > last[1]))
        with store.read() as connection:
            found = connection.execute(
                query.where(table.c.ref >= last[0], beyond).order_by(table.c.ref, table.c.number).limit(_SWEPT)
            ).all()
        if not found:
            return
        octets = itertools.accumulate(size for *_, size in found)
        going = [(ref, number) for (ref, number, _), before in zip(found, (0, *octets), strict=False) if before < PIECE]
        with store.write() as connection:
            connection.execute(
                sa.delete(table).where(this, ~theirs), [{"of": ref, "piece": number} for ref, number in going]
            )
        last = going[-1]
        yield
