"""The lists of senders and clients, with one row per entry, shared by all workers and nodes."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import functools
import ipaddress
import weakref
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from antispam.deadline import Deadline
from antispam.net.addresses import MAX_DOMAIN, is_hostname, normalize_domain, parents, parse_ip, parse_mailbox
from antispam.store.engine import SLICE, Store
from antispam.store.prepared import Prepared, upsert
from antispam.store.schema import sender_list
from antispam.text import from_wire

OFFENCES_KEPT = 30 * 86400.0  # seconds after the end of a ban during which it makes the next one longer
ADMINISTRATOR = "command"  # the author of entries that a person added
_PERSON = f"{ADMINISTRATOR} ("
REMEMBERED = 5.0  # seconds for which a worker caches that there are no entries of a kind


class Kind(enum.StrEnum):
    """The list that an entry is in."""

    WHITELIST = "whitelist"  # an address that our users write to
    BLACKLIST = "blacklist"  # an address whose mail is refused
    BANNED_IP = "banned-ip"  # a client; for IPv6 its /64
    BANNED_DOMAIN = "banned-domain"  # a domain in MAIL FROM; *.example.com covers itself and everything below


class BadName(ValueError):
    """The name cannot be an entry of that list; the text says what is expected."""


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a list. Times are in seconds since the epoch.

    name        in the form for comparison
    reason      why it is there, for people
    added_by    who added it: a check, a user, ADMINISTRATOR, or administrator()
    seen_at     when it was last added again
    expires_at  when it expires; None means never
    offences    how often it was added
    """

    kind: Kind
    name: str
    reason: str
    added_by: str
    added_at: float
    seen_at: float
    expires_at: float | None
    offences: int


def administrator(name: str) -> str:
    """The author of entries added by this administrator: like ADMINISTRATOR, but with a name."""
    return f"{_PERSON}{from_wire(name, 80)})"


def author(added_by: str) -> str:
    """The name in an entry's `added_by`; for administrator() the name that was passed to it."""
    return added_by.removeprefix(_PERSON).removesuffix(")") if added_by.startswith(_PERSON) else added_by


def renamed(added_by: str, name: str) -> str:
    """The author of an entry with another name; an administrator remains one."""
    return administrator(name) if added_by.startswith(_PERSON) else name


def normalized(kind: Kind, name: str) -> str:
    """The name in the form for comparison. Raises BadName."""
    text = name.strip()
    if kind is Kind.BANNED_IP:
        address = parse_ip(text.partition("/")[0])
        if address is None:
            raise BadName(f"{from_wire(text, 60)} is no IP address")
        return str(address) if address.version == 4 else str(ipaddress.ip_network((address, 64), strict=False))
    if kind is Kind.BANNED_DOMAIN:
        domain = normalize_domain(text)
        bare = domain.removeprefix("*.")
        if "." not in bare or not is_hostname(bare):
            raise BadName(
                f"{from_wire(text, 60)} is no domain that can be banned: expected example.com or *.example.com"
            )
        return domain
    mailbox = parse_mailbox(text if "@" in text else f"@{text}")
    exact = f"{mailbox.local.lower()}@{mailbox.domain}" if mailbox.local else mailbox.domain
    if "." not in mailbox.domain or not is_hostname(mailbox.domain) or len(exact) > 320 or not exact.isprintable():
        raise BadName(f"{from_wire(text, 60)} is no mail address")
    if not mailbox.local and "@" in text:
        # A sender who could cause ""@example.com to be listed would affect all of example.com.
        raise BadName(f"{from_wire(text, 60)} has nothing before the @; {mailbox.domain} is the whole domain")
    return exact


