"""The quarantine: messages held until somebody decides, with one entry for each user."""

from __future__ import annotations

import dataclasses
import enum
import re
from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from antispam.mail.authors import authors
from antispam.mail.decisions import Decision
from antispam.mail.message import Message
from antispam.store import stored_messages
from antispam.store.engine import Store
from antispam.store.quarantine_order import Order, sorted_by
from antispam.store.schema import outbox, quarantine_entry, stored_message
from antispam.text import for_log, from_wire

PAGE = 50  # entries
_MAX_SUBJECT = 500
_MAX_USER = 320
_MAX_TEXT = 200
_REF = re.compile(r"[0-9a-z]{1,16}")
_WILD = frozenset("*?%")


class BadName(ValueError):
    """An invalid reference, user or search text. The exception's text says why and contains no harmful characters."""


class NoEntry(LookupError):
    """No entry has that reference and user."""


@dataclasses.dataclass(frozen=True, slots=True)
class NewEntry:
    """A new entry of the quarantine, for one user.

    user        a user of the filter; if the recipient is not one, the address in lower case
    recipients  the addresses at which they would have received it
    decision    the decision that quarantined it, with its reason
    score       the probability of spam; None if it was not classified
    """

    user: str
    recipients: tuple[str, ...]
    decision: Decision
    score: float | None = None


def insert(connection: sa.Connection, message: Message, kept: Sequence[NewEntry], ref: str = "") -> None:
    """Write a message and its entries in the caller's transaction. The message must be complete.

    ref  the reference of an earlier attempt at this message; "" for none. Existing rows of it are not written again
    """
    raw = message.raw()
    if ref:
        kept = _still_missing(connection, ref, kept)
        there = connection.scalar(sa.select(stored_message.c.ref).where(stored_message.c.ref == ref)) is not None
    if not kept:
        return
    again = bool(ref)
    ref, there = (ref, there) if again else (message.ref, False)
    if not there:
        stored_messages.write(connection, ref, message.received_at, raw, again=again)
    subject = next((header.decoded for header in message.fields(b"subject")), "")
    common = {
        "ref": ref,
        "received_at": message.received_at,
        "mail_from": from_wire(message.mail_from, 320),
        "author": from_wire(str(next(iter(authors(message)), "")), 320),
        "subject": subject_column(subject),
        "size": len(raw),
    }
    connection.execute(sa.insert(quarantine_entry), [common | _values(one) for one in kept])


def _still_missing(connection: sa.Connection, ref: str, kept: Sequence[NewEntry]) -> list[NewEntry]:
    """The new entries that do not exist under that reference."""
    users = connection.scalars(sa.select(quarantine_entry.c.user_name).where(quarantine_entry.c.ref == ref))
    known = set(users)
    return [one for one in kept if from_wire(one.user, 320) not in known]


def _values(kept: NewEntry) -> dict[str, object]:
    return {
        "user_name": from_wire(kept.user, 320),
        "recipients": msgspec.json.encode([from_wire(address, 320) for address in kept.recipients]).decode(),
        "check_name": kept.decision.check[:32],
        "action": str(kept.decision.verdict.action),
        "reason": from_wire(kept.decision.verdict.reason),
        "score": kept.score,
    }


def subject_column(subject: str) -> str:
    """A subject in the form that its column accepts."""
    return from_wire(subject, _MAX_SUBJECT)


def checked_ref(text: str) -> str:
    """A reference, typed or dictated, in the stored case. Raises BadName."""
    ref = text.lower()
    if not _REF.fullmatch(ref):
        raise BadName(
            f"'{for_log(text, 60)}' is not a valid reference, which has up to 16 letters and digits, as in the log and `list`"
        )
    return ref


def checked_user(text: str) -> str:
    """The name of one user. Raises BadName if it is invalid: a path, a pattern, control characters, surrounding blanks."""
    shown = for_log(text, 60)
    if not text or len(text) > _MAX_USER or not text.isprintable() or text != text.strip():
        raise BadName(
            f"'{shown}' is no user: a name has 1 to {_MAX_USER} printable characters, and no blanks around it"
        )
    if _WILD.intersection(text):
        raise BadName(f"'{shown}' is no user: a name stands for one user, and patterns are not understood")
    if text.startswith((".", "/")) or "/.." in text:
        raise BadName(f"'{shown}' is no user but a path")
    return text


def checked_text(text: str) -> str:
    """A text to search for. Raises BadName."""
    if not text or len(text) > _MAX_TEXT or not text.isprintable():
        raise BadName(f"'{for_log(text, 60)}' can't be searched for: a text has 1 to {_MAX_TEXT} printable characters")
    return text


