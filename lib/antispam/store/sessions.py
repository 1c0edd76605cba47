"""Sessions of the console, and one-time login links. Only a digest of each secret is stored."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import secrets

import sqlalchemy as sa

from antispam.store import login_failures
from antispam.store.accounts import Account, account_of
from antispam.store.console_schema import web_account, web_link, web_session
from antispam.store.engine import SLICE, Store

_NOTED = 60.0  # seconds between two updates of the time of last use


class How(enum.StrEnum):
    """The method of login."""

    PASSWORD = "password"
    LINK = "link"  # a link from an administrator
    SITE = "site"  # the site's IMAP server or directory accepted their password
    HEADER = "header"  # a proxy names the user with each request
    TOKEN = "token"  # a program sends it with each request


@dataclasses.dataclass(frozen=True, slots=True)
class Login:
    """A session: its account, the method of login, its beginning, and its last use; times in seconds since the epoch."""

    account: Account
    how: How
    begun_at: float
    seen_at: float


def begin(store: Store, name: str, how: How, now: float, lasts: float) -> str:
    """Begin a session of the account. Returns its secret. Raises StoreError."""
    secret = secrets.token_urlsafe(32)
    with store.write(durable=False) as connection:
        _begin(connection, name, how, secret, now, lasts)
    return secret


def _begin(connection: sa.Connection, name: str, how: How, secret: str, now: float, lasts: float) -> None:
    login_failures.forget(connection, name)
    values = {"digest": _digest(secret), "account": name, "how": str(how), "begun_at": now, "seen_at": now}
    connection.execute(sa.insert(web_session).values(**values, expires_at=now + lasts))


def find(store: Store, secret: str, now: float, idle: float) -> Login | None:
    """The session of a secret; None if there is none, it is over, or it was unused for `idle` seconds. Raises
    StoreError.
    """
    query = (
        sa.select(web_account, web_session.c.how, web_session.c.begun_at, web_session.c.seen_at)
        .join(web_session, web_session.c.account == web_account.c.name)
        .where(
            web_session.c.digest == _digest(secret),
            web_session.c.expires_at > now,
            web_session.c.seen_at > now - idle,
        )
    )
    with store.read() as connection:
        row = connection.execute(query).one_or_none()
    if row is None:
        return None
    if row.seen_at < now - _NOTED:
        with store.write(durable=False) as connection:
            mine = web_session.c.digest == _digest(secret)
            connection.execute(sa.update(web_session).where(mine).values(seen_at=now))
    return Login(account_of(row), How(row.how), row.begun_at, row.seen_at)


def end(store: Store, secret: str) -> None:
    """End the session. Raises StoreError."""
    with store.write(durable=False) as connection:
        connection.execute(sa.delete(web_session).where(web_session.c.digest == _digest(secret)))


def end_all(store: Store, name: str) -> int:
    """End all sessions of the account. Returns their number. Raises StoreError."""
    with store.write() as connection:
        return connection.execute(sa.delete(web_session).where(web_session.c.account == name)).rowcount


def count(store: Store, name: str, now: float) -> int:
    """The number of active sessions of the account. Raises StoreError."""
    query = sa.select(sa.func.count()).where(web_session.c.account == name, web_session.c.expires_at > now)
    with store.read() as connection:
        return int(connection.scalar(query) or 0)


# Links


def offer(store: Store, name: str, now: float, lasts: float) -> str:
    """Create a one-time login link for the account. Returns its secret. An older link of the account becomes invalid.
    Raises StoreError.
    """
    secret = secrets.token_urlsafe(32)
    with store.write() as connection:
        connection.execute(sa.delete(web_link).where(web_link.c.account == name))
        values = {"digest": _digest(secret), "account": name, "expires_at": now + lasts}
        connection.execute(sa.insert(web_link).values(values))
    return secret


def offered(store: Store, secret: str, now: float) -> str:
    """The name of the account of a link, without using it up; "" if the link is invalid. Raises StoreError."""
    with store.read() as connection:
        return str(connection.scalar(sa.select(web_link.c.account).where(_good(secret, now))) or "")


def redeem(store: Store, link: str, now: float, lasts: float) -> str:
    """Use up a link and begin a session. Returns the session's secret; "" if the link is used, expired or invalid.
    Raises StoreError.
    """
    secret = secrets.token_urlsafe(32)
    with store.write() as connection:
        name = connection.scalar(sa.select(web_link.c.account).where(_good(link, now)).with_for_update())
        if name is None or not connection.execute(sa.delete(web_link).where(_good(link, now))).rowcount:
            return ""
        _begin(connection, name, How.LINK, secret, now, lasts)
    return secret


def _good(secret: str, now: float) -> sa.ColumnElement[bool]:
    return sa.and_(web_link.c.digest == _digest(secret), web_link.c.expires_at > now)


def purge(store: Store, now: float, slice_size: int = SLICE) -> int:
    """Delete a slice of the expired sessions and links. Call again while it returns any. Raises StoreError."""
    done = store.delete_slice(web_session, web_session.c.expires_at < now, slice_size)
    return done + store.delete_slice(web_link, web_link.c.expires_at < now, slice_size)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
