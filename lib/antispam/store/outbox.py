"""The outbox: the filter's own mail, stored until the MTA has accepted it.

A message is claimed before it is sent: one conditional UPDATE postpones its next try by a lease. So only one node has it, and
it becomes due again if that node dies. Until then `next_at` is the end of the lease, which identifies the claim.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
import secrets
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from antispam.deadline import Deadline
from antispam.store.engine import SLICE, Store
from antispam.store.schema import outbox, quarantine_entry
from antispam.text import from_wire

PASS_FIELD = "X-BMS-Pass"
PASS_ENVID = "bms-"  # prefix of an envelope identifier that is a pass
_MAX_SENDER = 320
_FORMERLY = {"rest": "copy"}  # kinds as written by versions up to 0.2


class Kind(enum.StrEnum):
    """The kind of a queued message."""

    COPY = "copy"  # a copy of a message for recipients who want it in another form
    RELEASE = "release"  # a message from the quarantine
    ORIGINAL = "original"  # the same, with its dangerous parts, because an administrator asked for it
    ANSWER = "answer"  # a reply to one of our users
    DSN = "dsn"  # a notice to an outside sender about their mail
    REPORT = "report"  # a DMARC aggregate report
    DIGEST = "digest"  # a list of a user's quarantined mail


class State(enum.StrEnum):
    """The state of a queued message."""

    WAITING = "waiting"  # waits for its first or next try
    UNDER_WAY = "under way"  # being sent; or its node died, and it waits for the end of the lease
    FAILED = "failed"  # given up; a person has to decide
    SENT = "sent"  # kept without its content, so that no second one with its name is accepted


@dataclasses.dataclass(frozen=True, slots=True)
class QueuedMessage:
    """A message to send.

    ref         the reference of the message that it is about
    mail_from   the envelope sender; "" for the null reverse path
    content     the whole message, with CRLF line ends
    once        if not empty, no second message with this name is accepted
    notify      the client's DSN parameters (RFC 3461): NOTIFY and ORCPT by recipient, RET and ENVID under ""
    """

    kind: Kind
    ref: str
    mail_from: str
    recipients: tuple[str, ...]
    content: bytes
    once: str = ""
    notify: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Claimed:
    """A message that this process may send until the lease ends.

    tries   the number of claims, including this one
    secret  the secret of the pass that is valid for this try
    ends    when the lease ends, in seconds since the epoch
    notify  as in QueuedMessage
    """

    id: int
    kind: str
    ref: str
    created_at: float
    mail_from: str
    recipients: tuple[str, ...]
    content: bytes
    tries: int
    secret: str
    ends: float
    notify: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def pass_value(self) -> str:
        """The value of the field PASS_FIELD."""
        return f"{self.id}.{self.secret}"


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """A queued message as commands show it. Times are in seconds since the epoch. `content` is empty in lists."""

    id: int
    kind: str
    ref: str
    state: State
    created_at: float
    mail_from: str
    recipients: tuple[str, ...]
    size: int
    tries: int
    next_at: float | None
    last_error: str
    sent_at: float | None
    failed_at: float | None
    content: bytes = b""


@dataclasses.dataclass(frozen=True, slots=True)
class Passed:
    """A queued message that the MTA has passed to us, recognised by its pass: its kind, and the message it is about."""

    kind: str
    ref: str


def post(store: Store, connection: sa.Connection, queued: QueuedMessage, now: float) -> int | None:
    """Queue a message in the caller's transaction; it is sent if that is committed. Returns its number, or None for a message
    with `once`, which may already exist. Raises ValueError if it has no recipients."""
    if not queued.recipients:
        raise ValueError("a message needs a recipient")
    values = {
        "kind": str(queued.kind),
        "ref": queued.ref,
        "created_at": now,
        "mail_from": _reverse_path(queued.mail_from),
        "recipients": _list(queued.recipients),
        "content": queued.content,
        "once": hashlib.sha256(queued.once.encode("utf-8", "surrogatepass")).hexdigest() if queued.once else None,
        "next_at": now,
        "tries": 0,
        "last_error": "",
        "notify": json.dumps(dict(queued.notify)) if queued.notify else None,
    }
    if queued.once:
        connection.execute(store.upsert(outbox, values, key=("once",), update=None))
        return None
    (number,) = connection.execute(sa.insert(outbox).values(values)).inserted_primary_key or (None,)
    return number


def _reverse_path(address: str) -> str:
    """The reverse path to store. An address that cannot be stored unchanged (not UTF-8, or too long) cannot receive replies
    either; with a modified one, bounces would go to somebody else."""
    storable = len(address) <= _MAX_SENDER and from_wire(address, _MAX_SENDER) == address and "\0" not in address
    return address if storable else ""


def _list(addresses: Sequence[str]) -> str:
    """Addresses as ASCII JSON, so that any octets in them are restored unchanged."""
    return json.dumps(list(addresses))


def _under_way(now: float) -> sa.ColumnElement[bool]:
    """The condition that a message is under way: only a claim leaves it without the result of its last try."""
    return sa.and_(outbox.c.tries > 0, outbox.c.last_error == "", outbox.c.next_at > now)


def claim(
    store: Store, now: float, lease: float, outbox_id: int | None = None, *, farthest: float | None = None
) -> Claimed | None:
    """Claim a message for `lease` seconds: one that is due, or the one with that number, due or not, even if it failed.
    None if there is none, or it is already under way. Raises StoreError.

    farthest  the most seconds by which a try is ever postponed; a later one was planned by a wrong clock and is due
    """
    if outbox_id is None:
        free = outbox.c.next_at <= now
        if farthest is not None:
            free = sa.or_(free, outbox.c.next_at > now + farthest)
    else:
        free = sa.and_(outbox.c.id == outbox_id, outbox.c.sent_at.is_(None), sa.not_(_under_way(now)))
    while True:
        with store.read() as connection:
            found = connection.scalar(
                sa.select(outbox.c.id).where(free).order_by(outbox.c.next_at, outbox.c.id).limit(1)
            )
        if found is None:
            return None
        claimed = _take(store, found, free, now, lease)
        if claimed is not None or outbox_id is not None:
            return claimed


def _take(store: Store, number: int, free: sa.ColumnElement[bool], now: float, lease: float) -> Claimed | None:
    secret = secrets.token_hex(16)
    values = {
        "next_at": now + lease,
        "tries": outbox.c.tries + 1,
        "last_error": "",
        "failed_at": None,
        "pass_digest": pass_digest(secret),
    }
    columns = (outbox.c.kind, outbox.c.ref, outbox.c.created_at, outbox.c.mail_from, outbox.c.recipients)
    with store.write() as connection:
        if connection.execute(sa.update(outbox).where(outbox.c.id == number, free).values(values)).rowcount != 1:
            return None
        row = connection.execute(
            sa.select(*columns, outbox.c.content, outbox.c.tries, outbox.c.notify).where(outbox.c.id == number)
        ).one()
    return Claimed(
        id=number,
        kind=_FORMERLY.get(row.kind, row.kind),
        ref=row.ref,
        created_at=row.created_at,
        mail_from=row.mail_from,
        recipients=tuple(json.loads(row.recipients)),
        content=row.content,
        tries=row.tries,
        secret=secret,
        ends=now + lease,
        notify=json.loads(row.notify or "{}"),
    )


def delivered(store: Store, queued: Claimed, taken: Collection[str], now: float) -> tuple[str, ...]:
    """Record that the MTA accepted a message for these recipients. Returns the recipients who have not got it yet. If none is
    left, the message is deleted and its quarantine entry counts as released. Raises StoreError.

    This applies even if another process has claimed the message: it must not be sent again."""
    with store.write() as connection:
        row = connection.execute(
            sa.select(outbox.c.recipients, outbox.c.once).where(outbox.c.id == queued.id).with_for_update()
        ).one_or_none()
        left = tuple(address for address in json.loads(row.recipients) if address not in taken) if row else ()
        if row and left:
            connection.execute(sa.update(outbox).where(outbox.c.id == queued.id).values(recipients=_list(left)))
        elif row:
            _finish(connection, queued.id, row.once is not None, now)
    return left


def _finish(connection: sa.Connection, number: int, keep: bool, now: float) -> None:
    connection.execute(sa.update(quarantine_entry).where(_unreleased_by(number)).values(released_at=now))
    if not keep:
        connection.execute(sa.delete(outbox).where(outbox.c.id == number))
        return
    values = {
        "content": b"",
        "recipients": "[]",
        "next_at": None,
        "last_error": "",
        "pass_digest": None,
        "sent_at": now,
        "failed_at": None,
    }
    connection.execute(sa.update(outbox).where(outbox.c.id == number).values(values))


def _unreleased_by(number: int) -> sa.ColumnElement[bool]:
    return sa.and_(quarantine_entry.c.outbox_id == number, quarantine_entry.c.released_at.is_(None))


def deferred(store: Store, queued: Claimed, error: str, next_at: float) -> bool:
    """Record a failed try and the time of the next one. False if the claim had ended. The pass stays valid until then: an MTA
    that did not answer in time may still pass the message to us. Raises StoreError."""
    return _end_try(store, queued, {"next_at": next_at, "last_error": _error_text(error)})


def given_up(store: Store, queued: Claimed, error: str, now: float) -> bool:
    """Record that a message is given up; it is kept. False if the claim had ended. Raises StoreError."""
    values = {"next_at": None, "last_error": _error_text(error), "pass_digest": None, "failed_at": now}
    return _end_try(store, queued, values)


def _error_text(error: str) -> str:
    """The error text to store: never empty or blank, which some databases treat as empty."""
    return from_wire(error, 1000).replace("\0", "\\x00").strip() or "no reason was given"


def _end_try(store: Store, queued: Claimed, values: dict[str, Any]) -> bool:
    ours = sa.and_(outbox.c.id == queued.id, outbox.c.next_at == queued.ends)
    with store.write() as connection:
        return connection.execute(sa.update(outbox).where(ours).values(values)).rowcount == 1


def pass_digest(secret: str) -> str:
    """The digest of a pass. Only this is stored, so readers of the database cannot make a pass."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def known_pass(
    store: Store, outbox_id: int, secret: str, now: float, deadline: Deadline | None = None
) -> Passed | None:
    """The message of a pass; None if the pass is invalid. Takes no lock. Raises StoreError, at the `deadline` at the latest."""
    with store.read(deadline) as connection:
        query = sa.select(outbox.c.kind, outbox.c.ref).where(_valid(outbox_id, secret, now))
        found = connection.execute(query).one_or_none()
    return None if found is None else Passed(_FORMERLY.get(found.kind, found.kind), found.ref)


