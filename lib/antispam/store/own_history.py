"""The history as one recipient may see it: the messages for them, and the fate of each for them."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from antispam.net.addresses import Mailbox, parse_mailbox
from antispam.store import quarantine
from antispam.store.engine import Store
from antispam.store.hidden import is_local
from antispam.store.history_search import Became, Cursor, Role
from antispam.store.quarantine import State
from antispam.store.schema import history, history_address, quarantine_entry


@dataclasses.dataclass(frozen=True, slots=True)
class Whose:
    """The addresses that decide which mail is a person's.

    addresses  theirs; a domain as `@example.com` or `example.com` stands for all its addresses
    not_these  addresses within these that belong to others
    """

    addresses: tuple[str, ...]
    not_these: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Received:
    """A message for them. `sender` is the author, else the envelope sender. `became` is None for rows from before the
    history stored it.
    """

    ref: str
    received_at: float
    sender: str
    subject: str
    became: Became | None

    @property
    def cursor(self) -> Cursor:
        return Cursor(self.received_at, self.ref)


def find(
    store: Store,
    whose: Whose,
    limit: int,
    *,
    after: Cursor | None = None,
    text: str = "",
    became: Collection[Became] = (),
) -> list[Received]:
    """At most `limit` messages, the newest first.

    after   the last message of the previous page
    text    occurs in the sender or the subject, ignoring case
    became  one of these; empty means any

    Raises StoreError.
    """
    table = history_address
    newest: dict[str, Any] = {}
    addresses = list(_mine(store, whose))
    with store.read() as connection:
        for mine in addresses:
            query = sa.select(table.c.ref, table.c.received_at, table.c.became).where(*mine)
            if became:
                query = query.where(table.c.became.in_(sorted(map(str, became))))
            if after is not None:
                earlier = sa.and_(table.c.received_at == after.received_at, table.c.ref < after.ref)
                query = query.where(
                    table.c.received_at <= after.received_at, sa.or_(table.c.received_at < after.received_at, earlier)
                )
            if text:
                places = (history.c.subject, history.c.author, history.c.mail_from)
                query = query.join(history, history.c.ref == table.c.ref)
                query = query.where(sa.or_(*(place.icontains(text, autoescape=True) for place in places)))
            query = query.order_by(table.c.received_at.desc(), table.c.ref.desc()).limit(limit)
            newest |= {row.ref: row for row in connection.execute(query)}
        rows = sorted(newest.values(), key=lambda row: (row.received_at, row.ref), reverse=True)[:limit]
        said = {row.ref: row for row in connection.execute(_said([row.ref for row in rows]))}
    return [_received(row, said[row.ref]) for row in rows if row.ref in said]


def of_ref(store: Store, whose: Whose, ref: str, received_at: float) -> Received | None:
    """One message, identified by its reference and arrival time; None if it was not for them. Raises StoreError."""
    table = history_address
    addresses = list(_mine(store, whose))
    with store.read() as connection:
        said = connection.execute(_said([ref])).one_or_none()
        for mine in addresses:
            query = sa.select(table.c.ref, table.c.received_at, table.c.became).where(*mine)
            row = connection.execute(query.where(table.c.received_at == received_at, table.c.ref == ref)).first()
            if row is not None and said is not None:
                return _received(row, said)
    return None


def states(store: Store, user: str, refs: Collection[str]) -> dict[str, State]:
    """The states of those of the messages that are still in the user's quarantine. Raises StoreError."""
    table = quarantine_entry
    mine = (table.c.user_name == user, table.c.ref.in_(list(refs)))
    return {entry.ref: entry.state for entry in quarantine.page(store, mine, len(refs))} if refs else {}


def volume(store: Store, whose: Whose, bounds: Sequence[float]) -> dict[tuple[int, Became], int]:
    """The numbers of messages received between consecutive bounds (seconds since the epoch, ascending), by the index of
    the lower bound and the fate of the messages. Raises StoreError.
    """
    table, counts = history_address, dict[tuple[int, Became], int]()
    part = sa.case(*((table.c.received_at < end, number) for number, end in enumerate(bounds[1:])))
    within = sa.and_(table.c.received_at >= bounds[0], table.c.received_at < bounds[-1], table.c.became.is_not(None))
    known = set(Became)
    addresses = list(_mine(store, whose))
    with store.read() as connection:
        for mine in addresses:
            query = sa.select(part.label("part"), table.c.became, sa.func.count(sa.distinct(table.c.ref)))
            grouped = query.where(*mine, within).group_by(sa.text("part"), table.c.became)
            for number, became, messages in connection.execute(grouped):
                if became in known:
                    key = number, Became(became)
                    counts[key] = counts.get(key, 0) + messages
    return counts


def _mine(store: Store, whose: Whose) -> Iterator[list[sa.ColumnElement[bool]]]:
    """The conditions for rows of their mail, one list per address: an index has the rows of one address in order of
    time.
    """
    table = history_address
    others = [parse_mailbox(address) for address in whose.not_these]
    for one in dict.fromkeys(map(_as_mailbox, whose.addresses)):
        here = [other for other in others if other.domain == one.domain]
        conditions = [table.c.role == str(Role.RECIPIENT), table.c.domain == one.domain[:255]]
        if one.local:
            conditions.append(is_local(store, table.c.local, one))
        else:  # an address with +detail is also stored without it
            conditions.append(~table.c.local.like("_%+%"))
            conditions += [~is_local(store, table.c.local, other) for other in here]
        yield conditions + [_not_with_detail(store, other) for other in here if "+" in other.local]


def _as_mailbox(address: str) -> Mailbox:
    return parse_mailbox(address if "@" in address else f"@{address}")


def _not_with_detail(store: Store, other: Mailbox) -> sa.ColumnElement[bool]:
    """The condition that excludes messages to another person's address with +detail, which are stored under both forms."""
    table, theirs = history_address, history_address.alias()
    same = sa.and_(theirs.c.ref == table.c.ref, theirs.c.received_at == table.c.received_at)
    named = is_local(store, theirs.c.local, other)
    here = sa.and_(theirs.c.role == str(Role.RECIPIENT), theirs.c.domain == other.domain[:255], named)
    return ~sa.exists().where(here, same)


def _said(refs: Iterable[str]) -> sa.Select[Any]:
    columns = (history.c.ref, history.c.mail_from, history.c.author, history.c.subject)
    return sa.select(*columns).where(history.c.ref.in_(list(refs)))


def _received(row: Any, said: Any) -> Received:
    known = row.became if row.became in set(Became) else None
    return Received(
        ref=row.ref, received_at=row.received_at, sender=said.author or said.mail_from, subject=said.subject,
        became=None if known is None else Became(known),
    )  # fmt: skip
