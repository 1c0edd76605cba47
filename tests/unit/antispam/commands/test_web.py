"""`run --first-login`: where the console is, and how somebody gets in who has no password yet."""

from __future__ import annotations

import re

import pytest

from antispam.commands.web import first_login_lines
from antispam.service.application import ConfigError
from antispam.store import accounts
from antispam.store.accounts import Role


def _lines(place, name="admin"):
    return "\n".join(first_login_lines(place.console.settings, name))


@pytest.fixture
def empty(place):
    """A console without accounts."""
    for account in accounts.every(place.store):
        accounts.remove(place.store, account.name)
    return place


def test_the_first_account_is_an_administrator_with_a_link(empty):
    link = re.search(r"http://127\.0\.0\.1:1(/enter/\S+)", _lines(empty))
    assert link is not None
    assert empty.client().post(link[1], data={}).headers["location"] == "/account"
    found = accounts.get(empty.store, "admin")
    assert found is not None
    assert found.role is Role.ADMINISTRATOR


def test_whoever_has_not_chosen_a_password_gets_another_link(empty):
    first = _lines(empty)
    assert _lines(empty) != first
    assert "/enter/" in _lines(empty)


def test_where_there_are_accounts_nobody_is_let_in(place):
    """Only the address is said: the link would be a way around the others' passwords."""
    said = _lines(place)
    assert "http://127.0.0.1:1/" in said
    assert "/enter/" not in said
    assert accounts.get(place.store, "admin") is None


def test_an_account_with_a_password_gets_no_link(place):
    assert "/enter/" not in _lines(place, "ann")


def test_without_an_address_it_says_what_to_write(tmp_path):
    from bms import JOURNEY

    from antispam.service.application import settings_classes
    from antispam.settings import load_text

    settings = load_text(f"[milter]\ndatadir = {tmp_path}\n", settings_classes(JOURNEY))
    with pytest.raises(ConfigError, match="listen is empty"):
        first_login_lines(settings, "admin")