def use_pass(store: Store, outbox_id: int, secret: str, now: float, deadline: Deadline | None = None) -> bool:
    """Use up a valid pass, which is invalid from then on. False if it is not valid. Raises StoreError."""
    with store.write(deadline) as connection:
        used = connection.execute(sa.update(outbox).where(_valid(outbox_id, secret, now)).values(pass_digest=None))
    return used.rowcount == 1


def _valid(outbox_id: int, secret: str, now: float) -> sa.ColumnElement[bool]:
    return sa.and_(outbox.c.id == outbox_id, outbox.c.pass_digest == pass_digest(secret), outbox.c.next_at > now)


def entries(store: Store, now: float, limit: int = 1000) -> list[Entry]:
    """The queued messages without their content: failed ones first, then by the time of the next try. Raises StoreError."""
    order = (outbox.c.failed_at.is_(None), outbox.c.sent_at.is_not(None), outbox.c.next_at, outbox.c.id)
    with store.read() as connection:
        rows = connection.execute(_entry_columns().order_by(*order).limit(limit)).all()
    return [_entry(row, now) for row in rows]


def of_ref(store: Store, ref: str, now: float) -> list[Entry]:
    """The queued messages about the message with that reference, without their content, oldest first. Raises StoreError."""
    with store.read() as connection:
        rows = connection.execute(_entry_columns().where(outbox.c.ref == ref).order_by(outbox.c.id)).all()
    return [_entry(row, now) for row in rows]


