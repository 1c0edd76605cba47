"""A database of any size of which a little is outdated in every table: what housekeeping looks through."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import sqlalchemy as sa

from antispam.store.packed import PackedJson
from antispam.store.schema import metadata
from dspam.schema import State
from dspam.store.records import TOKEN, Deltas, Totals

NOW = 1_700_000_000.0
DAY = 86_400.0
_EVERY = 20  # one row of so many is outdated
_BATCH = 2000
_KINDS = ("whitelist", "blacklist", "banned-ip", "banned-domain")


def fill(engine: sa.Engine, rows: int, tables: tuple[str, ...] = ()) -> None:
    """Put that many rows into each of the tables that grow with the mail, or into those that are named."""
    for table in metadata.sorted_tables:
        if tables and table.name not in tables:
            continue
        made = _users() if table.name == "dspam_user" else (_row(table, number) for number in range(rows))
        if table.name in ("preference", "preference_group", "shared_secret", "dspam_fold"):
            continue
        rest = iter(made)
        while batch := list(itertools.islice(rest, _BATCH)):
            with engine.begin() as connection:
                connection.execute(sa.insert(table), batch)


def _users() -> Iterator[dict[str, Any]]:
    for number in range(1, 11):
        columns = (column.name for column in metadata.tables["dspam_user"].columns)
        yield dict.fromkeys(columns, 0) | {"id": number, "name": f"user{number}"}


def _row(table: sa.Table, number: int) -> dict[str, Any]:
    """A row with a value in each column, of the column's kind."""
    row = {column.name: _value(column, number) for column in table.columns if column.autoincrement is not True}
    exact: dict[str, Any] = _EXACT.get(table.name, lambda number: {})(number)
    return row | exact


def _value(column: sa.Column[Any], number: int) -> Any:
    match column.type:
        case sa.Boolean():
            return False
        case sa.Double():
            return 1.0 if number % _EVERY == 0 else NOW - 60.0
        case PackedJson():
            return "[]"
        case sa.LargeBinary():
            return b"x" * 100
        case sa.String():
            return f"{column.name[:4]}{number}"[: column.type.length or 100]
        case _:
            return number % 1000 + 1


def _training(number: int) -> dict[str, Any]:
    old = number % _EVERY == 0
    state = State.FOLDED if number % 2 else State.SPENT
    state = State.PENDING if number < 20 else state
    keys = np.sort(np.random.default_rng(number).integers(1, 2**62, 50))
    return {
        "user_id": number % 10 + 1,
        "is_spam": 1,
        "sign": 1,
        "state": int(state),
        "trained_at": NOW - 3000 * DAY if old else NOW - DAY,
        "content": Deltas(keys, np.ones((50, 3), dtype=np.int32), Totals(spam_learned=1)).pack(),
    }


def _page(number: int) -> dict[str, Any]:
    tokens = np.zeros(100, dtype=TOKEN)
    tokens["key"] = number * 1000 + np.arange(1, 101)
    tokens["spam"], tokens["weight"] = 3, 1
    tokens["day"] = 1 if number % _EVERY == 0 else int(NOW // DAY)
    return {"user_id": number % 10 + 1, "start": number * 1000 + 1, "content": tokens.tobytes()}


def _vote(number: int) -> dict[str, Any]:
    voted = number % 3 == 0
    return {
        "identity": f"domain{number % 997}.example:SPF",
        "asked_at": NOW - 1000 * DAY if number % _EVERY == 0 else NOW - DAY,
        "voted_at": NOW - 100.0 if voted else None,
        "vote": 1 if voted else None,
        "number": number % 1000 if voted and number > 2000 else None,
        "told": 1 if voted and number > 2000 else None,
    }


def _end(number: int) -> float:
    """When a row expires."""
    return 1.0 if number % _EVERY == 0 else NOW + DAY


def _sum(number: int) -> dict[str, Any]:
    begins = 0.0 if number % _EVERY == 0 else NOW // 900 * 900 - 900.0 * number
    return {"kind": ("numbers", "names")[number % 2], "begins": begins, "folded": int(number > 20), "content": "{}"}


_EXACT: dict[str, Any] = {
    "history_sum": _sum,
    "dspam_training": _training,
    "dspam_page": _page,
    "dspam_signature": lambda number: {"user_id": number % 10 + 1},
    "greylist": lambda number: {"passed_at": None if number % 3 else NOW - 90 * DAY},
    "sender_list": lambda number: {"kind": _KINDS[number % 4], "expires_at": 1.0 if number % _EVERY < 4 else NOW + DAY},
    "callback": lambda number: {"noticed_at": None if number % 7 else NOW - (90 if number % 2 else 1) * DAY},
    "outbox": lambda number: {
        "recipients": '["a@example.com"]',
        "next_at": None,
        "sent_at": 1.0 if number % _EVERY == 0 else NOW - 60.0,
        "failed_at": None,
    },
    "quarantine_entry": lambda number: {
        "user_name": f"user{number % 1000}",
        "outbox_id": None,
        "recipients": '["a@example.com"]',
        "released_at": None if number % 5 else NOW - 90 * DAY,
    },
    "reputation": lambda number: {"size": 1024, "total": number % 50, "ham": b"\0" * 128, "unsure": b"\0" * 128},
    "reputation_vote": _vote,
    "fingerprint_report": lambda number: {"message": number, "trusted": False, "expires_at": _end(number)},
    "fingerprint": lambda number: {"expires_at": _end(number)},
    "dmarc_result": lambda number: {"day": 1 if number % _EVERY == 0 else int(NOW // DAY)},
    "dmarc_received": lambda number: {"report": f"{number:064x}", "stored_at": _end(number)},
    "fingerprint_common": lambda number: {"mark": number},
}
