"""The orders in which entries of the quarantine are listed."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from antispam.store.schema import quarantine_entry

if TYPE_CHECKING:
    from antispam.store.quarantine import Entry

_NO_SCORE = -1.0  # nobody classified it: below all that were


class Order(enum.StrEnum):
    """What a list of entries is sorted by."""

    RECEIVED = "received"
    SENDER = "sender"
    SUBJECT = "subject"
    SCORE = "score"


def sorted_by(order: Order, after: Entry | None) -> tuple[sa.ColumnElement[Any], sa.ColumnElement[Any]]:
    """What an order compares, and the value of that in the entry `after`."""
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
