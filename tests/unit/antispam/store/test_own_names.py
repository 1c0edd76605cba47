"""Names of our users."""

from __future__ import annotations

import hashlib

import pytest
import sqlalchemy as sa

from antispam.store import own_names
from antispam.store.schema import own_name

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


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def learned_elsewhere(store, name, at=NOW):
    """As another worker learns it: the filter of this one is not told."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    row = {"digest": digest, "name": name, "address": "a@example.com", "seen_at": at}
    with store.write() as connection:
        connection.execute(sa.insert(own_name).values(row))
    return digest


def test_what_another_worker_learned_counts_within_a_second(store):
    known = own_names.NameFilter(store, clock := Clock())
    learned_elsewhere(store, "ann smith")
    assert not known.may_have(learned := hashlib.sha256(b"bob jones").hexdigest())
    assert learned_elsewhere(store, "bob jones", NOW - 30.0) == learned, "by a clock that is a little slow"
    assert not known.may_have(learned)
    clock.now += own_names.REFRESH
    assert known.may_have(learned)


def test_what_this_worker_learned_counts_at_once(store):
    assert own_names.of_us(store, "ann smith") == ""
    own_names.learn(store, "ann smith", "ann@example.com", NOW)
    assert own_names.of_us(store, "ann smith") == "ann@example.com"


def test_the_database_is_not_asked_about_a_name_that_nobody_has(store, monkeypatch):
    own_names.learn(store, "ann smith", "ann@example.com", NOW)
    assert own_names.of_us(store, "x y") == ""
    own_names.filter_of(store)._next = 1e12
    monkeypatch.setattr(store, "read", lambda deadline: pytest.fail("asked"))
    assert own_names.of_us(store, "u v") == ""


def test_too_many_names_are_asked_for_one_by_one(store, monkeypatch):
    monkeypatch.setattr(own_names, "_MOST", 1)
    digest = learned_elsewhere(store, "ann smith")
    learned_elsewhere(store, "bob jones")
    known = own_names.NameFilter(store)
    assert known.may_have(digest)
    assert known.may_have(hashlib.sha256(b"x y").hexdigest())
