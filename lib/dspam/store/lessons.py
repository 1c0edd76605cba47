"""The log of lessons: which dictionary recently learned which message as what."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import sqlalchemy as sa

from dspam.schema import State, dspam_training, dspam_user
from dspam.store.database import Database
from dspam.store.tokens import name_of

_IN_FORCE = sa.and_(dspam_training.c.sign == 1, dspam_training.c.message.is_not(None))


class Lesson(NamedTuple):
    """A lesson that is in force.

    number     increases with each lesson
    user       the name of the dictionary that learned it, whose number is user_id
    message    tokens.name_of() what the message is recognised by
    taught_at  in seconds since the epoch
    undoable   whether its deltas are still stored
    """

    number: int
    user_id: int
    user: str
    message: str
    is_spam: bool
    taught_at: float
    undoable: bool


class Said(NamedTuple):
    """A verdict on a message, and its time in seconds since the epoch; `message` as in Lesson."""

    message: str
    is_spam: bool
    taught_at: float


def latest(database: Database, limit: int, *, before: int | None = None, user: str = "") -> list[Lesson]:
    """The latest first; those with lower numbers than `before` and of one user's dictionary, where these are given. Raises what
    the database raises."""
    table = dspam_training
    content = sa.case((table.c.content.is_(None), 0), else_=1)
    query = (
        sa.select(
            table.c.seq,
            table.c.user_id,
            dspam_user.c.name,
            table.c.message,
            table.c.is_spam,
            table.c.trained_at,
            content,
        )
        .join(dspam_user, dspam_user.c.id == table.c.user_id)
        .where(_IN_FORCE)
        .order_by(table.c.seq.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(table.c.seq < before)
    if user:
        # By the index of a user's lessons: all states are named.
        mine = sa.select(dspam_user.c.id).where(dspam_user.c.name == user).scalar_subquery()
        query = query.where(table.c.user_id == mine, table.c.state.in_([int(state) for state in State]))
    with database.read() as connection:
        rows = connection.execute(query).all()
    return [
        Lesson(seq, user_id, user, message, bool(is_spam), at, bool(undoable))
        for seq, user_id, user, message, is_spam, at, undoable in rows
    ]


def said_since(database: Database, since: float, limit: int) -> list[Said]:
    """The lessons of all dictionaries since that time (seconds since the epoch), the latest first, at most `limit`. Raises what
    the database raises."""
    table = dspam_training
    # By the index of states and ages: all states are named.
    recent = sa.and_(table.c.state.in_([int(state) for state in State]), table.c.trained_at >= since)
    query = sa.select(table.c.message, table.c.is_spam, table.c.trained_at).where(recent, _IN_FORCE)
    with database.read() as connection:
        rows = connection.execute(query.order_by(table.c.trained_at.desc()).limit(limit)).all()
    return [Said(message, bool(is_spam), at) for message, is_spam, at in rows]


def verdicts(database: Database, user_id: int, message_ids: Iterable[str]) -> dict[str, bool]:
    """Which of these messages (some hundreds at most) the user's dictionary was taught, and whether as spam. Raises what the
    database raises."""
    table = dspam_training
    names = {name_of(one): one for one in message_ids}
    mine = sa.and_(table.c.user_id == user_id, table.c.message.in_(list(names)))
    with database.read() as connection:
        rows = connection.execute(sa.select(table.c.message, table.c.is_spam).where(mine)).all() if names else []
    return {names[message]: bool(is_spam) for message, is_spam in rows}
