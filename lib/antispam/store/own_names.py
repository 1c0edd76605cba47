"""The full names of our users, as in their From: an outsider with such a name may imitate them."""

from __future__ import annotations

import hashlib

import sqlalchemy as sa

from antispam.deadline import Deadline
from antispam.store.engine import SLICE, Store
from antispam.store.schema import own_name

_DAY = 86400.0
# Made once: each message asks, and to make it takes longer than the answer.
_ADDRESS = sa.select(own_name.c.address).where(own_name.c.digest == sa.bindparam("digest"))


def learn(store: Store, name: str, address: str, now: float, deadline: Deadline | None = None) -> None:
    """One of us, at `address`, has that name (as protocols.likeness.name_key() gives it). Written once a day at most. Raises
    StoreError."""
    digest = _digest(name)
    with store.read(deadline) as connection:
        known = connection.execute(sa.select(own_name).where(own_name.c.digest == digest)).one_or_none()
    if known is not None and known.address == address and abs(now - known.seen_at) < _DAY:
        return
    values = {"digest": digest, "name": name[:200], "address": address[:320], "seen_at": now}
    with store.write(deadline) as connection:
        connection.execute(
            store.upsert(own_name, values, key=("digest",), update={"address": address[:320], "seen_at": now})
        )


def of_us(store: Store, name: str, deadline: Deadline | None = None) -> str:
    """The address of the one of us who has that name; "" for none. Raises StoreError."""
    with store.read(deadline) as connection:
        return connection.scalar(_ADDRESS, {"digest": _digest(name)}) or ""


def purge(store: Store, before: float, slice_size: int = SLICE) -> int:
    """Forget a slice of those who wrote nothing since that time; call again while it returns any. Raises StoreError."""
    return store.delete_slice(own_name, own_name.c.seen_at < before, slice_size)


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
