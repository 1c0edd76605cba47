"""The greylist statements on the mail path."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from antispam.store.prepared import Prepared, insert_of, upsert
from antispam.store.schema import greylist

_C = greylist.c
_RECORD = (_C.triplet, _C.first_seen, _C.last_seen, _C.passed_at, _C.attempts)
ADDED = "added"
"""Replaces the key in the row by which FIND_OR_ADD reports that it added the triplet."""


def _bind(name: str, column: sa.Column[Any]) -> sa.BindParameter[Any]:
    return sa.bindparam(name, type_=column.type)


_KEY, _CLIENT, _NOW = _bind("key", _C.triplet), _bind("client_key", _C.triplet), _bind("now", _C.last_seen)


def _find(_dialect: str) -> sa.Select[Any]:
    return sa.select(*_RECORD).where(_C.triplet.in_([_KEY, _CLIENT]))


def _add(dialect: str) -> sa.Insert:
    """Insert a row unless it exists."""
    if dialect in ("mysql", "mariadb"):
        return mysql.insert(greylist).prefix_with("IGNORE")  # unlike an upsert, it reports the number of new rows
    statement: sa.Insert = insert_of(dialect)(greylist).on_conflict_do_nothing(index_elements=["triplet"])
    return statement


def _find_or_add(dialect: str) -> sa.Select[Any]:
    """Find and add in one statement, where the database allows it. The row is added if there is none for the triplet or
    for a known client.
    """
    before = _find(dialect).cte("before")
    known = sa.and_(
        before.c.triplet == _CLIENT,
        before.c.attempts >= _bind("returns", _C.attempts),
        _NOW - before.c.last_seen <= _bind("retain", _C.last_seen),
    )
    passed = sa.cast(_bind("passed", _C.passed_at), _C.passed_at.type)  # a bare NULL would be text to PostgreSQL
    texts = _bind("client_name", _C.client), _bind("sender", _C.mail_from), _bind("rcpt", _C.recipient)
    new = sa.select(_KEY, *texts, _NOW, _NOW, passed, sa.literal_column("1")).where(
        ~sa.exists().where(sa.or_(before.c.triplet == _KEY, known))
    )
    added = _add(dialect).from_select(list(_C.keys()), new).returning(*_RECORD[1:]).cte("added")
    return sa.union_all(sa.select(before), sa.select(sa.literal_column(f"'{ADDED}'"), added))  # type: ignore[return-value]


def _advance(_dialect: str) -> sa.Update:
    """Update a record that has not changed since it was found."""
    return (
        sa.update(greylist)
        .where(
            _C.triplet == _KEY,
            _C.last_seen == _bind("seen_before", _C.last_seen),
            _C.attempts == _bind("attempts_before", _C.attempts),
            _C.passed_at.is_not_distinct_from(_bind("passed_before", _C.passed_at)),
        )
        .values(
            first_seen=_bind("first", _C.first_seen),
            last_seen=_NOW,
            passed_at=_bind("passed", _C.passed_at),
            attempts=_bind("count", _C.attempts),
        )
    )


def _count_return(dialect: str) -> sa.Insert:
    """Count a return of a client. `forgotten` is the earliest last use at which it is still remembered; `counted` is
    the latest last count after which it is counted again.
    """
    due = sa.or_(_C.passed_at <= _bind("counted", _C.passed_at), _C.passed_at > _NOW)
    again = sa.case((due, _C.attempts + 1), else_=_C.attempts)
    attempts = sa.case((_C.last_seen < _bind("forgotten", _C.last_seen), 1), else_=again)
    # MariaDB assigns from left to right, so columns that are compared come last.
    update = {"attempts": attempts, "passed_at": sa.case((due, _NOW), else_=_C.passed_at), "last_seen": _NOW}
    return upsert(dialect, greylist, None, ("triplet",), update)


def _vouch(dialect: str) -> sa.Insert:
    """Make a client known, however often it has retried: its count becomes `returns`."""
    enough = _bind("returns", _C.attempts)
    attempts = sa.case((_C.attempts < enough, enough), else_=_C.attempts)
    update = {"attempts": attempts, "passed_at": _NOW, "last_seen": _NOW}
    return upsert(dialect, greylist, None, ("triplet",), update)


FIND = Prepared(_find)
ADD = Prepared(_add)
FIND_OR_ADD = Prepared(_find_or_add)
ADVANCE = Prepared(_advance)
REFRESH = Prepared(lambda _: sa.update(greylist).where(_C.triplet == _KEY).values(last_seen=_NOW))
COUNT_RETURN = Prepared(_count_return)
VOUCH = Prepared(_vouch)