def entry(store: Store, outbox_id: int, now: float) -> Entry | None:
    """One message with its content; None if no message has that number. Raises StoreError."""
    with store.read() as connection:
        row = connection.execute(_entry_columns(outbox.c.content).where(outbox.c.id == outbox_id)).one_or_none()
    return None if row is None else dataclasses.replace(_entry(row, now), content=row.content)


def _entry_columns(*more: sa.ColumnElement[Any]) -> sa.Select[Any]:
    columns = [column for column in outbox.c if column.name not in ("content", "once", "pass_digest", "notify")]
    return sa.select(*columns, sa.func.length(outbox.c.content).label("size"), *more)


def _entry(row: Any, now: float) -> Entry:
    state = State.WAITING
    if row.sent_at is not None:
        state = State.SENT
    elif row.failed_at is not None:
        state = State.FAILED
    elif row.tries and not row.last_error and row.next_at > now:
        state = State.UNDER_WAY
    return Entry(
        id=row.id,
        kind=_FORMERLY.get(row.kind, row.kind),
        ref=row.ref,
        state=state,
        created_at=row.created_at,
        mail_from=row.mail_from,
        recipients=tuple(json.loads(row.recipients)),
        size=row.size,
        tries=row.tries,
        next_at=row.next_at,
        last_error=row.last_error,
        sent_at=row.sent_at,
        failed_at=row.failed_at,
    )


