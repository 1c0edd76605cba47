"""The data stored about one person: their names, and the rows that concern them, table by table."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec
import sqlalchemy as sa

from antispam.learning.fingerprinting import known_key
from antispam.learning.people import Addresses
from antispam.learning.settings import DspamSettings
from antispam.net.addresses import Mailbox, normalize_domain, parse_mailbox
from antispam.protocols.fingerprints import name_mark
from antispam.settings import Settings
from antispam.store import Store, lists, stored_messages
from antispam.store.hidden import hidden_local
from antispam.store.personal import TABLES, Holds
from antispam.store.schema import metadata

Row = Mapping[Any, Any]
_PAGE = 500  # rows
_MAILS = 20  # messages, which may be large
_FOLLOWED = 500  # references per query


@dataclasses.dataclass(frozen=True, slots=True)
class Person:
    """A person, identified by their address.

    names   in lower case: the address, and the user and login that only they have
    hidden  the hash of the address in the history; "" if it was never hashed
    shares  a dictionary that they share with others; "" for none. It reveals nothing about them
    others  further addresses of the same user
    """

    address: Mailbox
    names: frozenset[str]
    hidden: str = ""
    shares: str = ""
    others: tuple[str, ...] = ()

    def in_text(self, text: str) -> bool:
        """Whether the text contains their address, in any envelope form (with a detail, or in SRS, BATV or VERP)."""
        return _pattern(self.address, self.hidden).search(text) is not None

    def is_named(self, text: str) -> bool:
        """Whether the text is their name, alone or as the last word, as in `login ann`."""
        name = text.lower()
        return name in self.names or any(name.endswith(f" {one}") for one in self.names)


@functools.lru_cache(maxsize=16)
def _pattern(address: Mailbox, hidden: str) -> re.Pattern[str]:
    local = re.escape(address.local)
    domain = "|".join(map(re.escape, dict.fromkeys(_spellings(address.domain))))
    forms = [
        rf"(?<![\w.+-]){local}(?:\+[^\s@<>\"]{{0,64}})?@(?:{domain})(?![\w-]|\.\w)",
        rf"=(?:{domain})={local}@",  # SRS0=hash=time=domain=local@
        rf"(?<![\w.+]){local}=(?:{domain})@",  # VERP
    ]
    if hidden:
        forms.append(re.escape(hidden))
    return re.compile("|".join(forms), re.IGNORECASE)


def _spellings(domain: str) -> Iterator[str]:
    """The domain in A-labels and in U-labels."""
    yield domain
    try:
        yield domain.encode("ascii").decode("idna")
    except UnicodeError:
        return


def person_of(address: str, settings: Settings, store: Store | None = None) -> Person:
    """The person of an address, by the configuration. Raises ValueError for an invalid address, and StoreError.

    store  the store whose history may have the address as a hash
    """
    mailbox = parse_mailbox(address)
    if not mailbox.local or "." not in mailbox.domain or not address.isprintable() or "*" in address:
        raise ValueError("expected an address, ann@example.com")
    known = Addresses(settings[DspamSettings])
    user = known.user_of(str(mailbox)) or ""
    own = known.users.get(user, ())
    names, others, shares = {str(mailbox).lower()}, [], ""
    if user and all(parse_mailbox(one).local and parse_mailbox(one).domain for one in own):
        names.add(user.lower())
        if known.user_of_login(mailbox.local) == user:
            names.add(mailbox.local.lower())
        others = [one for one in own if str(parse_mailbox(one)).lower() != str(mailbox).lower()]
    else:
        shares = user  # a whole domain, for example
    local = hidden_local(store, mailbox) if store is not None else ""
    hidden = f"{local}@{mailbox.domain}" if local else ""
    return Person(mailbox, frozenset(names), hidden, shares, tuple(others))


class Search:
    """Finds the rows about a person. References are followed into other tables: a message in the history has rows
    elsewhere, and a user has a dictionary. Reads in pages. Every method raises StoreError.
    """

    def __init__(self, store: Store, person: Person) -> None:
        self._store = store
        self._person = person
        self._special: dict[str, Callable[[], Iterator[Row]]] = {
            "history": lambda: self._where("history", "ref", self.refs),
            "history_address": lambda: self._where("history_address", "ref", self.refs),
            "history_sum": lambda: iter(()),  # names in it are deleted with the rows of the history
            "stored_message": self._messages,
            "stored_piece": lambda: iter(()),  # part of stored_message
            "quarantine_entry": self._entries,
            "web_account": self._accounts,
            "web_failure": lambda: self._where("web_failure", "digest", map(_sha256, person.names)),
            "fingerprint_report": self._reports,
            "fingerprint": lambda: self._where("fingerprint", "report_id", [row["id"] for row in self._reports()]),
            "attempt": lambda: self._where("attempt", "ref", self.refs),
            "reputation_vote": lambda: self._where("reputation_vote", "ref", self.refs),
            "dspam_user": self._users,
        }

    def rows(self, table: str) -> Iterator[Row]:
        """The rows of a table about the person."""
        special = self._special.get(table)
        if special is not None:
            return special()
        if "user_id" in TABLES[table].columns:
            return self._where(table, "user_id", [row["id"] for row in self._users()])
        return self._by_columns(table)

    @functools.cached_property
    def refs(self) -> frozenset[str]:
        """The references of messages in the history that they sent, wrote or received, or that name them."""
        return frozenset(row["ref"] for row in self._by_columns("history")) | {row["ref"] for row in self._mentions()}

    @functools.cached_property
    def kept(self) -> frozenset[str]:
        """The references of quarantined messages that name them."""
        table = metadata.tables["stored_message"]
        found: set[str] = set()
        last = ""
        while True:
            query = sa.select(table.c.ref).where(table.c.ref > last).order_by(table.c.ref).limit(_MAILS)
            with self._store.read() as connection:
                refs = list(connection.scalars(query))
                mails = [(ref, stored_messages.read(connection, ref)) for ref in refs]
            found.update(ref for ref, mail in mails if mail and self._person.in_text(mail.decode("latin-1")))
            if len(refs) < _MAILS:
                return frozenset(found)
            last = refs[-1]

    def _by_columns(self, name: str) -> Iterator[Row]:
        """Rows whose own columns name the person."""
        table, columns = metadata.tables[name], TABLES[name].columns
        order = list(table.primary_key.columns)
        size = _MAILS if Holds.MAIL in columns.values() else _PAGE
        last: tuple[Any, ...] | None = None
        while True:
            query = sa.select(table).order_by(*order).limit(size)
            if last is not None:
                query = query.where(sa.tuple_(*order) > sa.tuple_(*map(sa.literal, last)))
            with self._store.read() as connection:
                rows = connection.execute(query).mappings().all()
            yield from (row for row in rows if any(self._concerns(holds, row[one]) for one, holds in columns.items()))
            if len(rows) < size:
                return
            last = tuple(rows[-1][column.name] for column in order)

    def _concerns(self, holds: Holds, value: Any) -> bool:
        if value is None or isinstance(value, int | float):
            return False
        text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
        match holds:
            case Holds.TEXT | Holds.MAIL:
                return self._person.in_text(text)
            case Holds.NAME:
                return self._person.is_named(text) or self._person.in_text(text)
            case Holds.BY:
                return self._person.is_named(lists.author(text))
        return False

    def _where(self, name: str, column: str, values: Iterable[Any]) -> Iterator[Row]:
        table, wanted = metadata.tables[name], sorted(set(values))
        for some in (wanted[at : at + _FOLLOWED] for at in range(0, len(wanted), _FOLLOWED)):
            with self._store.read() as connection:
                yield from connection.execute(sa.select(table).where(table.c[column].in_(some))).mappings().all()

    def _mentions(self) -> Iterator[Row]:
        table, address = metadata.tables["history_address"], self._person.address
        local = address.local.lower()
        same = [table.c.local == local, table.c.local.startswith(f"{local}+", autoescape=True)]
        if self._person.hidden:
            same.append(table.c.local == self._person.hidden.rpartition("@")[0])
        query = sa.select(table).where(table.c.domain == normalize_domain(address.domain), sa.or_(*same))
        with self._store.read() as connection:
            yield from connection.execute(query).mappings().all()

    def _entries(self) -> Iterator[Row]:
        seen = set()
        for row in self._by_columns("quarantine_entry"):
            seen.add(row["id"])
            yield row
        yield from (row for row in self._where("quarantine_entry", "ref", self.kept) if row["id"] not in seen)

    def _messages(self) -> Iterator[Row]:
        for ref in sorted({row["ref"] for row in self._entries()} | self.kept):
            with self._store.read() as connection:
                content = stored_messages.read(connection, ref)
            if content is not None:
                yield {"ref": ref, "content": content}

    def _accounts(self) -> Iterator[Row]:
        with self._store.read() as connection:
            rows = connection.execute(sa.select(metadata.tables["web_account"])).mappings().all()
        for row in rows:
            mailboxes = msgspec.json.decode(row["mailboxes"], type=list[str])
            if self._person.is_named(row["name"]) or any(one.lower() in self._person.names for one in mailboxes):
                yield row

    def _reports(self) -> Iterator[Row]:
        key = known_key(self._store)
        marks = [] if key is None else [name_mark(name, key) for name in self._person.names]
        return self._where("fingerprint_report", "reporter", marks)

    def _users(self) -> Iterator[Row]:
        table = metadata.tables["dspam_user"]
        with self._store.read() as connection:
            query = sa.select(table).where(sa.func.lower(table.c.name).in_(self._person.names))
            yield from connection.execute(query).mappings().all()


def _sha256(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()
