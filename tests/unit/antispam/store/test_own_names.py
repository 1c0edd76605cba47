"""Names of our users."""

from __future__ import annotations

import pytest

from antispam.store import own_names

pytestmark = pytest.mark.every_database

NOW = 1_000_000.0
DAY = 86400.0


def test_a_name_is_found_with_the_address_that_used_it_last(store):
    own_names.learn(store, "ann smith", "ann@example.com", NOW)
    own_names.learn(store, "ann smith", "a.smith@example.com", NOW + 1)
    own_names.learn(store, "Анна петрова", "anna@example.com", NOW)
    assert own_names.of_us(store, "ann smith") == "a.smith@example.com"
    assert own_names.of_us(store, "Анна петрова") == "anna@example.com"
    assert own_names.of_us(store, "x y") == ""


def test_who_has_not_written_for_long_is_forgotten(store):
    own_names.learn(store, "ann smith", "ann@example.com", NOW)
    own_names.learn(store, "bob jones", "bob@example.com", NOW)
    own_names.learn(store, "ann smith", "ann@example.com", NOW + 2 * DAY)
    assert own_names.purge(store, NOW + DAY) == 1
    assert (own_names.of_us(store, "ann smith"), own_names.of_us(store, "bob jones")) == ("ann@example.com", "")