def _forms(kind: Kind, name: str) -> Iterator[str]:
    """The names of entries that cover this one. A name that cannot itself be an entry may still be covered:
    x@!.example.com does not get around a ban of *.example.com.
    """
    with contextlib.suppress(BadName):
        yield normalized(kind, name)
    if kind is Kind.BANNED_DOMAIN:
        above = list(parents(normalize_domain(name.strip().rstrip(".")[-MAX_DOMAIN:])))
        yield from (f"*.{domain}" for domain in above if "." in domain and is_hostname(domain))
    elif kind is not Kind.BANNED_IP and "@" in name:
        domain = parse_mailbox(name).domain
        if "." in domain and is_hostname(domain):
            yield domain  # an administrator may list a whole domain


def _key(kind: Kind, name: str) -> str:
    return f"{kind}:{name}"


_kinds_known: weakref.WeakKeyDictionary[Store, tuple[float, frozenset[str]]] = weakref.WeakKeyDictionary()


def add(
    store: Store,
    kind: Kind,
    name: str,
    *,
    reason: str,
    by: str,
    now: float,
    expires_at: float | None = None,
    longest: int = 1,
    once: bool = False,
    deadline: Deadline | None = None,
) -> int:
    """Add a name to a list, or renew it. Returns how often it was added. An entry that never expires keeps its reason
    and remains permanent. An entry of an administrator keeps its reason, and its expiry if that is later, whatever a
    check adds. With `longest`, the time until expiry doubles each time the name is added again, up to that multiple.
    Raises BadName, StoreError.

    once  leave an entry in force unchanged: what several connections find at the same time counts once
    """
    values = _values(kind, normalized(kind, name), reason, by, now, expires_at)
    table = sender_list
    with store.write(deadline) as connection:
        if not once or _not_in_force(store, connection, values, now):
            _renew(connection, values, longest)
        offences = connection.scalars(sa.select(table.c.offences).where(table.c.entry == values["entry"])).one()
    _kinds_known.pop(store, None)
    return int(offences)


def add_all(
    store: Store,
    kind: Kind,
    names: Iterable[str],
    *,
    reason: str,
    by: str,
    now: float,
    expires_at: float | None = None,
    deadline: Deadline | None = None,
) -> None:
    """Add names to a list, or renew them, in one transaction. Invalid names are skipped. Raises StoreError."""
    exact = set()
    for name in names:
        with contextlib.suppress(BadName):
            exact.add(normalized(kind, name))
    if not exact:
        return
    with store.write(deadline) as connection:
        for one in sorted(exact):  # the same order everywhere, so that two messages cannot deadlock
            _renew(connection, _values(kind, one, reason, by, now, expires_at))
    _kinds_known.pop(store, None)


def _values(kind: Kind, exact: str, reason: str, by: str, now: float, expires_at: float | None) -> dict[str, Any]:
    """The row of a new entry."""
    return {
        "entry": _key(kind, exact),
        "kind": kind.value,
        "name": exact,
        "reason": from_wire(reason, 500),
        "added_by": from_wire(by, 100),
        "added_at": now,
        "seen_at": now,
        "expires_at": expires_at,
        "offences": 1,
    }


def _renew(connection: sa.Connection, values: dict[str, Any], longest: int = 1) -> None:
    """Insert the row of an entry, or renew the existing one."""
    by_person = values["added_by"] == ADMINISTRATOR or values["added_by"].startswith(_PERSON)
    now, expires_at = values["seen_at"], values["expires_at"]
    lasting = {"new_end": expires_at, "lasts": 0.0 if expires_at is None else expires_at - now}
    new = {"now": now, "new_reason": values["reason"], "new_by": values["added_by"]}
    statement = _renewing(by_person, longest if expires_at is not None else 1)
    statement.change(connection, {**values, **new, **lasting})


@functools.cache
def _renewing(by_person: bool, longest: int) -> Prepared:
    return Prepared(functools.partial(_renewal, by_person, longest))


