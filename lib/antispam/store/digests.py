"""Digests of quarantined mail: which users need one, and which of their links were used."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from antispam.store.console_schema import digest, used_link
from antispam.store.engine import SLICE, Store
from antispam.store.outbox import QueuedMessage, post
from antispam.store.quarantine import Entry, page
from antispam.store.schema import quarantine_entry

BLOCKED_BY_USER = "own_lists"  # the check that quarantines mail from senders blocked by the recipient
_USERS = 200  # per query


@dataclasses.dataclass(frozen=True, slots=True)
class News:
    """A user with quarantined mail received after `since`. Their last digest was sent at `sent_at` and covered mail up
    to `until`; None if there was none. Seconds since the epoch.
    """

    user: str
    until: float | None
    sent_at: float | None


def users_with_news(store: Store, since: float, before: float) -> Iterator[News]:
    """The users with quarantined mail received between the two times that no digest has listed. Each page is a separate
    transaction. Raises StoreError.
    """
    table, last = quarantine_entry, ""
    told = sa.func.coalesce(digest.c.until, since)
    query = (
        sa.select(table.c.user_name, digest.c.until, digest.c.sent_at)
        .outerjoin(digest, digest.c.user_name == table.c.user_name)
        .where(table.c.received_at > since, table.c.received_at > told, *_waiting(before))
        .group_by(table.c.user_name, digest.c.until, digest.c.sent_at)
        .order_by(table.c.user_name)
        .limit(_USERS)
    )
    while True:
        with store.read() as connection:
            rows = connection.execute(query.where(table.c.user_name > last)).all()
        yield from (News(row.user_name, row.until, row.sent_at) for row in rows)
        if len(rows) < _USERS:
            return
        last = rows[-1].user_name


def kept(store: Store, user: str, since: float, before: float, limit: int) -> tuple[list[Entry], int]:
    """The user's quarantined mail received between the two times: the newest entries, and the total number. Raises
    StoreError.
    """
    conditions = [quarantine_entry.c.user_name == user, quarantine_entry.c.received_at > since, *_waiting(before)]
    found = page(store, conditions, limit)
    with store.read() as connection:
        query = sa.select(sa.func.count()).select_from(quarantine_entry).where(*conditions)
        return found, int(connection.scalar(query) or 0)


def _waiting(before: float) -> Sequence[sa.ColumnElement[bool]]:
    """The conditions on entries that a digest lists: undecided, old enough that their transaction has ended, and not
    from senders whom the user has blocked.
    """
    table = quarantine_entry
    open_ = (table.c.released_at.is_(None), table.c.outbox_id.is_(None), table.c.check_name != BLOCKED_BY_USER)
    return (table.c.received_at <= before, *open_)


def told(store: Store, news: News, until: float, queued: QueuedMessage, now: float) -> bool:
    """Queue a digest and record the time up to which it reports, in one transaction. False if another process did so
    meanwhile. Raises StoreError.
    """
    values = {"user_name": news.user, "until": until, "sent_at": now}
    with store.write() as connection:
        if news.until is None:
            connection.execute(store.upsert(digest, values | {"until": -1.0}, key=("user_name",), update=None))
        mine = sa.update(digest).where(digest.c.user_name == news.user, digest.c.until == (news.until or -1.0))
        if connection.execute(mine.values(until=until, sent_at=now)).rowcount != 1:
            return False
        post(store, connection, queued, now)
    return True


# Links


def use(store: Store, token: str, expires_at: float) -> bool:
    """Mark a signed link as used. False if it already was. Raises StoreError."""
    try:
        with store.write() as connection:
            connection.execute(sa.insert(used_link).values(digest=_digest(token), expires_at=expires_at))
    except sa.exc.IntegrityError:
        return False
    return True


def unuse(store: Store, token: str) -> None:
    """Make a link valid again, after its action failed. Raises StoreError."""
    with store.write() as connection:
        connection.execute(sa.delete(used_link).where(used_link.c.digest == _digest(token)))


def is_used(store: Store, token: str) -> bool:
    """Whether a link was used. Raises StoreError."""
    with store.read() as connection:
        return connection.scalar(sa.select(used_link.c.digest).where(used_link.c.digest == _digest(token))) is not None


def purge(store: Store, now: float, slice_size: int = SLICE) -> int:
    """Delete a slice of the used links that have expired. Call again while it returns any. Raises StoreError."""
    return store.delete_slice(used_link, used_link.c.expires_at < now, slice_size)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
