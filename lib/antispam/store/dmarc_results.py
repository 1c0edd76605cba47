"""The DMARC result of each message, kept until it is reported to the domain that published the policy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import sqlalchemy as sa

from antispam.deadline import Deadline
from antispam.store.engine import SLICE, Store
from antispam.store.outbox import QueuedMessage, post
from antispam.store.schema import dmarc_result

DAY = 86400
_PAGE = 5000
MAX_KINDS = 50_000  # rows per report; the rarest beyond that are left out


def unreported(store: Store, before: int, deadline: Deadline | None = None) -> list[tuple[int, str]]:
    """The day and domain of each report that is still due, for days before `before` (days since the epoch). Raises
    StoreError.
    """
    query = sa.select(dmarc_result.c.day, dmarc_result.c.domain).distinct().where(dmarc_result.c.day < before)
    with store.read(deadline) as connection:
        return [
            (day, domain)
            for day, domain in connection.execute(query.order_by(dmarc_result.c.day, dmarc_result.c.domain))
        ]


def counted(store: Store, day: int, domain: str) -> tuple[dict[str, Counter[str]], int]:
    """How often each record occurs, by published policy; and the number of the last row counted. Raises StoreError."""
    found: dict[str, Counter[str]] = {}
    last = 0
    columns = (dmarc_result.c.id, dmarc_result.c.published, dmarc_result.c.record)
    which = sa.and_(dmarc_result.c.day == day, dmarc_result.c.domain == domain)
    while True:
        with store.read() as connection:
            rows = connection.execute(
                sa.select(*columns).where(which, dmarc_result.c.id > last).order_by(dmarc_result.c.id).limit(_PAGE)
            ).all()
        for number, published, record in rows:
            counter = found.setdefault(published, Counter())
            if record in counter or len(counter) < MAX_KINDS:
                counter[record] += 1
            last = number
        if len(rows) < _PAGE:
            return found, last


def reported(store: Store, day: int, domain: str, last: int, queued: Sequence[QueuedMessage], now: float) -> bool:
    """Queue the reports and delete the results they contain, in one transaction. False if another process did so
    meanwhile. Raises StoreError.
    """
    which = sa.and_(dmarc_result.c.day == day, dmarc_result.c.domain == domain, dmarc_result.c.id <= last)
    with store.write() as connection:
        if not connection.execute(sa.delete(dmarc_result).where(which)).rowcount:
            return False
        for one in queued:
            post(store, connection, one, now)
    return True


def purge(store: Store, before: int, slice_size: int = SLICE) -> int:
    """Delete a slice of the unreported results older than that day. Raises StoreError."""
    return store.delete_slice(dmarc_result, dmarc_result.c.day < before, slice_size)
