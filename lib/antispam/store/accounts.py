"""The accounts of the console. Their sessions are in sessions.py."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from antispam.store import login_failures
from antispam.store.console_schema import web_account, web_link, web_session
from antispam.store.engine import Store
from antispam.store.quarantine import BadName, checked_user

MAX_NAME = 255


class Role(enum.StrEnum):
    """What an account may see and do."""

    USER = "user"  # the mail of its own mailboxes
    HELPDESK = "helpdesk"  # everybody's mail
    ADMINISTRATOR = "administrator"  # also the state of the filter


class Login(enum.StrEnum):
    """Where the password of an account is checked."""

    OWN = "own"  # its hash is stored here
    SITE = "site"  # the site's IMAP server or directory, or a proxy


class BadAccount(ValueError):
    """The account cannot be created; the text says why."""


@dataclasses.dataclass(frozen=True, slots=True)
class Account:
    """An account of a person who may log in.

    password   its hash; "" while no password is set and a link is the only way in
    mailboxes  the users of the filter whose quarantine it sees; empty for an account of the site, which sees that of
               its name
    """

    name: str
    role: Role
    password: str
    mailboxes: tuple[str, ...]
    login: Login = Login.OWN

    @property
    def sees_all(self) -> bool:
        return self.role is not Role.USER

    @property
    def acts_for_all(self) -> bool:
        """Whether the account may change what concerns everybody: lists, the outbox, the dictionaries."""
        return self.role is Role.ADMINISTRATOR


def add(store: Store, account: Account, now: float) -> None:
    """Create an account. Raises BadAccount if the name is taken or invalid, and StoreError."""
    if not account.name or len(account.name) > MAX_NAME or not account.name.isprintable():
        raise BadAccount(f"an account's name has 1 to {MAX_NAME} printable characters")
    try:
        for mailbox in account.mailboxes:
            checked_user(mailbox)  # "" would mean everybody's
    except BadName as error:
        raise BadAccount(str(error)) from error
    values = {
        "name": account.name,
        "role": str(account.role),
        "password": account.password,
        "mailboxes": msgspec.json.encode(account.mailboxes).decode(),
        "created_at": now,
        "login": str(account.login),
    }
    with store.write() as connection:
        if connection.scalar(sa.select(web_account.c.name).where(web_account.c.name == account.name)) is not None:
            raise BadAccount(f"there is an account {account.name} already")
        connection.execute(sa.insert(web_account).values(values))


def get(store: Store, name: str) -> Account | None:
    """The account of that name. Raises StoreError."""
    with store.read() as connection:
        row = connection.execute(sa.select(web_account).where(web_account.c.name == name[:MAX_NAME])).one_or_none()
    return None if row is None else account_of(row)


def every(store: Store) -> list[Account]:
    """All accounts in order of name. Raises StoreError."""
    with store.read() as connection:
        return [account_of(row) for row in connection.execute(sa.select(web_account).order_by(web_account.c.name))]


def set_password(store: Store, name: str, password: str) -> bool:
    """Change the password (given as its hash) and end all sessions and links of the account. False if there is no such
    account. Raises StoreError.
    """
    with store.write() as connection:
        mine = sa.update(web_account).where(web_account.c.name == name)
        done = connection.execute(mine.values(password=password)).rowcount
        _end_all(connection, name)
        login_failures.forget(connection, name)
    return done == 1


def remove(store: Store, name: str) -> bool:
    """Delete the account and end its sessions. False if no account has that name. Raises StoreError."""
    with store.write() as connection:
        _end_all(connection, name)
        return connection.execute(sa.delete(web_account).where(web_account.c.name == name)).rowcount == 1


def _end_all(connection: sa.Connection, name: str) -> None:
    for table in (web_session, web_link):
        connection.execute(sa.delete(table).where(table.c.account == name))


def account_of(row: sa.Row[Any]) -> Account:
    """The account in a row of web_account."""
    mailboxes: Sequence[str] = msgspec.json.decode(row.mailboxes, type=list[str])
    return Account(row.name, Role(row.role), row.password, tuple(mailboxes), Login(row.login))