def _renewal(by_person: bool, longest: int, dialect: str) -> sa.Insert:
    table, end = sender_list, sender_list.c.expires_at
    now = sa.bindparam("now", type_=end.type)
    for_ever = end.is_(None)
    until: sa.ColumnElement[Any] = sa.cast(sa.bindparam("new_end", type_=end.type), end.type)
    if longest > 1:
        steps = range(1, longest.bit_length())
        times = sa.case(*((table.c.offences == step, 2**step) for step in steps), else_=longest)
        until = sa.cast(now + sa.bindparam("lasts", type_=end.type) * times, end.type)
    stays: sa.ColumnElement[bool] = for_ever
    longer: sa.ColumnElement[bool] = sa.false()
    if not by_person:
        person = sa.or_(table.c.added_by == ADMINISTRATOR, table.c.added_by.startswith(_PERSON, autoescape=True))
        written = sa.and_(person, end > now)
        stays, longer = sa.or_(for_ever, written), sa.and_(written, end > until)
    new_reason = sa.bindparam("new_reason", type_=table.c.reason.type)
    new_by = sa.bindparam("new_by", type_=table.c.added_by.type)
    # MariaDB assigns from left to right, so a column that is compared comes after the comparison.
    update = {
        "reason": sa.case((stays, table.c.reason), else_=new_reason),
        "added_by": sa.case((stays, table.c.added_by), else_=new_by),
        "seen_at": now,
        "expires_at": sa.case((for_ever, sa.cast(sa.null(), end.type)), (longer, end), else_=until),
        "offences": table.c.offences + 1,
    }
    return upsert(dialect, table, None, ("entry",), update)


def _not_in_force(store: Store, connection: sa.Connection, values: dict[str, Any], now: float) -> bool:
    """Whether the entry must still be written; its row is locked. A new entry is written here."""
    table = sender_list
    # Offences are 0 only in a row that this transaction inserted.
    new = {**values, "offences": 0}
    connection.execute(store.upsert(table, new, key=("entry",), update={"offences": table.c.offences}))
    mine = table.c.entry == values["entry"]
    offences, expires_at = connection.execute(sa.select(table.c.offences, table.c.expires_at).where(mine)).one()
    if offences == 0:
        connection.execute(sa.update(table).where(mine).values(offences=1))
        return False
    return expires_at is not None and expires_at <= now


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    """A name that another program has stored, with its start and end (None: permanent) in seconds since the epoch."""

    name: str
    since: float
    until: float | None


def take_over(store: Store, kind: Kind, known: Iterable[Known], *, reason: str, by: str, now: float) -> list[str]:
    """Import names into a list, one slice per transaction. Returns what is wrong with the invalid ones. Existing
    entries are kept; only their end moves if it is later here. This does not count as an offence. Raises StoreError.
    """
    refused = []
    names: dict[str, Known] = {}
    for one in known:
        try:
            exact = normalized(kind, one.name)
        except BadName as error:
            refused.append(str(error))
            continue
        before = names.get(exact)
        names[exact] = one if before is None or _later(one.until, before.until) else before
    # The same order everywhere, so that two simultaneous imports cannot deadlock.
    ordered = sorted(names.items())
    for start in range(0, len(ordered), SLICE):
        with store.write() as connection:
            for exact, one in ordered[start : start + SLICE]:
                connection.execute(_taken_over(store, kind, exact, one, reason, by, now))
    _kinds_known.pop(store, None)
    return refused


def _later(one: float | None, other: float | None) -> bool:
    return other is not None and (one is None or one > other)


def _taken_over(store: Store, kind: Kind, exact: str, one: Known, reason: str, by: str, now: float) -> Any:
    table = sender_list
    values = {
        "entry": _key(kind, exact),
        "kind": kind.value,
        "name": exact,
        "reason": from_wire(reason, 500),
        "added_by": from_wire(by, 100),
        "added_at": min(one.since, now),
        "seen_at": min(one.since, now),
        "expires_at": one.until,
        "offences": 1,
    }
    stays: sa.ColumnElement[bool] = table.c.expires_at.is_(None)
    if one.until is not None:
        stays = sa.or_(stays, table.c.expires_at >= one.until)
    until = sa.cast(sa.null() if one.until is None else one.until, sa.Double)
    return store.upsert(
        table, values, key=("entry",), update={"expires_at": sa.case((stays, table.c.expires_at), else_=until)}
    )


