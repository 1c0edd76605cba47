"""Readers of the original BMS milter's files: lists of addresses and domains, and the greylist.

The files are not trusted: lines have a length limit, pickles are inspected but never loaded, and an SQLite file cannot
influence how it is read. Unreadable parts are reported with their position, and the rest is read.
"""

from __future__ import annotations

import csv
import dataclasses
import datetime
import ipaddress
import math
import pickletools
import re
import sqlite3
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote

from antispam.net.addresses import is_hostname, parse_ip, parse_mailbox
from antispam.store.greylist import Record, Triplet
from antispam.text import from_wire
from Milter.berkeleydb import BerkeleyDBError, read_hash

MAX_LINE = 2000  # characters
MAX_RECORD = 10_000  # octets per pickle
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
# The format of Milter.cache.AddrCache: 2007Jan05 21:25:40 EST. The month is English: the milter never set a locale.
_ENTERED = re.compile(r"(\d{4})([A-Za-z]{3})(\d\d) (\d\d):(\d\d):(\d\d)(?: (\S+))?")
_COMMENT = re.compile(r"(?:^|\s)#")  # an address may contain one
_DATE = re.compile(r"[\d.:+-]+(?:T[\d.:+-]+)?Z?")


@dataclasses.dataclass(frozen=True, slots=True)
class Listed:
    """A name in a list, and the time it was added in seconds since the epoch; None means permanent."""

    line: int
    name: str
    entered: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Unread:
    """An unreadable line: its position and the reason."""

    where: str
    why: str


class NotReadable(Exception):
    """The file cannot be read; the text says why."""


def read_names(file: IO[str]) -> Iterator[Listed | Unread]:
    """The names in auto_whitelist.log, blacklist.log, banned_ips, banned_domains, and similar lists: one per line, with
    comments after #. A line without a time is permanent, as in the original. Raises OSError.
    """
    number = 0
    while line := file.readline(MAX_LINE):
        number += 1
        if not line.endswith("\n") and len(line) >= MAX_LINE:
            yield Unread(f"line {number}", f"longer than {MAX_LINE} characters")
            while (rest := file.readline(MAX_LINE)) and not rest.endswith("\n"):
                pass
            continue
        if (name := _name_in(line)) != "":
            yield Listed(number, name, _entered(line))


def _name_in(line: str) -> str:
    """The first word of a line that is not part of a date, as in `2026-11-24 12:00 ann@example.com`."""
    words = _COMMENT.split(line)[0].replace(",", " ").split()
    return next((word for word in words if not _DATE.fullmatch(word) or parse_ip(word) is not None), "")


def _entered(line: str) -> float | None:
    """The time a line was written. Names of time zones are ambiguous: anything but UTC is taken as this host's zone,
    which is wrong by a day at most.
    """
    found = _ENTERED.search(_COMMENT.split(line)[0])
    if found is None or found[2].lower() not in _MONTHS:
        return None
    month = _MONTHS.index(found[2].lower()) + 1
    zone = datetime.UTC if found[7] in ("UTC", "GMT") else None
    try:
        at = datetime.datetime(
            int(found[1]), month, int(found[3]), int(found[4]), int(found[5]), int(found[6]), tzinfo=zone
        )
        return at.timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def line_for(name: str, entered: float) -> str:
    """A line in the format that the original milter reads in auto_whitelist.log and blacklist.log."""
    at = datetime.datetime.fromtimestamp(entered, datetime.UTC)
    return f"{name} {at.year}{_MONTHS[at.month - 1].title()}{at:%d %H:%M:%S} UTC"


@dataclasses.dataclass(frozen=True, slots=True)
class Grey:
    """A row of the original greylist. Times are in seconds since the epoch. `count` is the number of messages let
    through.
    """

    where: str
    client: str
    mail_from: str
    recipient: str
    first_seen: float
    last_seen: float
    count: int

    def triplets(self, ipv4_prefix: int, ipv6_prefix: int) -> list[Triplet]:
        """The triplets under which our greylist stores the row. The original identifies clients by address; ours by
        network or, if SPF passes, by the sender's domain. Whether SPF passed is not recorded, but it must when that
        entry is used. Empty for an invalid client.
        """
        domain = parse_mailbox(self.mail_from).domain
        if self.client.startswith("spf:"):
            return [Triplet(self.client, self.mail_from, self.recipient)] if is_hostname(self.client[4:]) else []
        address = parse_ip(self.client)
        if address is None:
            return []
        prefix = ipv4_prefix if address.version == 4 else ipv6_prefix
        clients = [str(ipaddress.ip_network((address, prefix), strict=False))]
        if self.count > 0 and is_hostname(domain):
            clients.append(f"spf:{domain}")
        return [Triplet(client, self.mail_from, self.recipient) for client in clients]

    @property
    def record(self) -> Record:
        return Record(self.first_seen, self.last_seen, self.last_seen if self.count > 0 else None, self.count + 1)


