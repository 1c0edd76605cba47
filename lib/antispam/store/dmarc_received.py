"""DMARC aggregate reports that others sent about our domains (RFC 9990), kept for a year.

Reports come from strangers, so this module bounds the rows of a report, their numbers and their dates.
"""

from __future__ import annotations

import enum
import hashlib
from collections import Counter
from typing import Any, NamedTuple

import sqlalchemy as sa

from antispam.protocols.dmarc_reports import Received
from antispam.store.engine import SLICE, Store
from antispam.store.schema import dmarc_received
from antispam.text import from_wire

DAY = 86_400
KEPT = 365 * 86_400.0  # seconds since the report was stored
MOST_ROWS = 5_000  # per report; further rows are summed without their source
MOST_MESSAGES = 1_000_000_000  # per row
_BATCH = 500
_DISPOSITIONS = frozenset({"none", "pass", "quarantine", "reject"})


class By(enum.StrEnum):
    """The attribute by which messages are summed."""

    DOMAIN = "domain"
    SOURCE = "source"
    REPORTER = "reporter"


class Sum(NamedTuple):
    """The messages of one domain, source or reporter: all, those that passed DMARC, those that passed by each method,
    and those that were stopped.
    """

    name: str
    messages: int
    passed: int
    spf: int
    dkim: int
    stopped: int


class _Kind(NamedTuple):
    source: str
    header_from: str
    disposition: str
    dkim: int  # 1 where it passed
    spf: int


def put(store: Store, report: Received, now: float) -> bool:
    """Store a report. False if it is already stored. Raises StoreError."""
    digest = hashlib.sha256(repr((report.org_name, report.report_id, report.domain, report.begin)).encode()).hexdigest()
    common = {
        "report": digest, "stored_at": now, "day": _day(report, now), "reporter": from_wire(report.org_name, 255),
        "domain": from_wire(report.domain.lower(), 255),
    }  # fmt: skip
    rows = [
        common | kind._asdict() | {"number": number, "messages": min(count, MOST_MESSAGES)}
        for number, (kind, count) in enumerate(_kinds(report).most_common())
    ]
    first = sa.select(dmarc_received.c.id).where(dmarc_received.c.report == digest).limit(1)
    try:
        with store.write() as connection:
            if not rows or connection.scalar(first) is not None:
                return False
            for at in range(0, len(rows), _BATCH):
                connection.execute(sa.insert(dmarc_received), rows[at : at + _BATCH])
    except sa.exc.IntegrityError:  # another process stored it at the same time
        return False
    return True


def _kinds(report: Received) -> Counter[_Kind]:
    kinds: Counter[_Kind] = Counter()
    for one in report.sources:
        disposition = one.disposition if one.disposition in _DISPOSITIONS else "none"
        name, passed = from_wire(one.header_from.lower(), 255), (int(one.dkim == "pass"), int(one.spf == "pass"))
        kind = _Kind(from_wire(one.ip, 64), name, disposition, *passed)
        if kind not in kinds and len(kinds) >= MOST_ROWS:
            kind = kind._replace(source="", header_from="")
        kinds[kind] += max(0, one.count)
    return kinds


def _day(report: Received, now: float) -> int:
    """The day of the report (since the epoch); the day of its arrival if the report names an impossible one."""
    today = int(now) // DAY
    day = report.begin // DAY
    return day if today - KEPT / DAY <= day <= today else today


def sums(store: Store, by: By, since: int, limit: int, domain: str = "") -> list[Sum]:
    """The sums by name for the days from `since` on, those with most failures first. Raises StoreError."""
    table = dmarc_received
    name = {By.DOMAIN: table.c.domain, By.SOURCE: table.c.source, By.REPORTER: table.c.reporter}[by]
    passed = sa.or_(table.c.spf == 1, table.c.dkim == 1)
    stopped = table.c.disposition.in_(("quarantine", "reject"))
    total, good = sa.func.sum(table.c.messages), _sum(passed)
    query = sa.select(name, total, good, _sum(table.c.spf == 1), _sum(table.c.dkim == 1), _sum(stopped))
    query = query.where(*_within(since, domain)).group_by(name).order_by((total - good).desc(), total.desc(), name)
    with store.read() as connection:
        return [Sum(row[0], *map(int, row[1:])) for row in connection.execute(query.limit(limit))]


def days(store: Store, since: int, domain: str = "") -> dict[int, tuple[int, int]]:
    """The numbers of messages that passed and failed, by day (since the epoch, in UTC). Raises StoreError."""
    table = dmarc_received
    passed = sa.or_(table.c.spf == 1, table.c.dkim == 1)
    query = sa.select(table.c.day, _sum(passed), _sum(~passed)).where(*_within(since, domain)).group_by(table.c.day)
    with store.read() as connection:
        return {row[0]: (int(row[1]), int(row[2])) for row in connection.execute(query)}


def _sum(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[Any]:
    return sa.func.sum(sa.case((condition, dmarc_received.c.messages), else_=0))


def _within(since: int, domain: str) -> list[sa.ColumnElement[bool]]:
    found = [dmarc_received.c.day >= since]
    return [*found, dmarc_received.c.domain == domain] if domain else found


def purge(store: Store, before: float, slice_size: int = SLICE) -> int:
    """Delete a slice of the reports stored before that time. Call again while it returns any. Raises StoreError."""
    return store.delete_slice(dmarc_received, dmarc_received.c.stored_at < before, slice_size)
