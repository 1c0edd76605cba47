"""Counts of history rows: messages, their dispositions and reasons, and the senders stopped most often.

The history may have millions of rows, whose content senders chose. So it is read page by page, huge rows singly, and
only the most frequent names are kept.
"""

from __future__ import annotations

import bisect
import dataclasses
import datetime
import enum
import ipaddress
import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa

from antispam.net.addresses import parse_ip, parse_mailbox
from antispam.store.engine import Store
from antispam.store.schema import history

PAGE = 500  # rows per query
LARGEST = 1 << 12  # stored characters of a field in such a page; a longer row is read singly
REMEMBERED = 20_000  # different names of each kind


class Disposition(enum.StrEnum):
    """The disposition of a message."""

    DELIVERED = "delivered"
    REJECTED = "rejected"
    DEFERRED = "deferred"  # the client was asked to retry: greylisting or an error
    QUARANTINED = "quarantined"  # in the quarantine, for all its recipients
    HELD = "held"  # in the MTA's queue
    DISCARDED = "discarded"
    REPORTED = "reported"  # a user's report of spam or ham, which trained the filter and is not delivered
    UNFINISHED = "unfinished"  # the client disconnected before the end, or no recipient was left


_DISPOSITIONS = {
    "reject": Disposition.REJECTED,
    "tempfail": Disposition.DEFERRED,
    "quarantine": Disposition.QUARANTINED,
    "hold": Disposition.HELD,
    "discard": Disposition.DISCARDED,
}
_STOPPED = frozenset({Disposition.REJECTED, Disposition.QUARANTINED, Disposition.DISCARDED})


@dataclasses.dataclass(slots=True)
class Day:
    """One day, from midnight to midnight in the program's time zone.

    dispositions  messages by disposition
    recipients    recipients refused singly and permanently, such as unknown users
    tagged        delivered, but classified as spam for at least one recipient
    parted        delivered to some recipients and not to others
    spam, ham     messages learned
    """

    begins: float
    dispositions: Counter[Disposition] = dataclasses.field(default_factory=Counter)
    recipients: int = 0
    tagged: int = 0
    parted: int = 0
    spam: int = 0
    ham: int = 0

    @property
    def messages(self) -> int:
        return self.dispositions.total()


@dataclasses.dataclass(slots=True)
class Offender:
    """A name whose messages were stopped (refused, kept or dropped), with their number and the reason for the last.
    Times are in seconds since the epoch. `called` is the client's host name if the name is an address; `ref` is the
    last message.
    """

    name: str
    stopped: int = 0
    last_at: float = 0.0
    reason: str = ""
    called: str = ""
    ref: str = ""


class Offenders:
    """The names whose messages were stopped most often. If there are too many names, the rarest are dropped and
    `complete` is False: a count may then be too low.
    """

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self.complete = True
        self._remembered = remembered
        self._by_name: dict[str, Offender] = {}

    def count(self, name: str, at: float, reason: str, called: str = "", *, ref: str = "", number: int = 1) -> None:
        one = self._by_name.get(name)
        if one is None:
            if len(self._by_name) >= 2 * self._remembered:
                self._by_name = {kept.name: kept for kept in self.top(self._remembered)}
                self.complete = False
            one = self._by_name[name] = Offender(name)
        one.stopped += number
        if at >= one.last_at:
            one.last_at, one.reason, one.called, one.ref = at, reason, called, ref

    def top(self, number: int) -> list[Offender]:
        """The worst offenders, worst first."""
        return sorted(self._by_name.values(), key=lambda one: (-one.stopped, -one.last_at, one.name))[:number]


