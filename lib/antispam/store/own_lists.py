"""The users' own lists: senders whom a user allows or blocks, for their own mail only."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import weakref
from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa

from antispam.deadline import Deadline
from antispam.net.addresses import is_hostname, parse_mailbox
from antispam.store import lists
from antispam.store.engine import SLICE, Store
from antispam.store.lists import REMEMBERED, BadName
from antispam.store.schema import own_list
from antispam.text import from_wire

__all__ = ["BadName", "Entry", "Full", "Kind", "anybody", "find", "forms", "of_user", "put", "remove"]

MOST = 1_000  # entries per user
_MAX_USER = 320


class Kind(enum.StrEnum):
    """What the user wants for the sender's mail."""

    ALLOW = "allow"
    BLOCK = "block"


class Full(ValueError):
    """The user has the maximum number of entries."""


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One entry: its user, its kind, an address or a domain in the form for comparison, and the time it was made
    (seconds since the epoch).
    """

    user: str
    name: str
    kind: Kind
    added_at: float


def put(store: Store, user: str, kind: Kind, name: str, now: float) -> str:
    """Let a user allow or block a sender. This replaces an opposite entry. Returns the name in the form for comparison.
    Raises BadName, Full and StoreError.
    """
    exact, table = lists.normalized(lists.Kind.WHITELIST, name), own_list
    values = {"user_name": _stored(user), "name": exact, "kind": kind.value, "added_at": now}
    mine = table.c.user_name == values["user_name"]
    with store.write() as connection:
        # In PostgreSQL and MariaDB two requests could count at once without seeing each other's entry; the second waits
        # here.
        connection.execute(sa.select(table.c.name).where(mine).order_by(table.c.name).with_for_update()).all()
        others = sa.select(sa.func.count()).where(mine, table.c.name != exact)
        if (connection.scalar(others) or 0) >= MOST:
            raise Full(f"a user has at most {MOST} allowed and blocked senders")
        changed = {"kind": kind.value, "added_at": now}
        connection.execute(store.upsert(table, values, key=("user_name", "name"), update=changed))
    _known.pop(store, None)
    return exact


def remove(store: Store, user: str, name: str) -> bool:
    """Remove a name from the user's lists. Returns whether it was there. Raises StoreError."""
    table = own_list
    mine = sa.and_(table.c.user_name == _stored(user), table.c.name == name)
    with store.write() as connection:
        return connection.execute(sa.delete(table).where(mine)).rowcount > 0


def of_user(store: Store, user: str) -> list[Entry]:
    """All entries of a user, in order of name. Raises StoreError."""
    query = sa.select(own_list).where(own_list.c.user_name == _stored(user)).order_by(own_list.c.name)
    with store.read() as connection:
        return [_entry(row) for row in connection.execute(query)]


# Built once: each message runs it.
_FIND = sa.select(own_list).where(
    own_list.c.user_name.in_(sa.bindparam("owners", expanding=True)),
    own_list.c.name.in_(sa.bindparam("names", expanding=True)),
)


def find(
    store: Store, users: Collection[str], names: Collection[str], now: float, deadline: Deadline | None = None
) -> list[Entry]:
    """The entries of these users with one of the names, which are forms() of senders. Raises StoreError."""
    found: list[Entry] = []
    if not names or not users or not anybody(store, now, deadline):
        return found
    wanted, owners = list(names), sorted(set(map(_stored, users)))
    with store.read(deadline) as connection:
        for at in range(0, len(owners), SLICE):
            theirs = connection.execute(_FIND, {"owners": owners[at : at + SLICE], "names": wanted})
            found += map(_entry, theirs)
    return found


def forms(address: str) -> tuple[str, ...]:
    """The names of entries that would cover this address, the most specific first: the address, its domain."""
    found: Sequence[str] = []
    with contextlib.suppress(BadName):
        found = [lists.normalized(lists.Kind.WHITELIST, address)] if "@" in address else []
    domain = parse_mailbox(address).domain if "@" in address else ""
    return (*found, *([domain] if "." in domain and is_hostname(domain) else []))


# Most sites have no such entries, and need no query for each message.
_known: weakref.WeakKeyDictionary[Store, tuple[float, bool]] = weakref.WeakKeyDictionary()


def anybody(store: Store, now: float, deadline: Deadline | None = None) -> bool:
    """Whether any user has an entry; cached for a few seconds. Raises StoreError."""
    until, known = _known.get(store, (0.0, False))
    if not until - REMEMBERED <= now < until:
        with store.read(deadline) as connection:
            known = connection.scalar(sa.select(own_list.c.name).limit(1)) is not None
        _known[store] = now + REMEMBERED, known
    return known


def _stored(user: str) -> str:
    return from_wire(user, _MAX_USER)


def _entry(row: Any) -> Entry:
    return Entry(row.user_name, row.name, Kind(row.kind), row.added_at)
