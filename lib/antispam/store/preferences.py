"""The preferences of users, groups and the site that differ from the configuration."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from antispam.store.engine import SLICE, Store
from antispam.store.schema import preference, preference_group


class Scope(enum.StrEnum):
    """The scope of a preference. A later one overrides an earlier one."""

    SITE = "site"
    GROUP = "group"
    USER = "user"


class Preference(NamedTuple):
    """One preference. `owner` is the group or the user, "" for the site."""

    scope: Scope
    owner: str
    name: str
    value: str


def of_user(store: Store, user: str | None, deadline: Any = None) -> list[Preference]:
    """The preferences for a user (None: a person who is not a user of the filter), in overriding order. Raises
    StoreError.
    """
    table = preference.c
    group = sa.select(preference_group.c.group_name).where(preference_group.c.user_name == (user or ""))
    mine = sa.or_(
        table.scope == str(Scope.SITE),
        sa.and_(table.scope == str(Scope.GROUP), table.owner.in_(group)),
        sa.and_(table.scope == str(Scope.USER), table.owner == (user or "")),
    )
    with store.read(deadline) as connection:
        rows = connection.execute(sa.select(table.scope, table.owner, table.name, table.value).where(mine)).all()
    order = list(Scope)
    return sorted((Preference(Scope(row[0]), *row[1:]) for row in rows), key=lambda one: order.index(one.scope))


def of_users(store: Store, users: Sequence[str], deadline: Any = None) -> dict[str, list[Preference]]:
    """The preferences for many users, with a few queries. Raises StoreError."""
    table, member = preference.c, preference_group.c
    columns = (table.scope, table.owner, table.name, table.value)
    found: dict[str, list[Preference]] = {user: [] for user in users}
    with store.read(deadline) as connection:
        shared = connection.execute(sa.select(*columns).where(table.scope == str(Scope.SITE))).all()
        slices = [users[at : at + SLICE] for at in range(0, len(users), SLICE)]
        for some in slices:
            of_group = (
                sa.select(member.user_name, *columns)
                .join(preference, table.owner == member.group_name)
                .where(table.scope == str(Scope.GROUP), member.user_name.in_(some))
            )
            for user, *row in connection.execute(of_group):
                found[user].append(Preference(Scope(row[0]), *row[1:]))
        for some in slices:
            own = sa.select(*columns).where(table.scope == str(Scope.USER), table.owner.in_(some))
            for mine in connection.execute(own):
                found[mine.owner].append(Preference(Scope.USER, *mine[1:]))
    site = [Preference(Scope.SITE, *row[1:]) for row in shared]
    return {user: site + more for user, more in found.items()}


def everything(store: Store) -> list[Preference]:
    """All preferences, the site's first. Raises StoreError."""
    table = preference.c
    with store.read() as connection:
        rows = connection.execute(sa.select(table.scope, table.owner, table.name, table.value)).all()
    order = list(Scope)
    found = [Preference(Scope(row[0]), *row[1:]) for row in rows]
    return sorted(found, key=lambda one: (order.index(one.scope), one.owner, one.name))


def put(store: Store, one: Preference) -> None:
    """Set or replace a preference. Raises StoreError."""
    values = {"scope": str(one.scope), "owner": one.owner, "name": one.name, "value": one.value}
    with store.write() as connection:
        connection.execute(
            store.upsert(preference, values, key=("scope", "owner", "name"), update={"value": one.value})
        )


def remove(store: Store, scope: Scope, owner: str, name: str) -> bool:
    """Remove a preference, so that the broader scope applies again. False if it was not set. Raises StoreError."""
    table = preference.c
    mine = sa.and_(table.scope == str(scope), table.owner == owner, table.name == name)
    with store.write() as connection:
        return connection.execute(sa.delete(preference).where(mine)).rowcount > 0


def join(store: Store, user: str, group: str | None) -> None:
    """Move a user from their previous group into a group; None only removes them. Raises StoreError."""
    table = preference_group
    with store.write() as connection:
        if group is None:
            connection.execute(sa.delete(table).where(table.c.user_name == user))
        else:
            values = {"user_name": user, "group_name": group}
            connection.execute(store.upsert(table, values, key=("user_name",), update={"group_name": group}))


def groups(store: Store) -> dict[str, str]:
    """The group of each user who is in one. Raises StoreError."""
    table = preference_group.c
    with store.read() as connection:
        rows = connection.execute(sa.select(table.user_name, table.group_name)).all()
    return {row.user_name: row.group_name for row in rows}