@dataclasses.dataclass(slots=True)
class Report:
    """A report: the days in order, and the totals.

    why         messages that were not delivered, by disposition and the check that decided
    recipients  recipients refused singly and permanently, by check
    would       messages that checks in mode log would have stopped
    scores      recipients by the score of their message, rounded down
    clients     offenders by address; for IPv6 by /64
    domains     by the domain of MAIL FROM; <> is the null sender
    helos       by HELO name
    """

    days: list[Day]
    why: Counter[tuple[Disposition, str]] = dataclasses.field(default_factory=Counter)
    recipients: Counter[str] = dataclasses.field(default_factory=Counter)
    would: Counter[str] = dataclasses.field(default_factory=Counter)
    scores: Counter[int] = dataclasses.field(default_factory=Counter)
    clients: Offenders = dataclasses.field(default_factory=Offenders)
    domains: Offenders = dataclasses.field(default_factory=Offenders)
    helos: Offenders = dataclasses.field(default_factory=Offenders)

    def day_of(self, at: float) -> Day:
        return self.days[max(0, bisect.bisect_right(self.days, at, key=lambda day: day.begins) - 1)]


def midnights(now: float, days: int) -> list[float]:
    """The beginnings of the last days, today's last, in the program's time zone. A day may have 23 or 25 hours."""
    today = datetime.datetime.fromtimestamp(now).date()
    dates = [today - datetime.timedelta(days=back) for back in range(days - 1, -1, -1)]
    return [datetime.datetime.combine(date, datetime.time.min).timestamp() for date in dates]


class _Decision(msgspec.Struct):
    check: str = ""
    action: str = "continue"
    mode: str = "enforce"
    reason: str = ""

    @property
    def stops(self) -> bool:
        return self.action in _DISPOSITIONS


class _Spam(msgspec.Struct):
    is_spam: bool = False
    action: str = ""


class _Score(msgspec.Struct):
    total: float | None = None


class _Findings(msgspec.Struct):
    spam_action: _Spam | None = None
    score: _Score | None = None


class _Recipient(msgspec.Struct):
    refused: _Decision | None = None
    findings: _Findings | None = None
    decisions: list[_Decision] = msgspec.field(default_factory=list)


Row = Mapping[Any, Any]
"""A row of the history, by its columns."""

Kind = TypeVar("Kind")
_decisions = msgspec.json.Decoder(list[_Decision])
_recipients = msgspec.json.Decoder(list[_Recipient])


def rows_of(store: Store, since: float, until: float, *conditions: sa.ColumnElement[bool]) -> Iterator[Row]:
    """The history rows of that time, both ends included, oldest first, for add(). Raises StoreError."""
    table = history
    large = sa.or_(sa.func.length(table.c.recipients) > LARGEST, sa.func.length(table.c.decisions) > LARGEST)
    packed = {name: table.c[name] for name in ("recipients", "decisions")}
    short = {name: sa.type_coerce(sa.case((large, ""), else_=of), of.type).label(name) for name, of in packed.items()}
    names = ("id", "ref", "received_at", "client_ip", "client_name", "helo", "mail_from", "action", "reason")
    query = (
        sa.select(*(table.c[name] for name in names), *short.values(), sa.case((large, 1), else_=0).label("large"))
        .where(table.c.received_at <= until, *conditions)
        .order_by(table.c.received_at, table.c.id)
        .limit(PAGE)
    )
    after = table.c.received_at >= since
    while True:
        with store.read() as connection:
            rows = connection.execute(query.where(after)).mappings().all()
        for row in rows:
            yield _alone(store, row["id"]) or row if row["large"] else row
        if len(rows) < PAGE:
            return
        last = rows[-1]
        same = sa.and_(table.c.received_at == last["received_at"], table.c.id > last["id"])
        later = sa.or_(table.c.received_at > last["received_at"], same)
        after = sa.and_(table.c.received_at >= last["received_at"], later)


def _alone(store: Store, number: int) -> Row | None:
    with store.read() as connection:
        return connection.execute(sa.select(history).where(history.c.id == number)).mappings().one_or_none()