class State(enum.StrEnum):
    """The state of an entry."""

    KEPT = "kept"  # waits for a decision
    UNDER_WAY = "under way"  # its release is in the outbox
    RELEASED = "released"  # accepted by the MTA
    FAILED = "failed"  # its release was given up; it is kept as before


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """A stored entry of the quarantine. Text from mail is decoded, but not made safe for a terminal.

    number      the number of the row
    author      the first address in From; "" if unknown
    outbox_id   the queued message that releases it; None if it was not released
    error       why the MTA has not accepted that message
    """

    number: int
    ref: str
    user: str
    received_at: float
    mail_from: str
    recipients: tuple[str, ...]
    subject: str
    size: int
    check: str
    action: str
    reason: str
    score: float | None
    outbox_id: int | None
    released_at: float | None
    state: State
    error: str
    author: str = ""

    @property
    def sender(self) -> str:
        """The sender as people see it: the author, else the envelope sender; "" for a bounce without either."""
        return self.author or self.mail_from


@dataclasses.dataclass(frozen=True, slots=True)
class Search:
    """The conditions of a search, which must all hold. Empty or 0 means no condition.

    users  entries of one of these, so an empty list finds nothing; None means everybody
    text   occurs in the subject, the sender, the author, a recipient or the reason, ignoring case
    since  seconds since the epoch
    """

    user: str = ""
    users: tuple[str, ...] | None = None
    ref: str = ""
    text: str = ""
    check: str = ""
    since: float = 0.0


def find(
    store: Store,
    search: Search,
    limit: int = PAGE,
    after: Entry | None = None,
    *,
    order: Order = Order.RECEIVED,
    ascending: bool = False,
) -> list[Entry]:
    """A page of entries, newest first unless another order is given. `after` is the last entry of the previous page.
    Raises BadName and StoreError.
    """
    return page(store, _conditions(search), limit, after=after, order=order, oldest_first=ascending)


def page(
    store: Store,
    conditions: Sequence[sa.ColumnElement[bool]],
    limit: int,
    *,
    after: Entry | None = None,
    order: Order = Order.RECEIVED,
    oldest_first: bool = False,
) -> list[Entry]:
    """At most `limit` of the entries that meet the conditions on quarantine_entry: in descending order, newest first by
    default, or with oldest_first in ascending order. Raises StoreError.
    """
    table = quarantine_entry
    query = _entries().where(*conditions).limit(limit)
    key, here = sorted_by(order, after)
    if after is not None:
        place, last = sa.tuple_(key, table.c.id), sa.tuple_(here, sa.literal(after.number))
        query = query.where(place > last if oldest_first else place < last)
    columns = (key, table.c.id)
    query = query.order_by(*(columns if oldest_first else (column.desc() for column in columns)))
    with store.read() as connection:
        return [_entry(row) for row in connection.execute(query)]


def of_ref(store: Store, ref: str, user: str = "") -> list[Entry]:
    """The entries of a message: one for each user, or only that of one user. Raises NoEntry, BadName and StoreError."""
    conditions = _conditions(Search(ref=checked_ref(ref), user=user))
    with store.read() as connection:
        rows = connection.execute(_entries().where(*conditions).order_by(quarantine_entry.c.id))
        entries = [_entry(row) for row in rows]
    if not entries:
        raise NoEntry(f"nothing is kept under {checked_ref(ref)}" + (f" from {for_log(user, 60)}" if user else ""))
    return entries


def sizes(store: Store) -> tuple[int, int]:
    """The number of entries that were not released, and their total octets. Raises StoreError."""
    octets = sa.func.coalesce(sa.func.sum(quarantine_entry.c.size), 0)
    with store.read() as connection:
        query = sa.select(sa.func.count(), octets).where(quarantine_entry.c.released_at.is_(None))
        count, total = connection.execute(query).one()
    return int(count), int(total)


def of_number(store: Store, number: int) -> Entry | None:
    """The entry with that number; None if it is gone. Raises StoreError."""
    with store.read() as connection:
        row = connection.execute(_entries().where(quarantine_entry.c.id == number)).one_or_none()
    return None if row is None else _entry(row)


def read(store: Store, ref: str, user: str) -> tuple[Entry, bytes]:
    """A user's entry with the message. Raises NoEntry, BadName and StoreError."""
    (entry,) = of_ref(store, ref, checked_user(user))
    return entry, content(store, entry.ref)


def content(store: Store, ref: str) -> bytes:
    """The message as it was received. Raises NoEntry, BadName and StoreError."""
    ref = checked_ref(ref)
    with store.read() as connection:
        found = stored_messages.read(connection, ref)
    if found is None:
        raise NoEntry(f"nothing is kept under {ref}")
    return found


