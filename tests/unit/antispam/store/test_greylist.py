"""The greylist's memory, on every database that the store supports."""

from __future__ import annotations

import concurrent.futures
import contextlib
import sqlite3
import threading
import time

import pytest
import sqlalchemy as sa

from antispam.deadline import Deadline
from antispam.store import Store
from antispam.store.engine import StoreBusy
from antispam.store.greylist import (
    Limits,
    Record,
    State,
    Triplet,
    advance,
    attempt,
    came_back,
    everything,
    is_known,
    let_pass,
    newest,
    purge,
    vouch,
)
from antispam.store.schema import greylist
from support.patience import PATIENCE

pytestmark = pytest.mark.every_database(pooled=True)

LIMITS = Limits(wait=300.0, expire=21600.0, retain=86400.0 * 36)
TRIPLET = Triplet("192.0.2.0/24", "a@example.org", "b@example.com")
T0 = 1_700_000_000.0
KNOWING = Limits(wait=300.0, expire=21600.0, retain=86400.0 * 36, returns=2)
HOUR, DAY = 3600.0, 86400.0
NETWORK = "192.0.2.0/24"


@pytest.mark.parametrize(
    ("record", "now", "state"),
    [
        (Record(T0, T0, None, 1), T0 + 299, State.EARLY),
        (Record(T0, T0, None, 1), T0 + 300, State.PASSED),
        (Record(T0, T0, None, 1), T0 + 21601, State.NEW),
        (Record(T0, T0 + 400, T0 + 400, 2), T0 + 86400 * 35, State.KNOWN),
        (Record(T0, T0 + 400, T0 + 400, 2), T0 + 86400 * 37, State.NEW),
    ],
    ids=["too early", "in time", "retry came too late", "still remembered", "forgotten"],
)
def test_a_record_moves_on_as_time_goes_by(record, now, state):
    assert advance(record, now, LIMITS).state is state


def test_a_clock_set_back_makes_nobody_wait_longer_than_the_configured_time():
    standing = advance(Record(T0 + 1e9, T0 + 1e9, None, 1), T0, LIMITS)
    assert standing.state is State.NEW
    assert standing.wait == LIMITS.wait


def test_a_clock_set_back_does_not_forget_who_passed():
    assert advance(Record(T0 + 1e9, T0 + 1e9, T0 + 1e9, 1), T0, LIMITS).state is State.KNOWN


def test_the_first_attempt_waits_and_the_retry_in_time_passes(store):
    assert attempt(store, TRIPLET, T0, LIMITS).state is State.NEW
    early = attempt(store, TRIPLET, T0 + 60, LIMITS)
    assert (early.state, early.wait) == (State.EARLY, 240.0)
    assert attempt(store, TRIPLET, T0 + 300, LIMITS).state is State.PASSED
    assert attempt(store, TRIPLET, T0 + 301, LIMITS).state is State.KNOWN


def test_a_lock_is_not_waited_for_beyond_the_deadline(store, database_url):
    """Whatever database it is: the MTA's patience ends before its own. What was remembered before still answers."""
    attempt(store, TRIPLET, T0, LIMITS)
    other = Store(database_url, busy_timeout=PATIENCE)
    assert not is_known(other, NETWORK, T0, LIMITS)  # it is connected: that is no part of the time that it has
    began = time.monotonic()
    with store.write() as connection:
        connection.execute(sa.update(greylist).values(attempts=5))
        standing = attempt(other, TRIPLET, T0 + 60, LIMITS, Deadline.after(2.0))
        assert (standing.state, standing.wait) == (State.EARLY, 240.0)
        assert attempt(other, TRIPLET, T0 + 300, LIMITS, Deadline.after(2.0)).state is State.PASSED
    other.close()
    assert time.monotonic() - began < 30


HALF_A_SECOND = Deadline.after(0.5, lambda: 0.0)
"""Each wait may take so long. On its clock time stands still: a busy machine spends none of it elsewhere."""