# Built once: each message runs it.
_FIND = sa.select(sender_list).where(
    sender_list.c.entry.in_(sa.bindparam("keys", expanding=True)),
    sa.or_(sender_list.c.expires_at.is_(None), sender_list.c.expires_at > sa.bindparam("now")),
)


def find(store: Store, wanted: Iterable[tuple[Kind, str]], now: float, deadline: Deadline | None = None) -> list[Entry]:
    """The entries in force that cover one of these names. Raises StoreError."""
    kinds = _kinds(store, now, deadline)
    keys = [_key(kind, form) for kind, name in wanted if kind in kinds for form in _forms(kind, name)]
    if not keys:
        return []
    with store.read(deadline) as connection:
        rows = connection.execute(_FIND, {"keys": keys, "now": now}).all()
    return [_entry(row) for row in rows]


def _kinds(store: Store, now: float, deadline: Deadline | None) -> frozenset[str]:
    """The kinds that have entries. Most sites do not use all of them, and need no query for each message."""
    until, kinds = _kinds_known.get(store, (0.0, frozenset()))
    if not until - REMEMBERED <= now < until:
        with store.read(deadline) as connection:
            kinds = frozenset(connection.scalars(sa.select(sender_list.c.kind).distinct()))
        _kinds_known[store] = now + REMEMBERED, kinds
    return kinds


def everything(store: Store, kinds: Sequence[Kind] = tuple(Kind), now: float | None = None) -> list[Entry]:
    """All entries of these kinds, in order of name; with `now`, only those in force. Raises StoreError."""
    query = sa.select(sender_list).where(sender_list.c.kind.in_([kind.value for kind in kinds]))
    if now is not None:
        query = query.where(_in_force(now))
    with store.read() as connection:
        return [_entry(row) for row in connection.execute(query.order_by(sender_list.c.kind, sender_list.c.name))]


def page(store: Store, kind: Kind, now: float, limit: int, after: str = "") -> list[Entry]:
    """At most `limit` entries of a kind that are in force, in order of name, starting after the name `after`. Raises
    StoreError.
    """
    query = sa.select(sender_list).where(sender_list.c.kind == kind.value, _in_force(now))
    if after:
        query = query.where(sender_list.c.entry > _key(kind, after))
    with store.read() as connection:
        return [_entry(row) for row in connection.execute(query.order_by(sender_list.c.entry).limit(limit))]


def remove(store: Store, kind: Kind, name: str, deadline: Deadline | None = None) -> bool:
    """Remove a name from a list. Returns whether it was there. Raises BadName, StoreError."""
    key = _key(kind, normalized(kind, name))
    with store.write(deadline) as connection:
        removed = connection.execute(sa.delete(sender_list).where(sender_list.c.entry == key)).rowcount
    return bool(removed)


def purge(store: Store, now: float, slice_size: int = SLICE) -> int:
    """Delete a slice of the expired entries. Call again while it returns any. A ban is kept for OFFENCES_KEPT after its
    end, so that the next one is longer. Raises StoreError.
    """
    table = sender_list
    for kind in Kind:
        ended = now - OFFENCES_KEPT if kind is Kind.BANNED_IP else now
        if gone := store.delete_slice(
            table, sa.and_(table.c.kind == kind.value, table.c.expires_at <= ended), slice_size
        ):
            return gone
    return 0


def _in_force(now: float) -> sa.ColumnElement[bool]:
    return sa.or_(sender_list.c.expires_at.is_(None), sender_list.c.expires_at > now)


def _entry(row: Any) -> Entry:
    _, kind, *rest = row
    return Entry(Kind(kind), *rest)
