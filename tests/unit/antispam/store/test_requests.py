"""Release requests, on every database: one for a message, decided once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from antispam.store import Store, migrate, requests

pytestmark = pytest.mark.every_database

NOW = 1_700_000_000.0


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    migrate(database_url)
    with contextlib.closing(Store(database_url)) as opened:
        yield opened


def test_a_user_asks_once_for_a_message(store: Store) -> None:
    assert [requests.ask(store, "aaa", user, NOW) for user in ("bob", "bob", "Bob")] == [True, False, True]
    assert requests.open_ones(store) == 2
    assert [one.user for one in requests.of_users(store, ["bob", "carol"], 10)] == ["bob"]


def test_a_request_is_decided_once_and_can_wait_again(store: Store) -> None:
    requests.ask(store, "aaa", "bob", NOW)
    (asked,) = requests.undecided(store, 10)
    said = [
        requests.decide(store, asked.number, granted=True, by=by, answer="ja \0", now=NOW) for by in ("ann", "helen")
    ]
    assert said == [True, False]
    (decided,) = requests.decided(store, 10)
    assert (decided.granted, decided.decided_by, decided.answer) == (True, "ann", r"ja \x00")
    requests.reopen(store, asked.number)
    assert requests.undecided(store, 10) == [asked]
