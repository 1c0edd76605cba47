"""Deletion of messages that were given up, by age and total size."""

from __future__ import annotations

import logging

import sqlalchemy as sa

from antispam.store import outbox
from antispam.store.engine import Store
from antispam.store.schema import outbox as queued_messages

log = logging.getLogger(__name__)

_SLICE = 20  # messages per call, each in its own transaction: they may be large
_ALL = 100_000  # messages that are measured


def purge_failed(store: Store, now: float, keep: float, size: int) -> int:
    """Delete a slice of the messages that were given up more than `keep` seconds ago, and of the oldest while their
    total is more than `size` octets; 0 means no limit. Returns their number; call again while it returns any. Entries
    that a message would have released stay in the quarantine. Raises StoreError.
    """
    going = _surplus(store, now - keep if keep else 0.0, size)[:_SLICE]
    for number, ref in going:
        if outbox.delete(store, number, now):
            log.warning("[%s] message %d, which could not be sent, is deleted (see [outbox] keep_failed)", ref, number)
    return len(going)


def _surplus(store: Store, before: float, size: int) -> list[tuple[int, str]]:
    """The number and reference of each message to delete, oldest first."""
    octets = sa.func.length(queued_messages.c.content)
    query = sa.select(queued_messages.c.id, queued_messages.c.ref, queued_messages.c.failed_at, octets.label("octets"))
    with store.read() as connection:
        rows = connection.execute(
            query.where(queued_messages.c.failed_at > 0)
            .order_by(queued_messages.c.failed_at, queued_messages.c.id)
            .limit(_ALL)
        ).all()
    left = sum(row.octets for row in rows)
    going = []
    for row in rows:
        if row.failed_at >= before and not (size and left > size):
            break
        going.append((row.id, row.ref))
        left -= row.octets
    return going
