"""What is remembered of senders that were called back."""

from __future__ import annotations

import concurrent.futures

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antispam.protocols.callback_dialogue import Outcome, Verification
from antispam.store import callbacks

pytestmark = pytest.mark.every_database

NOW = 1_700_000_000.0
DAY = 86400.0


def notice(store, ref, now, address="ann@example.org"):
    with store.write() as connection:
        return callbacks.may_notice(store, connection, address, ref, now, DAY)


def test_what_was_found_is_good_until_it_expires(store):
    found = Verification(Outcome.FAILED, "550 no", "mx.example.org", null_mx=True)
    callbacks.remember(store, "ann@example.org", found, NOW, 100)
    assert callbacks.recall(store, "ann@EXAMPLE.org", NOW + 99) == found
    assert callbacks.recall(store, "ann@example.org", NOW + 100) is None
    assert callbacks.recall(store, "Ann@example.org", NOW) is None


def test_what_is_found_later_takes_its_place(store):
    callbacks.remember(store, "ann@example.org", Verification(Outcome.TEMPORARY), NOW, 100)
    callbacks.remember(store, "ann@example.org", Verification(Outcome.OK), NOW + 1, 100)
    assert callbacks.recall(store, "ann@example.org", NOW + 2).outcome is Outcome.OK


def test_what_a_clock_that_was_ahead_has_noted_does_not_count(store):
    callbacks.remember(store, "ann@example.org", Verification(Outcome.OK), NOW + 10 * DAY, 100)
    assert callbacks.recall(store, "ann@example.org", NOW) is None


def test_one_message_a_day_is_written_about(store):
    assert notice(store, "one", NOW)
    assert notice(store, "one", NOW)  # the same message, once more
    assert not notice(store, "two", NOW + 1)
    assert notice(store, "three", NOW + DAY)
    assert not notice(store, "four", NOW + DAY + 1)


def test_a_clock_that_was_ahead_keeps_nobody_from_being_written_to(store):
    assert notice(store, "one", NOW + 100 * DAY)
    assert notice(store, "two", NOW)


def test_writing_and_finding_do_not_touch_each_other(store):
    assert notice(store, "one", NOW)
    assert callbacks.recall(store, "ann@example.org", NOW) is None
    callbacks.remember(store, "ann@example.org", Verification(Outcome.OK), NOW, 100)
    assert not notice(store, "two", NOW + 1)
    assert callbacks.recall(store, "ann@example.org", NOW + 1).outcome is Outcome.OK


def test_of_several_nodes_one_writes(store):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        won = list(pool.map(lambda number: notice(store, f"ref{number}", NOW), range(8)))
    assert won.count(True) == 1


def test_the_secret_is_the_same_for_all(store):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda number: callbacks.secret(store, "dsn", NOW), range(8)))
    assert len(found) == 1
    assert len(found.pop()) == 32
    assert callbacks.secret(store, "other", NOW) != callbacks.secret(store, "dsn", NOW)


def test_purging_keeps_what_is_good_and_who_was_written_to(store):
    callbacks.remember(store, "old@example.org", Verification(Outcome.OK), NOW, 10)
    callbacks.remember(store, "new@example.org", Verification(Outcome.OK), NOW, 1000)
    assert notice(store, "one", NOW, "written@example.org")
    assert callbacks.purge(store, NOW + 20) == 1
    assert not notice(store, "two", NOW + 20, "written@example.org")
    assert [callbacks.purge(store, NOW + 40 * DAY) for _ in range(3)] == [1, 1, 0]


@given(st.text(max_size=500))
def test_every_address_has_a_key(address):
    assert len(callbacks.digest_of(address)) == 64
