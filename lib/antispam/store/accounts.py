"""The accounts and sessions of the console."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from antispam.store.engine import SLICE, Store
from antispam.store.schema import web_account, web_session

MAX_NAME = 255
_LONGEST_WAIT = 3600.0  # seconds


class Role(enum.StrEnum):
    """What an account may see and do."""

    USER = "user"  # the mail of its own mailboxes
    HELPDESK = "helpdesk"  # everybody's mail
    ADMINISTRATOR = "administrator"  # and how the filter is doing


class BadAccount(ValueError):
    """An account that can't be made; the text says why."""


@dataclasses.dataclass(frozen=True, slots=True)
class Account:
    """Somebody who may log in.

    password   its hash
    mailboxes  the users of the filter whose quarantine it sees
    failures   wrong passwords in a row; the last one at failed_at, in seconds since the epoch
    """

    name: str
    role: Role
    password: str
    mailboxes: tuple[str, ...]
    failures: int = 0
    failed_at: float = 0.0

    @property
    def sees_all(self) -> bool:
        return self.role is not Role.USER

    def waits(self, now: float, free: int) -> float:
        """Seconds until another password may be tried: after `free` wrong ones one, two, four ..."""
        if self.failures < free:
            return 0.0
        return max(0.0, self.failed_at + min(2.0 ** min(self.failures - free, 30), _LONGEST_WAIT) - now)


def add(store: Store, account: Account, now: float) -> None:
    """A new account. Raises BadAccount where the name is taken or can't be one, and StoreError."""
    if not account.name or len(account.name) > MAX_NAME or not account.name.isprintable():
        raise BadAccount(f"an account's name has 1 to {MAX_NAME} printable characters")
    values = {
        "name": account.name,
        "role": str(account.role),
        "password": account.password,
        "mailboxes": msgspec.json.encode(account.mailboxes).decode(),
        "created_at": now,
        "failures": 0,
        "failed_at": 0.0,
    }
    with store.write() as connection:
        if connection.scalar(sa.select(web_account.c.name).where(web_account.c.name == account.name)) is not None:
            raise BadAccount(f"there is an account {account.name} already")
        connection.execute(sa.insert(web_account).values(values))


def get(store: Store, name: str) -> Account | None:
    """The account of that name. Raises StoreError."""
    with store.read() as connection:
        row = connection.execute(sa.select(web_account).where(web_account.c.name == name[:MAX_NAME])).one_or_none()
    return None if row is None else _account(row)


def every(store: Store) -> list[Account]:
    """All accounts by name. Raises StoreError."""
    with store.read() as connection:
        return [_account(row) for row in connection.execute(sa.select(web_account).order_by(web_account.c.name))]


def set_password(store: Store, name: str, password: str) -> bool:
    """Another password (its hash); all sessions of the account end. False where there is no such account. Raises StoreError."""
    values = {"password": password, "failures": 0, "failed_at": 0.0}
    with store.write() as connection:
        done = connection.execute(sa.update(web_account).where(web_account.c.name == name).values(values)).rowcount
        connection.execute(sa.delete(web_session).where(web_session.c.account == name))
    return done == 1


def remove(store: Store, name: str) -> bool:
    """Delete the account and end its sessions. False where there is none of that name. Raises StoreError."""
    with store.write() as connection:
        connection.execute(sa.delete(web_session).where(web_session.c.account == name))
        return connection.execute(sa.delete(web_account).where(web_account.c.name == name)).rowcount == 1


def count_failure(store: Store, name: str, now: float) -> None:
    """A wrong password. Raises StoreError."""
    values = {"failures": web_account.c.failures + 1, "failed_at": now}
    with store.write(durable=False) as connection:
        connection.execute(sa.update(web_account).where(web_account.c.name == name).values(values))


def begin(store: Store, name: str, secret: str, now: float, lasts: float) -> None:
    """A session of the account, known by its secret, of which only a digest is kept. Raises StoreError."""
    session = {"digest": _digest(secret), "account": name, "expires_at": now + lasts}
    with store.write(durable=False) as connection:
        connection.execute(sa.update(web_account).where(web_account.c.name == name).values(failures=0))
        connection.execute(sa.insert(web_session).values(session))


def of_session(store: Store, secret: str, now: float) -> Account | None:
    """Whose session it is; None where there is none, or it is over. Raises StoreError."""
    query = (
        sa.select(web_account)
        .join(web_session, web_session.c.account == web_account.c.name)
        .where(web_session.c.digest == _digest(secret), web_session.c.expires_at > now)
    )
    with store.read() as connection:
        row = connection.execute(query).one_or_none()
    return None if row is None else _account(row)


def end(store: Store, secret: str) -> None:
    """End the session. Raises StoreError."""
    with store.write(durable=False) as connection:
        connection.execute(sa.delete(web_session).where(web_session.c.digest == _digest(secret)))


def purge(store: Store, now: float, slice_size: int = SLICE) -> int:
    """Forget a slice of the sessions that are over; call again while it returns any. Raises StoreError."""
    return store.delete_slice(web_session, web_session.c.expires_at < now, slice_size)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def _account(row: sa.Row[Any]) -> Account:
    mailboxes: Sequence[str] = msgspec.json.decode(row.mailboxes, type=list[str])
    return Account(row.name, Role(row.role), row.password, tuple(mailboxes), row.failures, row.failed_at)
