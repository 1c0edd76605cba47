"""The results of callbacks, shared by all workers and nodes, and the time of the last notice to each sender."""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

import sqlalchemy as sa

from antispam.deadline import Deadline
from antispam.net.addresses import normalize_domain
from antispam.protocols.callback_dialogue import Outcome, Verification
from antispam.store.engine import SLICE, Store
from antispam.store.prepared import Prepared
from antispam.store.schema import callback, shared_secret
from antispam.text import from_wire

NOTICES_KEPT = 30 * 86400.0  # seconds for which a notice to a sender is remembered


def digest_of(address: str) -> str:
    """The key of an address. Case matters: local parts that differ only in case may be two mailboxes (RFC 5321 section
    2.4).
    """
    local, _, domain = address.rpartition("@")
    return hashlib.sha256(f"{local}@{normalize_domain(domain)}".encode("utf-8", "surrogatepass")).hexdigest()


def remember(
    store: Store, address: str, found: Verification, now: float, keep: float, deadline: Deadline | None = None
) -> None:
    """Store a result for `keep` seconds, in one statement. Raises StoreError."""
    result = {
        "outcome": found.outcome.value,
        "told": from_wire(found.detail, 500),
        "host": from_wire(found.host, 255),
        "null_mx": found.null_mx,
        "asked_at": now,
        "expires_at": now + keep,
    }
    values = {"digest": digest_of(address), "address": from_wire(address, 320), **result}
    with store.write(deadline) as connection:
        connection.execute(store.upsert(callback, values, key=("digest",), update=result))


_RECALL = Prepared(
    lambda _: sa.select(callback.c.outcome, callback.c.told, callback.c.host, callback.c.null_mx).where(
        callback.c.digest == sa.bindparam("digest", type_=callback.c.digest.type),
        callback.c.expires_at > sa.bindparam("now", type_=callback.c.expires_at.type),
        callback.c.asked_at <= sa.bindparam("asked_before", type_=callback.c.asked_at.type),
        callback.c.outcome != "",
    )
)


def recall(store: Store, address: str, now: float, deadline: Deadline | None = None) -> Verification | None:
    """The stored result if it is still valid, else None. A result from after `now` is ignored: the clock was wrong.

    Raises StoreError.
    """
    with store.read(deadline) as connection:
        row = _RECALL.row(connection, {"digest": digest_of(address), "now": now, "asked_before": now + 60.0})
    return None if row is None else Verification(Outcome(row[0]), row[1], row[2], bool(row[3]))


def may_notice(store: Store, connection: sa.Connection, address: str, ref: str, now: float, pause: float) -> bool:
    """Whether the sender gets a notice about this message: only if `pause` seconds have passed since the last one.
    Records the notice in the caller's transaction. Asking again about the same message gives the same answer.
    """
    key = digest_of(address)
    due = sa.or_(
        callback.c.noticed_at.is_(None), callback.c.noticed_at <= now - pause, callback.c.noticed_at > now + 60.0
    )
    values = {
        "digest": key,
        "address": from_wire(address, 320),
        "outcome": "",
        "told": "",
        "host": "",
        "null_mx": False,
        "asked_at": now,
        "expires_at": now,
        "noticed_at": now,
        "notice_ref": ref,
    }
    # MariaDB assigns from left to right, so columns that are compared come last.
    update = {
        "notice_ref": sa.case((due, ref), else_=callback.c.notice_ref),
        "noticed_at": sa.case((due, now), else_=callback.c.noticed_at),
    }
    connection.execute(store.upsert(callback, values, key=("digest",), update=update))
    return connection.scalar(sa.select(callback.c.notice_ref).where(callback.c.digest == key)) == ref


def secret(store: Store, name: str, now: float, deadline: Deadline | None = None) -> bytes:
    """The secret of that name, shared by all nodes and created by the first call. Raises StoreError."""
    found = known_secret(store, name, deadline)
    if found is None:
        value = _secret(name)
        values = {"name": name, "value": secrets.token_hex(32), "created_at": now}
        with store.write(deadline) as connection:
            connection.execute(store.upsert(shared_secret, values, key=("name",), update=None))
            found = bytes.fromhex(connection.scalars(value).one())
    return found


def known_secret(store: Store, name: str, deadline: Deadline | None = None) -> bytes | None:
    """The secret of that name; None if it was not created yet. Raises StoreError."""
    with store.read(deadline) as connection:
        found = connection.scalar(_secret(name))
    return None if found is None else bytes.fromhex(found)


def _secret(name: str) -> sa.Select[Any]:
    return sa.select(shared_secret.c.value).where(shared_secret.c.name == name)


def purge(store: Store, now: float, slice_size: int = SLICE) -> int:
    """Delete a slice of the results that have expired. Call again while it returns any. Raises StoreError."""
    table = callback
    over = table.c.expires_at <= now
    gone = store.delete_slice(table, sa.and_(table.c.noticed_at.is_(None), over), slice_size)
    return gone or store.delete_slice(table, sa.and_(table.c.noticed_at <= now - NOTICES_KEPT, over), slice_size)
