"""The octets of messages that are kept. A large one is in pieces, so that to delete it takes several short transactions:
SQLite writes over what it deletes, with mail waiting.

The row of stored_message has the first piece. Without that row the other pieces are nobody's.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import sqlalchemy as sa

from antispam.store.engine import Store
from antispam.store.schema import stored_message, stored_piece

PIECE = 1 << 20  # octets
_SWEPT = 50  # pieces, small ones at the end of messages most of them


def write(connection: sa.Connection, ref: str, stored_at: float, raw: bytes, *, again: bool = False) -> None:
    """Store a message under a reference that no other one has, within the caller's transaction.

    again  another one may have had it, of which pieces may be left
    """
    connection.execute(sa.insert(stored_message).values(ref=ref, stored_at=stored_at, content=raw[:PIECE]))
    write_rest(connection, ref, raw, again=again)


def write_rest(connection: sa.Connection, ref: str, raw: bytes, *, again: bool) -> None:
    """All pieces but the first."""
    if again:
        connection.execute(sa.delete(stored_piece).where(stored_piece.c.ref == ref))
    rest = [
        {"ref": ref, "number": number, "content": raw[begin : begin + PIECE]}
        for number, begin in enumerate(range(PIECE, len(raw), PIECE), 1)
    ]
    if rest:
        connection.execute(sa.insert(stored_piece), rest)


def read(connection: sa.Connection, ref: str) -> bytes | None:
    """The whole message; None where there is none."""
    first = connection.scalar(sa.select(stored_message.c.content).where(stored_message.c.ref == ref))
    if first is None:
        return None
    rest = sa.select(stored_piece.c.content).where(stored_piece.c.ref == ref).order_by(stored_piece.c.number)
    # Only a whole first piece has others behind it; what is left under the reference of a small message is another's.
    return bytes(first) + (b"".join(connection.scalars(rest)) if len(first) == PIECE else b"")


def delete(connection: sa.Connection, refs: Sequence[str]) -> None:
    """Delete messages within the caller's transaction; sweep() does the rest."""
    connection.execute(sa.delete(stored_message).where(stored_message.c.ref.in_(refs)))


def sweep(store: Store) -> bool:
    """Delete some pieces that are nobody's, of less than twice PIECE octets together; false where there is none. Raises
    StoreError."""
    table = stored_piece
    theirs = sa.exists().where(stored_message.c.ref == table.c.ref)
    query = sa.select(table.c.ref, table.c.number, sa.func.length(table.c.content)).where(~theirs)
    with store.read() as connection:
        found = connection.execute(query.order_by(table.c.ref, table.c.number).limit(_SWEPT)).all()
    if not found:
        return False
    octets = itertools.accumulate(size for *_, size in found)
    going = [(ref, number) for (ref, number, _), before in zip(found, (0, *octets), strict=False) if before < PIECE]
    with store.write() as connection:
        for ref, number in going:
            mine = sa.and_(table.c.ref == ref, table.c.number == number)
            connection.execute(sa.delete(table).where(mine, ~theirs))
    return True
