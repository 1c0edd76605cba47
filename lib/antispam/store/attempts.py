"""Actions already done for a message. The client may send it again, because the reply was lost or the MTA refused an
edit. Actions that must not be repeated are recorded here by the message's identity (Message.identity()).
"""

from __future__ import annotations

import hashlib

import sqlalchemy as sa

from antispam.deadline import Deadline
from antispam.store.engine import SLICE, Store
from antispam.store.prepared import Prepared, upsert
from antispam.store.schema import attempt

KEEP = 10 * 86400.0  # seconds; RFC 5321 section 4.5.4.1 has clients try for four to five days


_FIND = Prepared(
    lambda _: sa.select(attempt.c.ref).where(attempt.c.name == sa.bindparam("name", type_=attempt.c.name.type))
)
_ADD = Prepared(lambda dialect: upsert(dialect, attempt, None, ("name",), None))
_RENEW = Prepared(
    lambda dialect: upsert(
        dialect,
        attempt,
        None,
        ("name",),
        {
            "ref": sa.bindparam("new_ref", type_=attempt.c.ref.type),
            "noted_at": sa.bindparam("now", type_=attempt.c.noted_at.type),
        },
    )
)


def first(store: Store, connection: sa.Connection, what: str, identity: str, ref: str, now: float) -> str:
    """The reference under which `what` was done first: `ref` if this is the first time. Runs in the caller's
    transaction.
    """
    name = _name(what, identity)
    _ADD.change(connection, {"name": name, "ref": ref, "noted_at": now})
    return _found(connection, name) or ref


def done(store: Store, what: str, identity: str, deadline: Deadline | None = None) -> bool:
    """Whether `what` is recorded for that message. Raises StoreError."""
    with store.read(deadline) as connection:
        return _found(connection, _name(what, identity)) is not None


def note(store: Store, what: str, identity: str, ref: str, now: float, deadline: Deadline | None = None) -> str:
    """Record that `what` was done under `ref`. Returns the reference under which it was done last, "" if never. Raises
    StoreError.
    """
    name = _name(what, identity)
    with store.write(deadline) as connection:
        before = _found(connection, name)
        values = {"name": name, "ref": ref, "noted_at": now}
        _RENEW.change(connection, values | {"new_ref": ref, "now": now})
    return before or ""


def _found(connection: sa.Connection, name: str) -> str | None:
    row = _FIND.row(connection, {"name": name})
    return None if row is None else str(row[0])


def purge(store: Store, before: float, slice_size: int = SLICE) -> int:
    """Delete a slice of the records older than that time (seconds since the epoch). Call again while it returns
    `slice_size`. Raises StoreError.
    """
    return store.delete_slice(attempt, attempt.c.noted_at < before, slice_size)


def _name(what: str, identity: str) -> str:
    return hashlib.sha256(f"{what}\0{identity}".encode("utf-8", "surrogateescape")).hexdigest()
