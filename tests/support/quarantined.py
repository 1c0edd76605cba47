"""Messages in the quarantine, as the filter puts them there, and messages as the outbox leaves them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from antispam.mail.decisions import Decision
from antispam.mail.message import Body, Header, Message
from antispam.mail.verdicts import quarantine
from antispam.store import Store
from antispam.store.outbox import claim, delivered, given_up
from antispam.store.quarantine import NewEntry, insert
from antispam.store.schema import outbox, quarantine_entry, stored_message

DAY = 86_400.0
NOW = 20_000 * DAY


def keep(
    store: Store,
    ref: str,
    *users: str,
    at: float = NOW,
    subject: bytes = b"lunch",
    mail_from: str = "ann@example.org",
    body: bytes = b"Shall we?\r\n",
    check: str = "dspam",
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> None:
    """Keep a message from some users, whose addresses are user@example.com."""
    message = Message(ref, mail_from, at, Body(1 << 27))
    message.headers += [Header(b"Subject", b" " + subject), *(Header(*header) for header in headers)]
    message.body.write(body)
    decision = Decision(check, quarantine("probability 0.9900"))
    kept = [
        NewEntry(user, (user if "@" in user else f"{user}@example.com",), decision, 0.99) for user in users or ("bob",)
    ]
    with store.write() as connection:
        insert(connection, message, kept)


def mark_sent(store: Store, queued: int, now: float) -> None:
    """What the outbox does once the MTA has taken a message."""
    claimed = claim(store, now, 60.0, queued)
    assert claimed is not None
    assert delivered(store, claimed, claimed.recipients, now) == ()


def mark_failed(store: Store, queued: int, now: float, error: str = "550 no such user") -> None:
    """What it does with one that it gives up."""
    claimed = claim(store, now, 60.0, queued)
    assert claimed is not None
    assert given_up(store, claimed, error, now)


def queued_messages(store: Store) -> list[sa.Row[Any]]:
    with store.read() as connection:
        return list(connection.execute(sa.select(outbox).order_by(outbox.c.id)))


def entries(store: Store) -> list[tuple[str, str]]:
    """Reference and user of each."""
    with store.read() as connection:
        rows = connection.execute(sa.select(quarantine_entry.c.ref, quarantine_entry.c.user_name))
        return sorted(map(tuple, rows))


def contents(store: Store) -> list[str]:
    """The references of the stored messages."""
    with store.read() as connection:
        return sorted(connection.scalars(sa.select(stored_message.c.ref)))