def read_greylist(path: Path) -> Iterator[Grey | Unread]:
    """The rows of a greylist of the original milter: an SQLite file (Milter.greysql), a Berkeley DB hash of pickles
    (Milter.greylist), or CSV in the columns of Milter.greylist.Greylist.export_csv(). Raises NotReadable and OSError."""
    with path.open("rb") as file:
        head = file.read(16)
    if head == b"SQLite format 3\0":
        yield from _of_sqlite(path)
    elif b"\0" in head:
        yield from _of_shelf(path)
    else:
        yield from _of_csv(path)


def _of_sqlite(path: Path) -> Iterator[Grey | Unread]:
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        try:
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA cell_size_check = ON")
            connection.text_factory = lambda octets: from_wire(octets, MAX_LINE)
            # A view of that name could run for ever.
            kinds = connection.execute("SELECT type FROM sqlite_schema WHERE name = 'greylist'").fetchall()
            if kinds != [("table",)]:
                raise NotReadable("has no table greylist")
            columns = "rowid, ip, sender, recipient, firstseen, lastseen, cnt"
            for number, *row in connection.execute(f"SELECT {columns} FROM greylist"):
                yield _grey(f"row {number}", row)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise NotReadable(f"SQLite: {error}") from error


def _of_shelf(path: Path) -> Iterator[Grey | Unread]:
    try:
        for key, pickled in read_hash(path):
            where = f"entry {from_wire(key, 60)}"
            parts = from_wire(key, MAX_LINE).rsplit(":", 2)
            values = _in_pickle(pickled)
            if len(parts) < 3 or values is None:
                yield Unread(where, "is no entry of a greylist")
                continue
            client, sender, recipient = parts
            times = [values.get(name) for name in ("firstseen", "lastseen", "cnt")]
            yield _grey(where, [client, unquote(sender), unquote(recipient), *times])
    except BerkeleyDBError as error:
        raise NotReadable(str(error)) from error


_FIELDS = frozenset({"firstseen", "lastseen", "cnt", "umis"})
_NO_VALUE = re.compile("PUT|MEMOIZE|MARK|FRAME")


def _in_pickle(octets: bytes) -> dict[str, Any] | None:
    """The fields of a pickled Milter.greylist.Record, read from its opcodes: nothing is built, looked up or called."""
    found: dict[str, Any] = {}
    field = ""
    if len(octets) > MAX_RECORD:
        return None
    try:
        for opcode, value, _ in pickletools.genops(octets):
            if _NO_VALUE.search(opcode.name):
                continue
            if field:
                found.setdefault(field, value)
                field = ""
            elif isinstance(value, str) and value in _FIELDS:
                field = value
    except (ValueError, struct.error, OverflowError):
        return None
    return found


def _of_csv(path: Path) -> Iterator[Grey | Unread]:
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        rows = csv.reader(_short_lines(file))
        while True:
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                yield Unread(f"line {rows.line_num}", str(error))
                continue
            if row:
                yield _grey(f"line {rows.line_num}", row[:6])


def _short_lines(file: IO[str]) -> Iterable[str]:
    while line := file.readline(MAX_LINE):
        yield line


def _grey(where: str, row: list[Any]) -> Grey | Unread:
    try:
        client, mail_from, recipient, first_seen, last_seen, count = row
        first, last, number = float(first_seen), float(last_seen), int(count)
    except (ValueError, TypeError, OverflowError):
        return Unread(where, "has not the columns of a greylist")
    if not all(isinstance(text, str) for text in (client, mail_from, recipient)):
        return Unread(where, "has no text where an address should be")
    if not (math.isfinite(first) and math.isfinite(last) and 0 <= first <= last and 0 <= number < 1 << 31):
        return Unread(where, "has times or a count that are not possible")
    return Grey(where, client.strip(), _address(mail_from), _address(recipient), first, last, number)


def _address(text: str) -> str:
    return from_wire(text.strip().removeprefix("<").removesuffix(">"), 320)
