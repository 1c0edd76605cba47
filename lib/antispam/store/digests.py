"""Who is to be told what is kept from them, and which links of what they were told are used up."""

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

BLOCKED_BY_USER = "own_lists"  # the check that keeps mail of senders whom its recipient has blocked
_USERS = 200  # of one question


@dataclasses.dataclass(frozen=True, slots=True)
class News:
    """A user from whom something is kept that came after `since`; they were told last at `sent_at` what came before `until`,
    None if they never were. Seconds since the epoch."""

    user: str
    until: float | None
    sent_at: float | None


def users_with_news(store: Store, since: float, before: float) -> Iterator[News]:
    """The users from whom something is kept that came between the two, and that they were not told of. Each page is a
    transaction of its own. Raises StoreError."""
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
    """What is kept from the user and came between the two: the newest, and how many there are. Raises StoreError."""
    conditions = [quarantine_entry.c.user_name == user, quarantine_entry.c.received_at > since, *_waiting(before)]
    found = page(store, conditions, limit)
    with store.read() as connection:
        query = sa.select(sa.func.count()).select_from(quarantine_entry).where(*conditions)
        return found, int(connection.scalar(query) or 0)


def _waiting(before: float) -> Sequence[sa.ColumnElement[bool]]:
    """For the user to decide, and no message whose transaction may still be under way; none of whom they have blocked."""
    table = quarantine_entry
    open_ = (table.c.released_at.is_(None), table.c.outbox_id.is_(None), table.c.check_name != BLOCKED_BY_USER)
    return (table.c.received_at <= before, *open_)


def told(store: Store, news: News, until: float, queued: QueuedMessage, now: float) -> bool:
    """Post a digest and note until when it tells, in one transaction; False if another process did so meanwhile. Raises
    StoreError."""
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
    """Use up a signed link; False if it was used. Raises StoreError."""
    try:
        with store.write() as connection:
            connection.execute(sa.insert(used_link).values(digest=_digest(token), expires_at=expires_at))
    except sa.exc.IntegrityError:
        return False
    return True


def unuse(store: Store, token: str) -> None:
    """Let a link work again: what it was to do failed. Raises StoreError."""
    with store.write() as connection:
        connection.execute(sa.delete(used_link).where(used_link.c.digest == _digest(token)))


def is_used(store: Store, token: str) -> bool:
    """Whether a link was used. Raises StoreError."""
    with store.read() as connection:
        return connection.scalar(sa.select(used_link.c.digest).where(used_link.c.digest == _digest(token))) is not None


def purge(store: Store, now: float, slice_size: int = SLICE) -> int:
    """Forget a slice of the used links that have ended; call again while it returns any. Raises StoreError."""
    return store.delete_slice(used_link, used_link.c.expires_at < now, slice_size)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
