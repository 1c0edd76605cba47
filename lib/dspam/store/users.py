"""The users of the filter: a number for each name. A group, or a shared dictionary, is also a user."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa

from dspam.schema import State, dspam_page, dspam_signature, dspam_training, dspam_user
from dspam.store.database import Database
from dspam.store.records import TOTALS, Totals

_LONGEST = 255  # characters


def user_id(database: Database, name: str, now: float | None = None) -> int:
    """The user's number. The user is created if there is none of this name, exactly once even with concurrent callers.

    Raises ValueError for a name that is empty, longer than 255 characters or that no database can keep.
    """
    found = find_user(database, name)
    if found is not None:
        return found
    values = {
        "name": name,
        "created_at": time.time() if now is None else now,
        "generation": 0,
        "purges": 0,
        "tokens": 0,
    }
    with database.write() as connection:
        connection.execute(database.upsert(dspam_user, values | dict.fromkeys(TOTALS, 0), key=("name",), update=None))
        return int(connection.scalars(sa.select(dspam_user.c.id).where(dspam_user.c.name == name)).one())


def find_user(database: Database, name: str) -> int | None:
    """The user's number, or None. Raises ValueError as user_id() does."""
    _check(name)
    with database.read() as connection:
        return connection.scalar(sa.select(dspam_user.c.id).where(dspam_user.c.name == name))


def user_names(database: Database) -> list[str]:
    """All names, sorted."""
    with database.read() as connection:
        return sorted(connection.scalars(sa.select(dspam_user.c.name)))


class Learned(NamedTuple):
    """What a user's dictionary has learned: messages of both kinds, and tokens, not counting those still in the log."""

    user: str
    spam: int
    ham: int
    tokens: int


def learned(database: Database, limit: int, after: str = "") -> list[Learned]:
    """By name, at most `limit`, from the first name after `after` on. Raises what the database raises."""
    table, log = dspam_user, dspam_training
    with database.read() as connection:
        users = connection.execute(
            sa.select(table).where(table.c.name > after).order_by(table.c.name).limit(limit)
        ).all()
        pending = sa.and_(
            log.c.state.in_((State.PENDING, State.FOLDING)), log.c.user_id.in_([user.id for user in users])
        )
        query = sa.select(log.c.user_id, log.c.is_spam, sa.func.sum(log.c.sign)).where(pending)
        added = {
            (user, bool(is_spam)): int(number)
            for user, is_spam, number in connection.execute(query.group_by(log.c.user_id, log.c.is_spam))
        }
    return [
        Learned(
            user.name,
            user.spam_learned + added.get((user.id, True), 0),
            user.ham_learned + added.get((user.id, False), 0),
            user.tokens,
        )
        for user in users
    ]


def count(database: Database, user: int, totals: Totals) -> None:
    """Add to the user's totals what no training does: messages classified. Best called once for many."""
    changes = {name: dspam_user.c[name] + value for name, value in zip(TOTALS, totals.values(), strict=True) if value}
    if changes:
        with database.write() as connection:
            connection.execute(sa.update(dspam_user).where(dspam_user.c.id == user).values(changes))


def delete_user(database: Database, user: int, slice_size: int = 500) -> None:
    """Delete the user and everything that was learned, in transactions of `slice_size` rows. It may be interrupted and called
    again."""
    slices: Sequence[tuple[sa.Table, sa.Column[int] | sa.Column[str]]] = (
        (dspam_training, dspam_training.c.seq),
        (dspam_page, dspam_page.c.start),
        (dspam_signature, dspam_signature.c.signature),
    )
    for table, key in slices:
        mine = table.c.user_id == user
        while True:
            with database.write() as connection:
                keys = connection.scalars(sa.select(key).where(mine).limit(slice_size)).all()
                if not keys:
                    break
                connection.execute(sa.delete(table).where(mine, key.in_(keys)))
                # Workers that remember what is gone have to read anew.
                connection.execute(
                    sa.update(dspam_user)
                    .where(dspam_user.c.id == user)
                    .values(generation=dspam_user.c.generation + 1, purges=dspam_user.c.purges + 1, tokens=0)
                )
    with database.write() as connection:
        connection.execute(sa.delete(dspam_user).where(dspam_user.c.id == user))


def _check(name: str) -> None:
    if not name or len(name) > _LONGEST or "\0" in name or not name.isprintable():
        raise ValueError(f"{name[:_LONGEST]!a} can't be the name of a user")
