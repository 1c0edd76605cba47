"""Fingerprints of reported spam: keyed marks (protocols/fingerprints.py), and marks that are too common to be evidence.
No text is stored.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection, Sequence

import sqlalchemy as sa

from antispam.deadline import Deadline
from antispam.protocols.fingerprints import HAM, LINKS, REPORTED, Kind, Marks, Stored
from antispam.store.engine import SLICE, Store
from antispam.store.schema import fingerprint, fingerprint_common, fingerprint_report

TAUGHT = 1000
"""The weight in fingerprint_common of ham that somebody taught: one such message makes a mark common."""
COMMON_KEPT = 180 * 86400.0  # seconds
_PER_MARK = 8  # reports that contain the same mark, in all and by one reporter
_PER_REPORTER = 2
_MOST_FOUND = 5000  # rows per look-up
_SAME = 0.8  # share of a text that must match for its reporter to withdraw it

# Built once: every message runs them, and building a condition with 300 numbers takes longer than the query.
_MARKS: sa.BindParameter[list[int]] = sa.bindparam("marks", expanding=True)
_MATCHING = (
    sa.select(
        fingerprint.c.mark,
        fingerprint.c.kind,
        fingerprint.c.report_id,
        fingerprint_report.c.reporter,
        fingerprint_report.c.trusted,
        fingerprint_report.c.texts,
        fingerprint_report.c.ceiling,
    )
    .join_from(fingerprint, fingerprint_report, fingerprint.c.report_id == fingerprint_report.c.id)
    .where(fingerprint.c.mark.in_(_MARKS), fingerprint_report.c.expires_at > sa.bindparam("now"))
    .limit(_MOST_FOUND)
)
_COMMON = (
    sa.select(fingerprint_common.c.mark)
    .where(fingerprint_common.c.mark.in_(_MARKS))
    .group_by(fingerprint_common.c.mark)
    .having(sa.func.sum(fingerprint_common.c.weight) >= sa.bindparam("enough"))
)


def report(
    store: Store,
    marks: Marks,
    message: int,
    reporter: int,
    now: float,
    keep: float,
    *,
    common: int,
    trusted: bool = False,
    deadline: Deadline | None = None,
) -> bool:
    """Record that this reporter calls the message spam. False if they did before. Common marks, and marks that many
    reports already contain, are left out. Raises StoreError.

    message, reporter  their marks
    keep    seconds
    common  the number of witnesses that makes a mark common
    """
    marks = marks.sample(REPORTED)
    with store.write(deadline, durable=False) as connection:
        number = _new_report(store, connection, marks, message, reporter, now + keep, trusted)
        if number is None:
            return False
        useless = _common(connection, marks.all, common) | _crowded(connection, marks.all, reporter)
        by_kind = ((Kind.TEXT, marks.texts), (Kind.LINK, marks.links), (Kind.FILE, marks.files))
        rows = [
            {"mark": mark, "kind": int(kind), "report_id": number, "expires_at": now + keep}
            for kind, ones in by_kind
            for mark in ones
            if mark not in useless
        ]
        if rows:
            connection.execute(sa.insert(fingerprint), rows)
        texts = sum(row["kind"] == Kind.TEXT for row in rows)
        update = sa.update(fingerprint_report).where(fingerprint_report.c.id == number)
        connection.execute(update.values(texts=texts))
    return True


def _new_report(
    store: Store, connection: sa.Connection, marks: Marks, message: int, reporter: int, expires: float, trusted: bool
) -> int | None:
    """The number of a new report; None if it was made before."""
    table = fingerprint_report
    values = {
        "message": message,
        "reporter": reporter,
        "trusted": trusted,
        "texts": -1,
        "ceiling": marks.ceiling,
        "expires_at": expires,
    }
    connection.execute(store.upsert(table, values, key=("message", "reporter"), update=None))
    known = sa.select(table.c.id, table.c.texts).where(table.c.message == message, table.c.reporter == reporter)
    row = connection.execute(known).one()
    return int(row.id) if row.texts < 0 else None


def _common(connection: sa.Connection, marks: Sequence[int], enough: int) -> set[int]:
    """The marks that at least that many witnesses had."""
    return set(connection.scalars(_COMMON, {"marks": marks, "enough": enough}))


def _crowded(connection: sa.Connection, marks: Sequence[int], reporter: int) -> set[int]:
    """The marks contained in so many reports that another adds nothing; a message would have to read them all."""
    joined = sa.join(fingerprint, fingerprint_report, fingerprint.c.report_id == fingerprint_report.c.id)
    query = sa.select(fingerprint.c.mark, fingerprint_report.c.reporter).select_from(joined)
    rows = connection.execute(query.where(fingerprint.c.mark.in_(marks)).limit(_MOST_FOUND)).all()
    held = Counter(row.mark for row in rows)
    mine = Counter(row.mark for row in rows if row.reporter == reporter)
    return {mark for mark in held if held[mark] >= _PER_MARK or mine[mark] >= _PER_REPORTER}


def matching(
    store: Store, marks: Collection[int], now: float, common: int, deadline: Deadline | None = None
) -> list[Stored]:
    """The given marks that occur in reports in force, without those that became common. Raises StoreError."""
    if not marks:
        return []
    with store.read(deadline) as connection:
        rows = connection.execute(_MATCHING, {"marks": list(marks), "now": now}).all()
        useless = _common(connection, list({row.mark for row in rows}), common) if rows else set()
    return [Stored(row[0], Kind(row[1]), *row[2:]) for row in rows if row.mark not in useless]


def take_back(
    store: Store, message: int, reporter: int, reports: Collection[int] = (), deadline: Deadline | None = None
) -> int:
    """Delete this reporter's report of the message, and their reports with these numbers. Returns how many there were.
    Raises StoreError.
    """
    table = fingerprint_report
    same = sa.select(table.c.id).where(table.c.message == message, table.c.reporter == reporter)
    theirs = sa.select(table.c.id).where(table.c.id.in_(list(reports)), table.c.reporter == reporter)
    with store.read(deadline) as connection:
        found = {*connection.scalars(same), *(connection.scalars(theirs) if reports else ())}
    if found:
        with store.write(deadline, durable=False) as connection:
            connection.execute(sa.delete(fingerprint).where(fingerprint.c.report_id.in_(found)))
            connection.execute(sa.delete(table).where(table.c.id.in_(found)))
    return len(found)


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    """The amount of known reported spam: reports, those among them by administrators (`trusted`), the messages
    reported, the reporters, and the marks.
    """

    reports: int
    trusted: int
    messages: int
    reporters: int
    marks: int


def known(store: Store, now: float) -> Known:
    """The amounts in force at that time. Raises StoreError."""
    table = fingerprint_report
    trusted = sa.func.coalesce(sa.func.sum(sa.case((table.c.trusted, 1), else_=0)), 0)
    distinct = (sa.func.count(table.c[name].distinct()) for name in ("message", "reporter"))
    reports = sa.select(sa.func.count(), trusted, *distinct).where(table.c.expires_at > now)
    marks = sa.select(sa.func.count()).where(fingerprint.c.expires_at > now)
    with store.read() as connection:
        made, by_administrators, messages, reporters = connection.execute(reports).one()
        return Known(made, int(by_administrators), messages, reporters, connection.scalar(marks) or 0)


def witness(
    store: Store, marks: Sequence[int], who: int, weight: int, now: float, deadline: Deadline | None = None
) -> None:
    """Record that honest mail has these marks.

    who     the mark of its sender, or of the message if somebody taught it; each counts once
    weight  1, or TAUGHT
    Raises StoreError.
    """
    if not marks:
        return
    values = {"mark": sa.bindparam("one"), "witness": who, "weight": weight, "seen_at": now}
    # An existing row is kept: PyMySQL cannot pass values for many rows to the second half of such a statement.
    statement = store.upsert(fingerprint_common, values, key=("mark", "witness"), update=None)
    with store.write(deadline, durable=False) as connection:
        # All nodes use the same order; otherwise two that write the same marks would deadlock.
        connection.execute(statement, [{"one": mark} for mark in sorted(set(marks))])


def without(store: Store, who: int, deadline: Deadline | None = None) -> None:
    """Delete everything recorded for that witness. Raises StoreError."""
    said = fingerprint_common.c.witness == who
    with store.read(deadline) as connection:
        if connection.execute(sa.select(fingerprint_common.c.id).where(said).limit(1)).first() is None:
            return
    with store.write(deadline, durable=False) as connection:
        connection.execute(sa.delete(fingerprint_common).where(said))


def of_ham(marks: Marks) -> tuple[int, ...]:
    """The marks of honest mail that are worth storing."""
    return (*marks.texts[:HAM], *marks.links[:LINKS], *marks.files)


def same_text(stored: float) -> bool:
    """Whether a text that shares this much with another counts as the same when a report is withdrawn."""
    return stored >= _SAME


def purge(store: Store, now: float, slice_size: int = SLICE) -> int:
    """Delete a slice of the expired rows. Call again while it returns any. Raises StoreError."""
    return (
        store.delete_slice(fingerprint, fingerprint.c.expires_at <= now, slice_size)
        or store.delete_slice(fingerprint_report, fingerprint_report.c.expires_at <= now, slice_size)
        or store.delete_slice(fingerprint_common, fingerprint_common.c.seen_at <= now - COMMON_KEPT, slice_size)
    )
