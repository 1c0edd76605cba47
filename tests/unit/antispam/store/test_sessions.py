"""Sessions, links and wrong passwords of the console, on every database."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from antispam.store import Store, accounts, login_failures, sessions
from antispam.store.accounts import Account, Login, Role
from antispam.store.sessions import How

pytestmark = pytest.mark.every_database

NOW = 1_700_000_000.0


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    with contextlib.closing(Store(database_url)) as opened:
        accounts.add(opened, Account("bob", Role.USER, "", (), Login.SITE), NOW)
        yield opened


def test_a_session_ends_by_itself_or_when_nobody_uses_it(store: Store) -> None:
    secret = sessions.begin(store, "bob", How.SITE, NOW, 1000.0)
    for now, lives in ((NOW + 90, True), (NOW + 180, True), (NOW + 281, False)):
        assert (sessions.find(store, secret, now, 100.0) is not None) == lives
    assert sessions.find(store, secret, NOW + 1000, 1e6) is None


def test_a_link_is_redeemed_once(store: Store) -> None:
    link = sessions.offer(store, "bob", NOW, 100.0)
    assert sessions.offered(store, link, NOW) == "bob"
    secret = sessions.redeem(store, link, NOW, 1000.0)
    found = sessions.find(store, secret, NOW, 100.0)
    assert found is not None
    assert (found.account.login, found.how) == (Login.SITE, How.LINK)
    assert sessions.redeem(store, link, NOW, 1000.0) == ""


def test_a_name_in_letters_that_only_look_different_has_no_tries_of_its_own(store: Store) -> None:
    """The site's servers are asked for the NFKC form of a name."""
    fullwidth = "\N{FULLWIDTH LATIN SMALL LETTER B}ob"
    assert [login_failures.attempt(store, name, NOW, 2) for name in ("bob", fullwidth, f" {fullwidth} ")] == [0, 0, 1]


def test_wrong_passwords_count_until_a_session_begins(store: Store) -> None:
    waits = [login_failures.attempt(store, name, NOW, 2) for name in ("bob", "BOB", "bob")]
    assert waits == [0, 0, 1]
    sessions.begin(store, "bob", How.PASSWORD, NOW, 1000.0)
    assert login_failures.attempt(store, "bob", NOW, 2) == 0
