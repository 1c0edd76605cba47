"""A store of so many rows, filled in bulk: the mail of thirty days, the same for the same numbers."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from antispam.store import Store, history_sums
from antispam.store.packed import pack
from antispam.store.schema import metadata
from dspam.store.records import TOKEN

DAYS = 30
MOST_KEPT = 1_000_000  # entries of the quarantine
_DAY = 86_400.0
_BATCH = 5000
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
_RECIPIENT = (
    '[{"address":"user@example.com","findings":{"score":{"total":%d.4,"tests":[{"test":"DKIM_NONE","points":0.2}]}}}]'
)
_RAW = b"From: Eve <eve@shop.example>\r\nSubject: offer\r\n\r\n" + b"Buy now, it is gone tomorrow.\r\n" * 30


def user_of(number: int, rows: int) -> str:
    """Whose the message of that number is: each user has about as many, whatever the size. Bob has the first."""
    place = number % max(1, rows // _OF_A_USER)
    return f"user{place}" if place else "bob"


def ref_of(number: int) -> str:
    """The reference of the message of that number."""
    return f"m{number:011d}"


def fill(store: Store, rows: int, now: float) -> None:
    """So many messages in the history, triplets in the greylist, and tokens in the dictionary of the site; entries in the
    quarantine, up to MOST_KEPT."""
    _put(store, "history", (_message(number, rows, now) for number in range(rows)))
    _put(store, "history_address", (row for number in range(rows) for row in _people(number, rows, now)))
    _put(store, "history_sum", _sums(rows, now))
    while history_sums.fold(store):
        pass
    _put(store, "greylist", (_triplet(number, now) for number in range(rows)))
    kept = min(rows, MOST_KEPT)
    _put(store, "stored_message", (_stored(number, kept, now) for number in range(kept)))
    _put(store, "quarantine_entry", (_entry(number, kept, now) for number in range(kept)))
    _put(store, "dspam_page", _pages(store, rows, now))
    analyze(store)


def analyze(store: Store) -> None:
    """What a server's planner does by itself, and SQLite's does not."""
    with store._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if store.dialect == "postgresql":
            connection.exec_driver_sql("VACUUM ANALYZE")


def _put(store: Store, name: str, rows: Iterable[dict[str, Any]]) -> None:
    # As stored, by the driver alone: what is packed was packed once, and a hundred million values are not looked at.
    rest = iter(rows)
    if (first := next(rest, None)) is None:
        return
    mark = "?" if store.dialect == "sqlite" else "%s"
    insert = f"INSERT INTO {name} ({', '.join(first)}) VALUES ({', '.join([mark] * len(first))})"
    batches = itertools.chain([first], rest)
    while batch := [tuple(row.values()) for row in itertools.islice(batches, _BATCH)]:
        with store.write(durable=False) as connection:
            connection.exec_driver_sql(insert, batch)


def _at(number: int, rows: int, now: float) -> float:
    return now - DAYS * _DAY * (rows - number) / rows


_PACKED = {text: pack(text) for text in (*_DECISIONS, _FINDINGS, *(_RECIPIENT % score for score in range(10)))}


def _message(number: int, rows: int, now: float, *, packed: bool = True) -> dict[str, Any]:
    stopped = number % 3 == 0
    texts = {
        "recipients": _RECIPIENT % (number % 10),
        "findings": _FINDINGS,
        "decisions": _DECISIONS[stopped],
    }
    return {
        "ref": ref_of(number),
        "received_at": _at(number, rows, now),
        "node": "mx1",
        "queue_id": f"Q{number:010X}",
        "client_ip": f"192.0.{number * 7 % 64}.{number * 13 % 256}",
        "client_name": f"mx{number % _SENDERS}.example",
        "helo": f"mx{number % _SENDERS}.example",
        "mail_from": f"bounce{number % 97}@d{number % _SENDERS}.example",
        "message_id": f"{number}@d{number % _SENDERS}.example",
        "author": f"eve{number % 97}@d{number % _SENDERS}.example",
        "subject": f"Offer {number} of the week",
        "size": 10_000,
        "action": "reject" if stopped else "continue",
        "code": 550 if stopped else 0,
        "reason": "fail for d1.example" if stopped else "",
    } | ({name: _PACKED[text] for name, text in texts.items()} if packed else texts)


def _sums(rows: int, now: float) -> Iterator[dict[str, Any]]:
    for _, some in itertools.groupby(range(rows), lambda number: _at(number, rows, now) // 900):
        for one in history_sums.sums_of(_message(number, rows, now, packed=False) for number in some):
            # The names of a day are folded below; of the numbers each quarter of an hour has one row already.
            yield one | {"folded": int(one["kind"] == "numbers")}


def _people(number: int, rows: int, now: float) -> Iterator[dict[str, Any]]:
    common = {"received_at": _at(number, rows, now), "ref": ref_of(number)}
    domain = f"d{number % _SENDERS}.example"
    became = "refused" if number % 3 == 0 else "delivered"
    yield {"domain": domain, "local": f"bounce{number % 97}", "role": "sender", "became": None} | common
    yield {"domain": domain, "local": f"eve{number % 97}", "role": "author", "became": None} | common
    user = user_of(number, rows)
    yield {"domain": "example.com", "local": user, "role": "recipient", "became": became} | common


def _seen(number: int, now: float) -> float:
    """Within the last day, each triplet at another time, as clocks have it."""
    return now - 0.0071 * number % _DAY


def _triplet(number: int, now: float) -> dict[str, Any]:
    return {
        "triplet": f"{number * 2654435761 % 2**64:064x}",
        "client": f"192.0.{number % 64}.0/24",
        "mail_from": f"bounce{number}@d{number % _SENDERS}.example",
        "recipient": "user@example.com",
        "first_seen": now - 7 * _DAY,
        "last_seen": _seen(number, now),
        "passed_at": None if number % 3 else _seen(number, now),
        "attempts": 2,
    }


def _stored(number: int, rows: int, now: float) -> dict[str, Any]:
    return {"ref": ref_of(number), "stored_at": _at(number, rows, now), "content": _RAW}


def _entry(number: int, rows: int, now: float) -> dict[str, Any]:
    user = user_of(number, rows)
    return {
        "ref": ref_of(number),
        "user_name": user,
        "received_at": _at(number, rows, now),
        "mail_from": f"bounce{number % 97}@d{number % _SENDERS}.example",
        "author": f"eve{number % 97}@d{number % _SENDERS}.example",
        "recipients": f'["{user}@example.com"]',
        "subject": f"Offer {number} of the week",
        "size": len(_RAW),
        "check_name": "spam_action",
        "action": "quarantine",
        "reason": "score 7.1 reaches 6.0",
        "score": number % 1000 / 1000,
        "outbox_id": None,
        "released_at": None,
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
