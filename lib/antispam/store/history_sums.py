"""Sums of the history, one for each quarter of an hour. Reports need only these, and they stay after the rows have
expired.

The transaction that writes rows of the history also writes their sums; a chore folds these pieces together. Rows of
history_sum are never changed, only replaced: if two processes replace the same ones, the second finds them gone and
starts again. So the sums are always exact.

Numbers reveal nothing about anybody. Names of clients, domains and hosts are deleted with the history: each is stored
with the reference of its last message, whose row has the details.
"""

from __future__ import annotations

import contextlib
import enum
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa

from antispam.store.engine import SLICE, Store
from antispam.store.schema import history, history_sum
from antispam.store.tally import Day, Disposition, Offenders, Report, Row, add, midnights

SLOT = 900.0  # seconds; the days of every time zone begin and end at a slot boundary
FOLD_EVERY = 300.0  # seconds
MOST_NAMES = 5000  # of each kind, per day
_FOLDED = 300  # rows that one transaction folds
_COUNTED = 100  # older rows that one transaction counts
_HALF_A_DAY = 43_200.0
_LONG_DAY = 25 * 3600.0  # the longest day, when clocks are set back
_KINDS = ("clients", "domains", "helos")


class Changed(Exception):
    """Another process replaced the same rows. Try again."""


class Kind(enum.StrEnum):
    """The content of a row of history_sum."""

    NUMBERS = "numbers"  # of a quarter of an hour
    NAMES = "names"  # of a day in the filter's time zone
    OLDER = "older"  # the rows older than this table that are still to be counted: [after, until]


class Numbers(msgspec.Struct, omit_defaults=True):
    """Numbers of messages by disposition, and the other numbers of a Report. The keys of `why` are a disposition and a
    check, with a space between.
    """

    became: dict[str, int] = {}
    recipients: int = 0
    tagged: int = 0
    parted: int = 0
    why: dict[str, int] = {}
    refused: dict[str, int] = {}
    would: dict[str, int] = {}
    scores: dict[int, int] = {}


class Stopped(msgspec.Struct, array_like=True):
    """The number of stopped messages of a name, and the arrival time and reference of the last."""

    number: int
    last_at: float
    ref: str


class Names(msgspec.Struct, omit_defaults=True):
    """The names whose messages were stopped. `complete` is False if the rarest were left out."""

    clients: dict[str, Stopped] = {}
    domains: dict[str, Stopped] = {}
    helos: dict[str, Stopped] = {}
    complete: bool = True


_numbers = msgspec.json.Decoder(Numbers)
_names = msgspec.json.Decoder(Names)
_Content = TypeVar("_Content", Numbers, Names)