def test_a_lock_lets_nobody_pass_who_has_to_wait_however_long_it_is_held(sqlite_store, tmp_path):
    """Housekeeping holds it: the circuit breaker opens for writers, and strangers are asked to come back all the same."""
    attempt(sqlite_store, TRIPLET, T0, LIMITS)
    attempt(sqlite_store, TRIPLET, T0 + 300, LIMITS)
    stranger = Triplet("198.51.100.0/24", "x@evil.example", "b@example.com")
    holder = sqlite3.connect(tmp_path / "bms.sqlite", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    for _ in range(6):
        assert attempt(sqlite_store, stranger, T0 + 400, LIMITS, HALF_A_SECOND).state is State.NEW
        assert attempt(sqlite_store, TRIPLET, T0 + 400, LIMITS, HALF_A_SECOND).state is State.KNOWN
    holder.close()


def test_known_mail_writes_nothing_and_does_not_close_the_circuit_of_writers_again(sqlite_store, tmp_path):
    """Or each stranger would wait for the lock that somebody holds."""
    attempt(sqlite_store, TRIPLET, T0, LIMITS)
    attempt(sqlite_store, TRIPLET, T0 + 300, LIMITS)
    with contextlib.closing(sqlite3.connect(tmp_path / "bms.sqlite", isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        for name in ("x", "y", "z"):
            attempt(sqlite_store, Triplet("198.51.100.0/24", name, "b@example.com"), T0 + 400, LIMITS, HALF_A_SECOND)
            assert attempt(sqlite_store, TRIPLET, T0 + 400, LIMITS, HALF_A_SECOND).state is State.KNOWN
        with pytest.raises(StoreBusy, match="waiting before the next try"), sqlite_store.write(HALF_A_SECOND):
            pass


def test_another_recipient_is_another_triplet(store):
    attempt(store, TRIPLET, T0, LIMITS)
    other = Triplet(TRIPLET.client, TRIPLET.mail_from, "c@example.com")
    assert attempt(store, other, T0 + 300, LIMITS).state is State.NEW


def test_addresses_count_as_equal_whatever_their_case(store):
    attempt(store, TRIPLET, T0, LIMITS)
    shouted = Triplet(TRIPLET.client, "A@EXAMPLE.ORG", "B@example.com")
    assert attempt(store, shouted, T0 + 300, LIMITS).state is State.PASSED


def test_a_wait_of_zero_lets_everybody_pass_at_once(store):
    assert attempt(store, TRIPLET, T0, Limits(0.0, 1.0, 1.0)).state is State.PASSED


def test_addresses_too_long_or_not_unicode_are_remembered_all_the_same(store):
    odd = Triplet("192.0.2.0/24", "x" * 5000 + "\udcff@example.org", "ü" * 2000)
    assert attempt(store, odd, T0, LIMITS).state is State.NEW
    assert attempt(store, odd, T0 + 300, LIMITS).state is State.PASSED


def test_of_many_simultaneous_first_attempts_one_is_the_first(store):
    """Two nodes that see a triplet at the same moment agree, and no attempt is lost or fails."""
    together = threading.Barrier(4)

    def many() -> list[State]:
        together.wait()
        return [attempt(store, TRIPLET, T0, LIMITS).state for _ in range(10)]

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        states = [state for future in [pool.submit(many) for _ in range(4)] for state in future.result()]
    assert states.count(State.NEW) == 1
    assert states.count(State.EARLY) == 39
    assert attempt(store, TRIPLET, T0 + 300, LIMITS).record.attempts == 41


def test_attempts_at_odd_moments_are_all_noted(store):
    """The row is compared with what was found before: what a database stores is what it returns, to the last digit."""
    for number in range(20):
        attempt(store, TRIPLET, T0 + number / 7, LIMITS)
    assert attempt(store, TRIPLET, T0 + 310, LIMITS).record.attempts == 21


def test_a_triplet_that_passed_lately_is_not_written_again(store):
    attempt(store, TRIPLET, T0, LIMITS)
    attempt(store, TRIPLET, T0 + 300, LIMITS)
    noted = newest(store, 1, passed=True)
    assert attempt(store, TRIPLET, T0 + 300 + LIMITS.lately, LIMITS).state is State.KNOWN
    assert newest(store, 1, passed=True) == noted
    assert attempt(store, TRIPLET, T0 + 301 + LIMITS.lately, LIMITS).state is State.KNOWN
    assert newest(store, 1, passed=True)[0].record.last_seen == T0 + 301 + LIMITS.lately


def test_a_triplet_is_remembered_for_its_time_though_its_last_mail_was_not_noted(store):
    attempt(store, TRIPLET, T0, LIMITS)
    attempt(store, TRIPLET, T0 + 300, LIMITS)
    last = T0 + 300 + LIMITS.lately
    attempt(store, TRIPLET, last, LIMITS)
    assert purge(store, last + LIMITS.retain, LIMITS) == 0
    assert attempt(store, TRIPLET, last + LIMITS.retain, LIMITS).state is State.KNOWN


def test_a_triplet_of_a_known_network_is_not_noted(store):
    vouch(store, NETWORK, T0, KNOWING)
    assert attempt(store, TRIPLET, T0, KNOWING, network=NETWORK).state is State.CLIENT
    assert attempt(store, TRIPLET, T0, KNOWING, network="198.51.100.0/24").state is State.NEW


def test_a_network_known_is_none_while_networks_do_not_count(store):
    vouch(store, NETWORK, T0, KNOWING)
    assert attempt(store, TRIPLET, T0, LIMITS, network=NETWORK).state is State.NEW


def test_sqlite_notes_a_first_attempt_by_a_statement_that_is_its_own_transaction(sqlite_store):
    attempt(sqlite_store, TRIPLET, T0, KNOWING, network=NETWORK)  # the connection is there and set
    sent = _sent(sqlite_store)
    other = Triplet(TRIPLET.client, TRIPLET.mail_from, "c@example.com")
    assert attempt(sqlite_store, other, T0, KNOWING, network=NETWORK).state is State.NEW
    assert [statement.split()[0] for (statement,) in sent] == ["SELECT", "INSERT"]
    assert attempt(sqlite_store, other, T0 + 300, KNOWING, network=NETWORK).state is State.PASSED


def _sent(store: Store) -> list[tuple[str, ...]]:
    """The statements that a store sends from now on."""
    sent: list[tuple[str, ...]] = []
    for name in ("do_execute", "do_execute_no_params", "do_ping", "do_begin"):
        monitored = getattr(store._engine.dialect, name)
        setattr(store._engine.dialect, name, lambda *a, call=monitored: (sent.append(a[1:2]), call(*a))[1])
    return sent


@pytest.mark.servers
def test_postgresql_answers_a_first_attempt_and_a_known_triplet_in_one_round_trip(postgresql):
    store = Store(postgresql.new_store())
    attempt(store, TRIPLET, T0, KNOWING, network=NETWORK)
    attempt(store, TRIPLET, T0 + 300, KNOWING, network=NETWORK)
    sent = _sent(store)
    assert attempt(store, TRIPLET, T0 + 301, KNOWING, network=NETWORK).state is State.KNOWN
    other = Triplet(TRIPLET.client, TRIPLET.mail_from, "c@example.com")
    assert attempt(store, other, T0 + 301, KNOWING, network=NETWORK).state is State.NEW
    store.close()
    assert len(sent) == 2


def test_the_purge_forgets_in_slices_what_no_longer_counts(store):
    for number in range(5):
        attempt(store, Triplet("net", "a@example.org", f"{number}@example.com"), T0, LIMITS)
    attempt(store, TRIPLET, T0, LIMITS)
    attempt(store, TRIPLET, T0 + 300, LIMITS)
    later = T0 + 300 + LIMITS.expire + 1
    assert [purge(store, later, LIMITS, slice_size=3) for _ in range(3)] == [3, 2, 0]
    assert [len(newest(store, 9, passed=passed)) for passed in (True, False)] == [1, 0]


def test_a_client_is_known_after_as_many_returns_as_are_asked_for(store):
    came_back(store, NETWORK, T0, KNOWING)
    assert not is_known(store, NETWORK, T0, KNOWING)
    came_back(store, NETWORK, T0 + HOUR, KNOWING)
    assert is_known(store, NETWORK, T0 + HOUR, KNOWING)
    assert not is_known(store, "198.51.100.0/24", T0 + HOUR, KNOWING)


def test_returns_count_once_an_hour(store):
    for minute in range(59):
        came_back(store, NETWORK, T0 + 60 * minute, KNOWING)
    assert not is_known(store, NETWORK, T0 + HOUR, KNOWING)


def test_a_known_client_is_remembered_while_it_comes_and_forgotten_when_it_does_not(store):
    vouch(store, NETWORK, T0, KNOWING)
    assert all(is_known(store, NETWORK, T0 + 30 * DAY * month, KNOWING) for month in range(1, 4))
    forgotten = T0 + 90 * DAY + 37 * DAY
    assert not is_known(store, NETWORK, forgotten, KNOWING)
    came_back(store, NETWORK, forgotten, KNOWING)
    assert not is_known(store, NETWORK, forgotten, KNOWING)


def test_a_clock_set_back_forgets_no_client(store):
    vouch(store, NETWORK, T0 + 1e9, KNOWING)
    assert is_known(store, NETWORK, T0, KNOWING)


def test_who_is_vouched_for_keeps_the_returns_that_were_counted(store):
    for number in range(9):
        came_back(store, NETWORK, T0 + number * HOUR, KNOWING)
    vouch(store, NETWORK, T0 + DAY, KNOWING)
    assert is_known(store, NETWORK, T0 + DAY, Limits(300.0, 21600.0, 86400.0, returns=9))


def test_clients_are_no_triplets(store):
    """Neither listed nor exported, but purged like them."""
    vouch(store, NETWORK, T0, KNOWING)
    assert (newest(store, 9, passed=True), newest(store, 9, passed=False), list(everything(store))) == ([], [], [])
    assert purge(store, T0 + 37 * DAY, KNOWING) == 1


def test_a_lock_that_somebody_holds_costs_a_known_client_nothing(store, database_url):
    vouch(store, NETWORK, T0, KNOWING)
    other = Store(database_url, busy_timeout=PATIENCE)
    with store.write() as connection:
        connection.execute(sa.update(greylist).values(client="held"))
        assert is_known(other, NETWORK, T0 + 20 * DAY, KNOWING)
        came_back(other, NETWORK, T0 + 20 * DAY, KNOWING)
    other.close()


# What an administrator sees and does


def test_the_newest_come_first_page_by_page_and_clients_are_not_among_them(store):
    for name in ("ann", "bob", "eve"):
        attempt(store, Triplet("192.0.2.0/24", f"{name}@example.org", "b@example.com"), T0, LIMITS)
    came_back(store, "192.0.2.0/24", T0, LIMITS)
    first = newest(store, 2, passed=False)
    second = newest(store, 2, passed=False, after=(first[-1].record.last_seen, first[-1].key))
    found = [one.triplet.mail_from for one in (*first, *second)]
    assert sorted(found) == ["ann@example.org", "bob@example.org", "eve@example.org"]
    assert newest(store, 2, passed=True) == []


def test_who_is_let_pass_passes_at_once_and_is_remembered(store):
    attempt(store, TRIPLET, T0, LIMITS)
    assert let_pass(store, TRIPLET.key, T0 + 1) is True
    assert let_pass(store, TRIPLET.key, T0 + 2) is False
    assert attempt(store, TRIPLET, T0 + 2, LIMITS).state is State.KNOWN
    assert [one.triplet for one in newest(store, 9, passed=True)] == [TRIPLET]


def test_a_client_that_is_known_is_no_triplet_that_could_be_let_pass(store):
    assert let_pass(store, TRIPLET.key, T0) is False
    assert newest(store, 9, passed=True) == []
