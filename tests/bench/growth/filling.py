"""A store of so many rows, filled in bulk: the mail of thirty days, the same for the same numbers.

The database makes the rows itself, by statements that SQLite and PostgreSQL understand alike: ten million rows of Python would
take an hour. Indexes are made at the end, since a sorted whole is quicker than rows one by one.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import sqlalchemy as sa

from antispam.store import Store, history_sums
from antispam.store.packed import pack
from antispam.store.schema import metadata
from dspam.store.records import TOKEN

DAYS = 30
MOST_KEPT = 1_000_000  # entries of the quarantine
SUMMED = 300  # messages of each quarter of an hour from which its sums are made: as many names as are kept of a day
_DAY = 86_400.0
_BATCH = 100_000  # rows a transaction
_SENDERS = 5000
_OF_A_USER = 1000  # messages
_DECISIONS = (
    '[{"check":"connection"},{"check":"spf","reason":"SPF pass for d1.example"},{"check":"dkim","reason":"DKIM none"}]',
    '[{"check":"spf","action":"reject","code":550,"reason":"fail","enhanced":"5.7.23","text":"SPF says no"}]',
)
_FINDINGS = (
    '{"spf":{"mailfrom":{"result":"pass","identity":"mailfrom","domain":"d1.example","ip":"192.0.2.1","mechanism":"ip4:"}},'
    '"dkim":{"author":"@d1.example"},"connection":{"iprev":"pass","ip":"192.0.2.1"}}'
)
_TESTS = '{"total":TOTAL.4,"tests":[{"test":"DKIM_NONE","points":0.2}]}'
_RECIPIENT = '[{"address":"user@example.com","findings":{"score":' + _TESTS + "}}]"
_RECIPIENTS = tuple(_RECIPIENT.replace("TOTAL", str(score)) for score in range(10))
_RAW = b"From: Eve <eve@shop.example>\r\nSubject: offer\r\n\r\n" + b"Buy now, it is gone tomorrow.\r\n" * 30
_VALUES = {
    "findings": pack(_FINDINGS),
    "passed": pack(_DECISIONS[0]),
    "stopped": pack(_DECISIONS[1]),
    "raw": _RAW,
} | {f"recipient{score}": pack(text) for score, text in enumerate(_RECIPIENTS)}
_DOMAIN = f"'d' || (n % {_SENDERS}) || '.example'"  # in SQLite, || comes before %
_REF = "'m' || substr(CAST(100000000000 + n AS TEXT), 2)"


def user_of(number: int, rows: int) -> str:
    """Whose the message of that number is: each user has about as many, whatever the size. Bob has the first."""
    place = number % max(1, rows // _OF_A_USER)
    return f"user{place}" if place else "bob"


def ref_of(number: int) -> str:
    """The reference of the message of that number."""
    return f"m{number:011d}"


def queue_id_of(number: int) -> str:
    """The queue ID of the message of that number."""
    return f"Q{number:010d}"


def fill(store: Store, rows: int, now: float) -> None:
    """So many messages in the history, triplets in the greylist, and tokens in the dictionary of the site; entries in the
    quarantine, up to MOST_KEPT."""
    kept = min(rows, MOST_KEPT)
    with without_indexes(store, "history", "history_address", "greylist", "stored_message", "quarantine_entry"):
        add_mail(store, rows, now, 0, rows)
        add_triplets(store, rows, now, 0, rows)
        add_kept(store, kept, now, 0, kept)
    add_sums(store, rows, now, 0, rows)
    _put(store, "dspam_page", _pages(store, rows, now))
    analyze(store)


def add_mail(store: Store, rows: int, now: float, start: int, stop: int) -> None:
    """The messages of those numbers, of `rows` in thirty days until `now`: history and addresses."""
    _generate(store, "history", _messages(rows, now), start, stop)
    for people in _people(rows, now):
        _generate(store, "history_address", people, start, stop)


def add_triplets(store: Store, rows: int, now: float, start: int, stop: int) -> None:
    """The triplets of those numbers, of `rows`."""
    _generate(store, "greylist", _triplets(rows, now), start, stop)


def add_kept(store: Store, rows: int, now: float, start: int, stop: int) -> None:
    """The entries of the quarantine of those numbers, of `rows` in thirty days until `now`, with their messages."""
    _generate(store, "stored_message", {"ref": _REF, "stored_at": _at(rows, now), "content": ":raw"}, start, stop)
    _generate(store, "quarantine_entry", _entries(rows, now), start, stop)


def add_sums(store: Store, rows: int, now: float, start: int, stop: int) -> None:
    """What the messages of those numbers add up to, as far as SUMMED goes, folded."""
    _put(store, "history_sum", _sums(rows, now, start, stop))
    while history_sums.fold(store):
        pass


def analyze(store: Store) -> None:
    """What a server's planner does by itself, and SQLite's does not."""
    if store.dialect == "postgresql":
        with store._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")


@contextlib.contextmanager
def without_indexes(store: Store, *names: str) -> Iterator[None]:
    """These tables have no indexes meanwhile, but for what makes their rows unique."""
    indexes = [
        index for name in names for index in sorted(metadata.tables[name].indexes, key=lambda one: str(one.name))
    ]
    with store.write(durable=False) as connection:
        for index in indexes:
            index.drop(connection)
    yield
    for index in indexes:
        with store.write(durable=False) as connection:
            if store.dialect == "sqlite":
                connection.exec_driver_sql("PRAGMA cache_size = -500000")  # it sorts in what it may cache
            index.create(connection)


def _generate(store: Store, table: str, columns: Mapping[str, str], start: int, stop: int) -> None:
    """Rows of the numbers n from start to before stop, each column by an expression of n."""
    values = {name: value for name, value in _VALUES.items() if f":{name}" in " ".join(columns.values())}
    for first in range(start, stop, _BATCH):
        last = min(stop, first + _BATCH) - 1
        numbers = f"SELECT CAST({first} AS BIGINT) UNION ALL SELECT n + 1 FROM numbers WHERE n < {last}"
        made = f"WITH RECURSIVE numbers(n) AS ({numbers}) SELECT {', '.join(columns.values())} FROM numbers"
        with store.write(durable=False) as connection:
            connection.execute(sa.text(f"INSERT INTO {table} ({', '.join(columns)}) {made}"), values)


def _put(store: Store, name: str, rows: Iterable[dict[str, Any]]) -> None:
    # As stored, by the driver alone.
    rest = iter(rows)
    if (first := next(rest, None)) is None:
        return
    mark = "?" if store.dialect == "sqlite" else "%s"
    insert = f"INSERT INTO {name} ({', '.join(first)}) VALUES ({', '.join([mark] * len(first))})"
    batches = itertools.chain([first], rest)
    while batch := [tuple(row.values()) for row in itertools.islice(batches, 5000)]:
        with store.write(durable=False) as connection:
            connection.exec_driver_sql(insert, batch)


def _real(number: float) -> str:
    return f"CAST({number!r} AS DOUBLE PRECISION)"


def _at(rows: int, now: float) -> str:
    return f"{_real(now - DAYS * _DAY)} + {_real(DAYS * _DAY / rows)} * n"


def _time(number: int, rows: int, now: float) -> float:
    return now - DAYS * _DAY + DAYS * _DAY / rows * number


def _messages(rows: int, now: float) -> dict[str, str]:
    scores = " ".join(f"WHEN {score} THEN :recipient{score}" for score in range(1, 10))
    return {
        "ref": _REF,
        "received_at": _at(rows, now),
        "node": "'mx1'",
        "queue_id": "'Q' || substr(CAST(10000000000 + n AS TEXT), 2)",
        "client_ip": "'192.0.' || (n * 7 % 64) || '.' || (n * 13 % 256)",
        "client_name": f"'mx' || (n % {_SENDERS}) || '.example'",
        "helo": f"'mx' || (n % {_SENDERS}) || '.example'",
        "mail_from": f"'bounce' || (n % 97) || '@' || {_DOMAIN}",
        "message_id": f"n || '@' || {_DOMAIN}",
        "author": f"'eve' || (n % 97) || '@' || {_DOMAIN}",
        "subject": "'Offer ' || n || ' of the week'",
        "size": "10000",
        "action": "CASE WHEN n % 3 = 0 THEN 'reject' ELSE 'continue' END",
        "code": "CASE WHEN n % 3 = 0 THEN 550 ELSE 0 END",
        "reason": "CASE WHEN n % 3 = 0 THEN 'fail for d1.example' ELSE '' END",
        "recipients": f"CASE n % 10 {scores} ELSE :recipient0 END",
        "findings": ":findings",
        "decisions": "CASE WHEN n % 3 = 0 THEN :stopped ELSE :passed END",
    }


def _user(rows: int) -> str:
    place = f"n % {max(1, rows // _OF_A_USER)}"
    return f"CASE WHEN {place} = 0 THEN 'bob' ELSE 'user' || ({place}) END"


def _people(rows: int, now: float) -> Iterator[dict[str, str]]:
    common = {"received_at": _at(rows, now), "ref": _REF}
    yield {"domain": _DOMAIN, "local": "'bounce' || (n % 97)", "role": "'sender'"} | common
    yield {"domain": _DOMAIN, "local": "'eve' || (n % 97)", "role": "'author'"} | common
    became = {"became": "CASE WHEN n % 3 = 0 THEN 'refused' ELSE 'delivered' END"}
    yield {"domain": "'example.com'", "local": _user(rows), "role": "'recipient'"} | common | became


def _summed(number: int, rows: int, now: float) -> dict[str, Any]:
    """What sums are made from, as _messages() makes it."""
    stopped, domain = number % 3 == 0, f"d{number % _SENDERS}.example"
    return {
        "ref": ref_of(number),
        "received_at": _time(number, rows, now),
        "client_ip": f"192.0.{number * 7 % 64}.{number * 13 % 256}",
        "client_name": f"mx{number % _SENDERS}.example",
        "helo": f"mx{number % _SENDERS}.example",
        "mail_from": f"bounce{number % 97}@{domain}",
        "action": "reject" if stopped else "continue",
        "reason": "fail for d1.example" if stopped else "",
        "recipients": _RECIPIENTS[number % 10],
        "decisions": _DECISIONS[stopped],
    }


def _sums(rows: int, now: float, start: int, stop: int) -> Iterator[dict[str, Any]]:
    for _, some in itertools.groupby(range(start, stop), lambda number: _time(number, rows, now) // 900):
        for one in history_sums.sums_of(_summed(number, rows, now) for number in itertools.islice(some, SUMMED)):
            # The names of a day are folded afterwards; of the numbers each quarter of an hour has one row already.
            yield one | {"folded": int(one["kind"] == "numbers")}


def _triplets(rows: int, now: float) -> dict[str, str]:
    """Each was seen at another time of the last day, and keys are as far apart as digests are."""
    seen = f"{_real(now)} - {_real(_DAY / 10_000_019)} * (n * 48271 % 10000019)"
    return {
        "triplet": f"({10**18} + n * {8 * 10**18 // rows}) || '{'0' * 45}'",
        "client": "'192.0.' || (n % 64) || '.0/24'",
        "mail_from": f"'bounce' || n || '@' || {_DOMAIN}",
        "recipient": "'user@example.com'",
        "first_seen": _real(now - 7 * _DAY),
        "last_seen": seen,
        "passed_at": f"CASE WHEN n % 3 <> 0 THEN NULL ELSE {seen} END",
        "attempts": "2",
    }


def _entries(rows: int, now: float) -> dict[str, str]:
    return {
        "ref": _REF,
        "user_name": _user(rows),
        "received_at": _at(rows, now),
        "mail_from": f"'bounce' || (n % 97) || '@' || {_DOMAIN}",
        "author": f"'eve' || (n % 97) || '@' || {_DOMAIN}",
        "recipients": f"'[\"' || ({_user(rows)}) || '@example.com\"]'",
        "subject": "'Offer ' || n || ' of the week'",
        "size": str(len(_RAW)),
        "check_name": "'spam_action'",
        "action": "'quarantine'",
        "reason": "'score 7.1 reaches 6.0'",
        "score": f"n % 1000 / {_real(1000.0)}",
    }


def _pages(store: Store, tokens: int, now: float) -> Iterator[dict[str, Any]]:
    """A dictionary of so many words, as two thousand messages each way may have left it."""
    counts = {column.name: 0 for column in metadata.tables["dspam_user"].columns}
    counts |= {"id": 1, "tokens": tokens, "spam_learned": 2000, "ham_learned": 2000}
    _put(store, "dspam_user", [counts | {"name": "site", "created_at": now}])
    keys = np.sort(np.random.default_rng(1).integers(-(2**63), 2**63 - 1, tokens))
    for start in range(0, tokens, 100):
        page = np.zeros(min(100, tokens - start), dtype=TOKEN)
        page["key"], page["spam"], page["weight"] = keys[start : start + 100], 3, 1
        page["day"] = int(now // _DAY)
        yield {"user_id": 1, "start": int(page["key"][0]), "content": page.tobytes()}