def add(made: Report, row: Row) -> bool | None:
    """Count a message. Returns whether it was classified as spam: stopped, or marked as spam for a recipient; None if
    nothing was decided.
    """
    day = made.day_of(row["received_at"])
    decisions, recipients = _decoded(_decisions, row["decisions"]), _decoded(_recipients, row["recipients"])
    disposition = _disposition(row["action"], decisions, recipients)
    day.dispositions[disposition] += 1
    refused = [said for one in recipients if (said := _refused_alone(one)) is not None]
    day.recipients += len(refused)
    made.recipients.update(refused)
    if disposition in _DISPOSITIONS.values():
        made.why[disposition, _who_said(row, decisions, recipients)] += 1
    tagged = parted = False
    if disposition is Disposition.DELIVERED:
        tagged, parted = any(map(_called_spam, recipients)), any(map(_kept, recipients))
        day.tagged += tagged
        day.parted += parted
    of_recipients = [one for recipient in recipients for one in recipient.decisions]
    made.would.update({one.check for one in (*decisions, *of_recipients) if one.mode == "log" and one.stops})
    made.scores.update(score for one in recipients if (score := _score(one)) is not None)
    if disposition in _STOPPED:
        _count_offenders(made, row)
        return True
    return tagged or parted if disposition is Disposition.DELIVERED else None


def _count_offenders(made: Report, row: Row) -> None:
    at, reason, ref = row["received_at"], row["reason"], row["ref"]
    made.clients.count(_network(row["client_ip"]), at, reason, row["client_name"], ref=ref)
    # The null sender has no domain, and neither has a name without one.
    domain = parse_mailbox(row["mail_from"]).domain or "<>"
    made.domains.count(domain, at, reason, ref=ref)
    if row["helo"]:
        made.helos.count(row["helo"].lower(), at, reason, ref=ref)


def _disposition(action: str, decisions: Sequence[_Decision], recipients: Sequence[_Recipient]) -> Disposition:
    of_all = itertools.chain(decisions, *(one.decisions for one in recipients))
    if action == "discard" and any(one.check == "feedback" and one.action == "discard" for one in of_all):
        return Disposition.REPORTED
    if action in _DISPOSITIONS:
        return _DISPOSITIONS[action]
    if action == "unfinished":
        return Disposition.UNFINISHED
    return Disposition.DELIVERED if any(one.refused is None for one in recipients) else Disposition.UNFINISHED


def _who_said(row: Row, decisions: Sequence[_Decision], recipients: Sequence[_Recipient]) -> str:
    """The check that decided. The row has the text of its verdict, not its name."""
    refused = [one.refused for one in recipients if one.refused is not None]
    of_recipients = [one for recipient in recipients for one in recipient.decisions]
    said = [
        one for one in (*decisions, *refused, *of_recipients) if one.mode != "log" and _means(one.action, row["action"])
    ]
    exact = (one.check for one in said if one.reason == row["reason"])
    return next(exact, said[0].check if said else "other")


def _means(action: str, final: str) -> bool:
    # A refusal that could not be given for some recipients became a quarantine.
    return action == final or (final == "quarantine" and action == "reject")


def _refused_alone(recipient: _Recipient) -> str | None:
    """The check that refused this recipient permanently, regardless of the others."""
    refused = recipient.refused
    if refused is None or refused.action != "reject":
        return None
    return refused.check if any(one.check == refused.check for one in recipient.decisions) else None


def _called_spam(recipient: _Recipient) -> bool:
    found = recipient.findings and recipient.findings.spam_action
    return bool(found and found.is_spam and found.action != "deliver" and recipient.refused is None)


def _score(recipient: _Recipient) -> int | None:
    found = recipient.findings and recipient.findings.score
    total = found.total if found else None
    return None if total is None or not math.isfinite(total) else math.floor(total)


def _kept(recipient: _Recipient) -> bool:
    stopped = any(one.mode != "log" and one.action in ("quarantine", "reject") for one in recipient.decisions)
    return recipient.refused is None and stopped


def _decoded(decoder: msgspec.json.Decoder[list[Kind]], text: str) -> list[Kind]:
    """The decoded list; empty if it is damaged or foreign."""
    try:
        return decoder.decode(text)
    except (msgspec.DecodeError, UnicodeError):
        return []


def _network(ip: str) -> str:
    address = parse_ip(ip)
    if address is None or address.version == 4:
        return ip or "unknown"
    return str(ipaddress.ip_network((address, 64), strict=False))
