"""Searching the history by reference, queue ID or Message-ID, and by the people involved."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from antispam.net.addresses import Mailbox, normalize_domain, parse_mailbox
from antispam.store.engine import Store
from antispam.store.hidden import is_local
from antispam.store.schema import history, history_address


class Role(enum.StrEnum):
    """The role of a person in a message."""

    SENDER = "sender"  # in the envelope
    AUTHOR = "author"  # From address
    RECIPIENT = "recipient"


class Became(enum.StrEnum):
    """The fate of a message for one recipient."""

    DELIVERED = "delivered"
    MARKED = "marked"  # delivered, marked as spam
    KEPT = "kept"  # in the quarantine
    HELD = "held"  # in the mail server's queue
    REFUSED = "refused"
    LATER = "later"  # the client was asked to retry
    DROPPED = "dropped"
    UNFINISHED = "unfinished"


@dataclasses.dataclass(frozen=True, slots=True)
class Search:
    """A search. "" and None match anything; all given conditions must hold.

    name             the reference, or the MTA's queue ID
    message_id       with or without angle brackets
    sender           an address or a domain, of the envelope sender or the author
    recipient        an address or a domain
    since, until     seconds since the epoch
    """

    name: str = ""
    message_id: str = ""
    sender: str = ""
    recipient: str = ""
    since: float | None = None
    until: float | None = None


class Decision(msgspec.Struct):
    """A stored decision of a check. `text` is the text of a refusal, `enhanced` its status code. Default values are not
    stored, so the defaults must never change.
    """

    check: str = ""
    action: str = "continue"
    code: int = 0
    mode: str = "enforce"
    reason: str = ""
    enhanced: str = ""
    text: str = ""


class Recipient(msgspec.Struct):
    """A recipient, with the findings and decisions that concern it alone."""

    address: str = ""
    refused: Decision | None = None
    findings: dict[str, Any] = {}
    decisions: list[Decision] = []


class Transaction(msgspec.Struct, kw_only=True):
    """A message in the history. Times are in seconds since the epoch, its size in octets."""

    ref: str
    received_at: float
    node: str
    queue_id: str
    client_ip: str
    client_name: str
    helo: str
    mail_from: str
    message_id: str
    author: str
    subject: str
    size: int
    action: str
    code: int
    reason: str
    recipients: list[Recipient]
    findings: dict[str, Any]
    decisions: list[Decision]


class Cursor(NamedTuple):
    """The end of a page: the arrival time and the reference of the last message examined."""

    received_at: float
    ref: str


class Page(NamedTuple):
    """A page of results, newest first. `after` is the start of the next page; None if there are no more."""

    found: list[Transaction]
    after: Cursor | None


LOOKED_AT = 1000  # rows examined per page
_SLICE = 100  # rows that one query reads
MANY = 1000  # rows of a person beyond which they count as frequent
_ROWS = 4  # usual maximum for one message and one domain
_Person = tuple[sa.FromClause, str, tuple[Role, ...]]  # the table of addresses, the address, its roles
_PLAIN = ("recipients", "findings", "decisions")


def search(store: Store, wanted: Search, limit: int) -> list[Transaction]:
    """The newest matching messages, newest first, at most `limit`. Raises StoreError."""
    found: dict[str, Transaction] = {}
    query = _query(store, wanted, led_by=_rarer(store, wanted)).limit(limit * _ROWS)
    with store.read() as connection:
        for row in connection.execute(query).mappings():
            if row["ref"] not in found:
                found[row["ref"]] = _transaction(row)
            if len(found) == limit:
                break
    return list(found.values())


def page(
    store: Store,
    wanted: Search,
    limit: int,
    *,
    after: Cursor | None = None,
    fits: Callable[[Transaction], bool] = lambda one: True,
    most: int = LOOKED_AT,
) -> Page:
    """A page of at most `limit` messages that match and for which `fits` is true. It examines at most `most` rows, so a
    page of rare messages may be short or empty although another follows. Raises StoreError.
    """
    found: dict[str, Transaction] = {}
    rarer = _rarer(store, wanted)
    while True:
        query = _query(store, wanted, after, led_by=rarer).limit(_SLICE)
        with store.read() as connection:
            rows = connection.execute(query).mappings().all()
        for number, row in enumerate(rows, 1):
            after, most = Cursor(row["received_at"], row["ref"]), most - 1
            if row["ref"] not in found and fits(one := _transaction(row)):
                found[one.ref] = one
            if len(found) == limit or not most:
                last = number == len(rows) < _SLICE
                return Page(list(found.values()), None if last else after)
        if len(rows) < _SLICE:
            return Page(list(found.values()), None)


class Named(NamedTuple):
    """The names by which people know a message."""

    ref: str
    mail_from: str
    subject: str


def newest(store: Store, number: int) -> list[Named]:
    """The names of the newest messages, newest first. Raises StoreError."""
    query = sa.select(history.c.ref, history.c.mail_from, history.c.subject).order_by(history.c.received_at.desc())
    with store.read() as connection:
        return [Named(*row) for row in connection.execute(query.limit(number))]


def _people(wanted: Search) -> list[_Person]:
    """The people of a search, the sender first."""
    asked = [(wanted.sender, (Role.SENDER, Role.AUTHOR)), (wanted.recipient, (Role.RECIPIENT,))]
    return [
        (history_address.alias(f"people{number}"), address, roles)
        for number, (address, roles) in enumerate(asked)
        if address
    ]


def _rarer(store: Store, wanted: Search) -> int:
    """The number of the person in a search who has fewer rows. Their rows are read, and the others are looked up.
    Starting from a frequent recipient's domain would examine each of its messages to find those of a rare sender.
    """
    people = _people(wanted)
    if len(people) < 2:
        return 0
    with store.read() as connection:
        rows = [len(connection.execute(_some(store, *one)).all()) for one in people]
    return rows.index(min(rows))


def _some(store: Store, table: sa.FromClause, address: str, roles: tuple[Role, ...]) -> sa.Select[Any]:
    """At most MANY rows of a person."""
    return sa.select(table.c.id).where(table.c.role.in_(map(str, roles)), *_is(store, table, address)).limit(MANY)


def _query(store: Store, wanted: Search, after: Cursor | None = None, *, led_by: int = 0) -> sa.Select[Any]:
    """The query for a search, newest first, by an index in that order: that of the person `led_by` of _people(), if
    there are any.

    A planner that is told two columns which say the same (`ref` and `received_at`) expects next to nothing, reads everything
    there is, and sorts it. So the leader's rows are joined by `ref` alone, and the other person is looked up for each in a
    subquery that no planner turns into a join.
    """
    query: sa.Select[Any] = sa.select(history)
    at: sa.ColumnElement[Any] = history.c.received_at
    for place, (table, address, roles) in enumerate(_people(wanted)):
        is_there = [table.c.ref == history.c.ref, table.c.role.in_(map(str, roles)), *_is(store, table, address)]
        if place == led_by:
            query, at = query.join(table, is_there[0]).where(*is_there[1:]), table.c.received_at
        else:
            same = table.c.received_at == history.c.received_at  # it leads to the row: `ref` has no index here
            there: sa.Select[Any] = sa.select(sa.literal_column("1")).where(same, *is_there).limit(1).correlate(history)
            query = query.where(there.scalar_subquery().is_not(None))
    if wanted.name:
        # Two look-ups: for an OR over two indexes, some planners read every row.
        named = [sa.select(history.c.id).where(column == wanted.name) for column in (history.c.ref, history.c.queue_id)]
        query = query.where(history.c.id.in_(sa.union(*named).scalar_subquery()))
    if wanted.message_id:
        query = query.where(history.c.message_id == wanted.message_id.strip().strip("<>")[:255])
    if after is not None:
        number = sa.select(history.c.id).where(history.c.ref == after.ref).scalar_subquery()
        same = sa.and_(at == after.received_at, history.c.id < number)
        query = query.where(at <= after.received_at, sa.or_(at < after.received_at, same))
    return query.where(*_within(at, wanted)).order_by(at.desc(), history.c.id.desc())


def _is(store: Store, table: sa.FromClause, address: str) -> list[sa.ColumnElement[bool]]:
    """The conditions that a row has this address, or an address in this domain."""
    one = parse_mailbox(address) if "@" in address else Mailbox("", normalize_domain(address))
    domain = [table.c.domain == one.domain[:255]]
    return [*domain, is_local(store, table.c.local, one)] if one.local else domain


def _within(column: sa.ColumnElement[Any], wanted: Search) -> list[sa.ColumnElement[bool]]:
    since = [] if wanted.since is None else [column >= wanted.since]
    return since + ([] if wanted.until is None else [column < wanted.until])


def _transaction(row: sa.RowMapping) -> Transaction:
    plain = {name: row[name] for name in Transaction.__struct_fields__ if name not in _PLAIN}
    return Transaction(
        recipients=_decoded(row["recipients"], list[Recipient]),
        findings=_decoded(row["findings"], dict[str, Any]),
        decisions=_decoded(row["decisions"], list[Decision]),
        **plain,
    )


def _decoded(stored: str, kind: Any) -> Any:
    """The decoded JSON. A damaged value counts as empty: the rest of the row is still useful."""
    try:
        return msgspec.json.decode(stored, type=kind)
    except (msgspec.DecodeError, ValueError):
        return kind()