def retry(store: Store, outbox_id: int, now: float) -> bool:
    """Make a message due now, even a failed one, with the full time of a new one. False if no message has that number, or it is
    under way or sent. Raises StoreError."""
    values = {"next_at": now, "created_at": now, "tries": 0, "failed_at": None}
    return _change(store, outbox_id, now, sa.update(outbox).values(values), outbox.c.sent_at.is_(None))


def delete(store: Store, outbox_id: int, now: float) -> bool:
    """Delete a message. An entry that it would have released stays in quarantine. False as for retry(). Raises StoreError."""
    return _change(store, outbox_id, now, sa.delete(outbox))


def _change(
    store: Store, outbox_id: int, now: float, statement: sa.Update | sa.Delete, *conditions: sa.ColumnElement[bool]
) -> bool:
    free = sa.and_(outbox.c.id == outbox_id, sa.or_(outbox.c.next_at.is_(None), sa.not_(_under_way(now))), *conditions)
    with store.write() as connection:
        changed = connection.execute(statement.where(free)).rowcount == 1
        if changed and isinstance(statement, sa.Delete):
            connection.execute(sa.update(quarantine_entry).where(_unreleased_by(outbox_id)).values(outbox_id=None))
    return changed


def purge(store: Store, before: float, slice_size: int = SLICE) -> int:
    """Delete a slice of the names of messages sent before that time (seconds since the epoch). Call again while it returns any.
    Unsent messages are never deleted. Raises StoreError."""
    return store.delete_slice(outbox, outbox.c.sent_at < before, slice_size)


def counts(store: Store, now: float) -> dict[str, int]:
    """The numbers of messages that wait (due now or later) and that failed. Raises StoreError."""
    state = sa.case((outbox.c.failed_at.is_not(None), "failed"), else_="waiting")
    query = sa.select(state, sa.func.count()).where(outbox.c.sent_at.is_(None)).group_by(state)
    with store.read() as connection:
        return {row[0]: row[1] for row in connection.execute(query)}
