"""The orders in which entries of the quarantine are listed, and how far a search or an order without an index looks."""

from __future__ import annotations

import dataclasses
import enum
import math
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from antispam.store.engine import Store
from antispam.store.schema import quarantine_entry

if TYPE_CHECKING:
    from antispam.store.quarantine import Entry, Search

LOOKED_AT = 50_000  # of everybody's entries, in a search or an order that no index has
_NO_SCORE = -1.0  # not classified: below all classified ones


class Order(enum.StrEnum):
    """The sort key of a list of entries."""

    RECEIVED = "received"
    SENDER = "sender"
    SUBJECT = "subject"
    SCORE = "score"


def sorted_by(order: Order, after: Entry | None) -> tuple[sa.ColumnElement[Any], sa.ColumnElement[Any]]:
    """The expression that an order compares, and its value for the entry `after`."""
    table = quarantine_entry
    match order:
        case Order.SENDER:
            sender = sa.case((table.c.author != "", table.c.author), else_=table.c.mail_from)
            return sa.func.lower(sender), sa.func.lower(sa.literal(after.sender if after else ""))
        case Order.SUBJECT:
            return sa.func.lower(table.c.subject), sa.func.lower(sa.literal(after.subject if after else ""))
        case Order.SCORE:
            score = after.score if after is not None and after.score is not None else _NO_SCORE
            return sa.func.coalesce(table.c.score, _NO_SCORE), sa.literal(score)
    return table.c.received_at, sa.literal(after.received_at if after else 0.0)


def newest_since(store: Store, number: int) -> float:
    """The time (seconds since the epoch) since which all users together have at most `number` entries; 0 if there are
    no older ones. It reads only an index, and bounds the time of a search or an order without one. Raises StoreError.
    """
    received_at = quarantine_entry.c.received_at
    query = sa.select(received_at).order_by(received_at.desc()).offset(number).limit(1)
    with store.read() as connection:
        left_out = connection.scalar(query)
    return 0.0 if left_out is None else math.nextafter(left_out, math.inf)


def bounded(
    store: Store, search: Search, order: Order = Order.RECEIVED, *, most: int = LOOKED_AT
) -> tuple[Search, bool]:
    """The same search, and whether it leaves older entries out. What no index leads to reads every entry, so that of all users
    at most the newest `most` are searched or sorted. Raises StoreError."""
    one_user = search.user or search.users is not None
    indexed = order is Order.RECEIVED and not (search.text or search.check)
    if one_user or search.ref or indexed:
        return search, False
    since = newest_since(store, most)
    return dataclasses.replace(search, since=max(since, search.since)), since > search.since