def _conditions(search: Search) -> list[sa.ColumnElement[bool]]:
    table = quarantine_entry
    conditions = []
    if search.user:
        conditions.append(table.c.user_name == checked_user(search.user))
    if search.users is not None:
        conditions.append(table.c.user_name.in_([checked_user(user) for user in search.users]))
    if search.ref:
        conditions.append(table.c.ref == checked_ref(search.ref))
    if search.text:
        text = checked_text(search.text)
        places = (table.c.subject, table.c.mail_from, table.c.author, table.c.recipients, table.c.reason)
        conditions.append(sa.or_(*(place.icontains(text, autoescape=True) for place in places)))
    if search.check:
        conditions.append(table.c.check_name == checked_text(search.check))
    if search.since:
        conditions.append(table.c.received_at >= search.since)
    return conditions


def _entries() -> sa.Select[tuple[object, ...]]:
    release = (outbox.c.next_at, outbox.c.last_error)
    return sa.select(quarantine_entry, *release).outerjoin(outbox, outbox.c.id == quarantine_entry.c.outbox_id)


def _entry(row: sa.Row[tuple[object, ...]]) -> Entry:
    """The entry in a row. A pending release takes precedence over an earlier completed one: the message is being sent
    again.
    """
    if row.next_at is not None:
        state = State.UNDER_WAY
    elif row.released_at is not None:
        state = State.RELEASED
    else:
        state = State.KEPT if row.outbox_id is None else State.FAILED
    return Entry(
        number=row.id,
        ref=row.ref,
        user=row.user_name,
        received_at=row.received_at,
        mail_from=row.mail_from,
        recipients=tuple(msgspec.json.decode(row.recipients, type=list[str])),
        subject=row.subject,
        size=row.size,
        check=row.check_name,
        action=row.action,
        reason=row.reason,
        score=row.score,
        outbox_id=row.outbox_id,
        released_at=row.released_at,
        state=state,
        error=row.last_error or "" if state is not State.RELEASED else "",
        author=row.author,
    )


@dataclasses.dataclass(slots=True)
class Removed:
    """The deleted entries, the octets of their messages, and the messages left without an entry."""

    entries: int = 0
    octets: int = 0
    messages: int = 0


def remove(store: Store, seen: Sequence[Entry]) -> Removed:
    """Delete entries, and messages without remaining entries, in one transaction; pass at most a few hundred.
    stored_messages.sweep() deletes the rest of large messages piece by piece.

    Entries that have changed since they were read stay, and so do those being released: the message must still exist if
    the MTA never accepts it. Raises StoreError.
    """
    table, removed = quarantine_entry, Removed()
    outbox_ids = {entry.number: entry.outbox_id for entry in seen}
    with store.write() as connection:
        refs = lock_messages(connection, {entry.ref for entry in seen})
        query = sa.select(table.c.id, table.c.size, table.c.outbox_id).where(table.c.id.in_(list(outbox_ids)))
        rows = connection.execute(query.order_by(table.c.id).with_for_update()).all()
        due = _waiting(connection, {row.outbox_id for row in rows} - {None})
        going = [row for row in rows if row.outbox_id == outbox_ids[row.id] and row.outbox_id not in due]
        if going:
            connection.execute(sa.delete(table).where(table.c.id.in_([row.id for row in going])))
            removed.messages = remove_unused(connection, refs)
    removed.entries, removed.octets = len(going), sum(row.size for row in going)
    return removed


def _waiting(connection: sa.Connection, outbox_ids: set[int]) -> set[int]:
    """The queued messages among these that were neither sent nor given up."""
    if not outbox_ids:
        return set()
    waiting = sa.and_(outbox.c.id.in_(outbox_ids), outbox.c.next_at.is_not(None))
    return set(connection.scalars(sa.select(outbox.c.id).where(waiting)))


def lock_messages(connection: sa.Connection, refs: set[str]) -> list[str]:
    """Lock messages; returns those that exist. Until the transaction ends, nobody else can add or delete their entries.
    Otherwise two transactions that delete one entry each would both leave the message to the other.
    """
    query = sa.select(stored_message.c.ref).where(stored_message.c.ref.in_(refs))
    return list(connection.scalars(query.order_by(stored_message.c.ref).with_for_update()))


def remove_unused(connection: sa.Connection, refs: Sequence[str]) -> int:
    """Delete the locked messages that no entry refers to. Returns their number."""
    used = connection.scalars(
        sa.select(quarantine_entry.c.ref).where(quarantine_entry.c.ref.in_(refs)).distinct()
    ).all()
    unused = set(refs).difference(used)
    if unused:
        stored_messages.delete(connection, list(unused))
    return len(unused)