def sums_of(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """The rows of history_sum for rows of the history."""
    slots: dict[float, Report] = {}
    for row in rows:
        begins = row["received_at"] // SLOT * SLOT
        made = slots.get(begins)
        if made is None:
            made = slots[begins] = Report([Day(begins)])
        add(made, row)
    found = []
    for begins, made in slots.items():
        found.append(_row(Kind.NUMBERS, begins, _numbers_of(made)))
        if names := _names_of(made):
            found.append(_row(Kind.NAMES, _midnight(begins), names))
    return found


def fill(store: Store, made: Report, until: float) -> None:
    """Add to a report the sums of its days; the last day ends with the quarter of an hour of `until`. Raises
    StoreError.
    """
    begun, until = [day.begins for day in made.days], math.nextafter(until, math.inf)
    for begins, ends in itertools.pairwise([*begun, until]):
        for at, content in _read(store, Kind.NUMBERS, begins, ends):
            _add_numbers(made, at, _decoded(_numbers, content))
    # A day of a filter in another time zone counts towards the day with which it overlaps most.
    for begins, ends in itertools.pairwise([*(one - _HALF_A_DAY for one in begun), until]):
        for _, content in _read(store, Kind.NAMES, begins, ends):
            _add_names(made, _decoded(_names, content))


def older(store: Store) -> tuple[int, int] | None:
    """The range of numbers of history rows that are not in the sums yet: (after, until). None if all are. Raises
    StoreError.
    """
    with store.read() as connection:
        row = connection.execute(_older()).one_or_none()
    return None if row is None else _bounds(row.content)


def count_older(store: Store) -> bool:
    """A chore that counts some rows older than the sums. Returns whether any are left. Raises StoreError."""
    with store.read() as connection:
        place = connection.execute(_older()).one_or_none()
        if place is None:
            return False
        after, until = _bounds(place.content)
        within = sa.and_(history.c.id > after, history.c.id <= until)
        query = sa.select(history).where(within).order_by(history.c.id).limit(_COUNTED)
        rows = connection.execute(query).mappings().all()
    last = rows[-1]["id"] if len(rows) == _COUNTED else until
    made = sums_of(rows)
    here = sa.and_(history_sum.c.id == place.id, history_sum.c.content == place.content)
    within = sa.and_(history.c.id > after, history.c.id <= last)
    with contextlib.suppress(Changed), store.write(durable=False) as connection:
        moved = connection.execute(sa.update(history_sum).where(here).values(content=_place(last, until)))
        still = connection.scalar(sa.select(sa.func.count()).select_from(history).where(within))
        if moved.rowcount != 1 or still != len(rows):
            raise Changed  # another node has counted them, or a person's data was erased meanwhile
        if made:
            connection.execute(sa.insert(history_sum), made)
        if last >= until:
            connection.execute(sa.delete(history_sum).where(history_sum.c.id == place.id))
    return True


def fold(store: Store) -> bool:
    """A chore that merges pieces of the same time. Returns whether there may be more. Raises StoreError."""
    table = history_sum
    pieces = sa.select(table.c.kind, table.c.begins).where(table.c.folded == 0, table.c.kind != str(Kind.OLDER))
    with store.read() as connection:
        first = connection.execute(pieces.order_by(table.c.kind, table.c.begins).limit(1)).one_or_none()
        if first is None:
            return False
        same = sa.and_(table.c.kind == first.kind, table.c.begins == first.begins)
        query = sa.select(table.c.id, table.c.content).where(same).order_by(table.c.folded.desc(), table.c.id)
        rows = connection.execute(query.limit(_FOLDED)).all()
    contents = [row.content for row in rows]
    whole = _whole_numbers(contents) if first.kind == Kind.NUMBERS else _whole_names(contents)
    with contextlib.suppress(Changed), store.write(durable=False) as connection:
        _replace(connection, [row.id for row in rows], [_row(first.kind, first.begins, whole, folded=1)])
    return True


def purge(store: Store, names_before: float, numbers_before: float) -> bool:
    """A chore that deletes the sums from before these times (seconds since the epoch). Returns whether there may be
    more. Raises StoreError.
    """
    table = history_sum
    names = sa.and_(table.c.kind == str(Kind.NAMES), table.c.begins < names_before - _LONG_DAY)
    numbers = sa.and_(table.c.kind == str(Kind.NUMBERS), table.c.begins < numbers_before)
    return sum(store.delete_slice(table, stale, SLICE) for stale in (names, numbers)) > 0


def forget(connection: sa.Connection, rows: Iterable[Row]) -> None:
    """Remove rows of the history, which are deleted in the same transaction, from the names. Rows that were not counted
    yet are counted. Numbers stay. Raises Changed if the whole transaction must be repeated.
    """
    place = connection.execute(_older().with_for_update()).one_or_none()
    after, until = (0, 0) if place is None else _bounds(place.content)
    days: dict[float, list[Row]] = {}
    uncounted = []
    for row in rows:
        if after < row["id"] <= until:
            uncounted.append(row)
        else:
            days.setdefault(_midnight(row["received_at"]), []).append(row)
    numbers = [one for one in sums_of(uncounted) if one["kind"] == Kind.NUMBERS]
    if numbers:
        connection.execute(sa.insert(history_sum), numbers)
    for some in days.values():
        _forget_names(connection, some)


def _forget_names(connection: sa.Connection, rows: Sequence[Row]) -> None:
    """Remove rows of one day from the names."""
    table = history_sum
    times = [row["received_at"] for row in rows]
    near = table.c.begins.between(min(times) - _LONG_DAY, max(times))
    query = sa.select(table.c.id, table.c.begins, table.c.content).where(table.c.kind == str(Kind.NAMES), near)
    found = {row.id: (row.begins, _decoded(_names, row.content)) for row in connection.execute(query)}
    changed: set[int] = set()
    for row in rows:
        alone = Report([Day(row["received_at"])])
        add(alone, row)
        for of in _KINDS:
            for one in getattr(alone, of).top(1):
                days = {number: getattr(names, of) for number, (_, names) in found.items()}
                number = _day_of(days, one.name, row["ref"])
                if number is not None:
                    _take_out(days[number], one.name, row["ref"])
                    changed.add(number)
    left = [_row(Kind.NAMES, *found[number]) for number in sorted(changed)]
    _replace(connection, sorted(changed), left)


def _day_of(days: Mapping[int, Mapping[str, Stopped]], name: str, ref: str) -> int | None:
    """The number of the sum that has this message: the one with its reference, else one with the name."""
    having = [number for number, names in days.items() if name in names]
    return next((number for number in having if days[number][name].ref == ref), having[0] if having else None)


def _take_out(names: dict[str, Stopped], name: str, ref: str) -> None:
    one = names[name]
    one.number -= 1
    if one.ref == ref:
        one.ref = ""
    if one.number <= 0:
        del names[name]


def _replace(connection: sa.Connection, numbers: Sequence[int], rows: Sequence[Mapping[str, Any]]) -> None:
    """Replace rows of history_sum. Raises Changed if one of them is gone."""
    if not numbers:
        return
    gone = connection.execute(sa.delete(history_sum).where(history_sum.c.id.in_(numbers))).rowcount
    if gone != len(numbers):
        raise Changed
    connection.execute(sa.insert(history_sum), list(rows))


def _older() -> sa.Select[Any]:
    return sa.select(history_sum.c.id, history_sum.c.content).where(history_sum.c.kind == str(Kind.OLDER))


def _bounds(content: str) -> tuple[int, int]:
    return msgspec.json.decode(content, type=tuple[int, int])


def _place(after: int, until: int) -> str:
    return msgspec.json.encode((after, until)).decode()


def _read(store: Store, kind: Kind, begins: float, ends: float) -> Sequence[tuple[float, str]]:
    """Read sums in one statement, so that pieces folded meanwhile are seen once."""
    table = history_sum
    query = sa.select(table.c.begins, table.c.content).where(
        table.c.kind == str(kind), table.c.begins >= begins, table.c.begins < ends
    )
    with store.read() as connection:
        return [(row.begins, row.content) for row in connection.execute(query)]


def _row(kind: str, begins: float, content: Numbers | Names, folded: int = 0) -> dict[str, Any]:
    text = msgspec.json.encode(content).decode()
    return {"kind": str(kind), "begins": begins, "folded": folded, "content": text}


def _decoded(decoder: msgspec.json.Decoder[_Content], content: str) -> _Content:
    """The decoded content; empty if it is damaged or foreign."""
    try:
        return decoder.decode(content)
    except (msgspec.DecodeError, UnicodeError):
        return decoder.decode("{}")


def _midnight(at: float) -> float:
    return midnights(at, 1)[0]


def _numbers_of(made: Report) -> Numbers:
    (day,) = made.days
    return Numbers(
        became={str(disposition): number for disposition, number in day.dispositions.items()},
        recipients=day.recipients,
        tagged=day.tagged,
        parted=day.parted,
        why={f"{disposition} {check}": number for (disposition, check), number in made.why.items()},
        refused=dict(made.recipients),
        would=dict(made.would),
        scores=dict(made.scores),
    )


def _names_of(made: Report) -> Names | None:
    """The names in a report; None if no messages were stopped."""
    return _named(made) if any(getattr(made, of).top(1) for of in _KINDS) else None


def _named(made: Report) -> Names:
    kinds = {of: getattr(made, of) for of in _KINDS}
    tops = {of: offenders.top(MOST_NAMES + 1) for of, offenders in kinds.items()}
    complete = all(offenders.complete and len(tops[of]) <= MOST_NAMES for of, offenders in kinds.items())
    stopped = {
        of: {one.name: Stopped(one.stopped, one.last_at, one.ref) for one in top[:MOST_NAMES]}
        for of, top in tops.items()
    }
    return Names(**stopped, complete=complete)


def _whole_numbers(contents: Iterable[str]) -> Numbers:
    made = Report([Day(0.0)])
    for content in contents:
        _add_numbers(made, 0.0, _decoded(_numbers, content))
    return _numbers_of(made)


def _whole_names(contents: Iterable[str]) -> Names:
    made = Report([Day(0.0)])
    for content in contents:
        _add_names(made, _decoded(_names, content))
    return _named(made)


def _add_numbers(made: Report, at: float, numbers: Numbers) -> None:
    day = made.day_of(at)
    known = {str(disposition): disposition for disposition in Disposition}
    for name, number in numbers.became.items():
        if name in known:
            day.dispositions[known[name]] += number
    day.recipients += numbers.recipients
    day.tagged += numbers.tagged
    day.parted += numbers.parted
    for name, number in numbers.why.items():
        disposition, _, check = name.partition(" ")
        if disposition in known:
            made.why[known[disposition], check] += number
    made.recipients.update(numbers.refused)
    made.would.update(numbers.would)
    made.scores.update(numbers.scores)


def _add_names(made: Report, names: Names) -> None:
    for of in _KINDS:
        offenders: Offenders = getattr(made, of)
        for name, one in getattr(names, of).items():
            offenders.count(name, one.last_at, "", ref=one.ref, number=one.number)
        if not names.complete:
            offenders.complete = False
