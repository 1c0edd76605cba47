"""How much somebody did lately, in windows that slide; and logins that are stopped."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from antispam.store import windows

pytestmark = pytest.mark.every_database(pooled=True)
PERIOD = 100.0


def test_uses_add_up(store):
    assert windows.use(store, {"ann": 2, "bob": 1}, 1000.0, PERIOD) == {"ann": 2.0, "bob": 1.0}
    assert windows.use(store, {"ann": 3}, 1001.0, PERIOD) == {"ann": 5.0}
    assert windows.used(store, ["ann", "carl"], 1001.0, PERIOD) == {"ann": 5.0, "carl": 0.0}


def test_the_window_slides_over_the_period_before(store):
    windows.use(store, {"ann": 100}, 1000.0, PERIOD)
    seen = [
        windows.used(store, ["ann"], now, PERIOD)["ann"] for now in (1099.0, 1100.0, 1125.0, 1150.0, 1199.0, 1200.0)
    ]
    assert seen == [100.0, 100.0, 75.0, 50.0, pytest.approx(1.0), 0.0]
    assert windows.use(store, {"ann": 8}, 1150.0, PERIOD) == {"ann": 58.0}
    assert windows.used(store, ["ann"], 1250.0, PERIOD) == {"ann": 4.0}
    assert windows.use(store, {"ann": 1}, 1500.0, PERIOD) == {"ann": 1.0}


def test_what_was_given_back_does_not_count(store):
    windows.use(store, {"ann": 5}, 1000.0, PERIOD)
    assert windows.use(store, {"ann": -5}, 1000.0, PERIOD) == {"ann": 0.0}


def test_a_clock_that_was_put_back_locks_nobody_out(store):
    windows.use(store, {"ann": 500}, 10_000.0, PERIOD)
    assert windows.used(store, ["ann"], 1000.0, PERIOD) == {"ann": 0.0}
    assert windows.use(store, {"ann": 1}, 1000.0, PERIOD) == {"ann": 1.0}


def test_several_workers_lose_no_count(store):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: windows.use(store, {"ann": 1, "bob": 2}, 1000.0, PERIOD), range(20)))
    assert windows.used(store, ["ann", "bob"], 1000.0, PERIOD) == {"ann": 20.0, "bob": 40.0}


def test_old_ones_are_forgotten(store):
    windows.use(store, {"ann": 1}, 1000.0, PERIOD)
    windows.use(store, {"bob": 1}, 1300.0, PERIOD)
    assert windows.purge(store, 1200.0) == 1
    assert windows.used(store, ["bob"], 1300.0, PERIOD) == {"bob": 1.0}


def test_the_busiest_come_first(store):
    windows.use(store, {"login ann": 3, "login bob": 5, "client x": 9}, 1000.0, PERIOD)
    assert windows.busiest(store, "login ", 1000.0, PERIOD) == [("bob", 5.0), ("ann", 3.0)]
    assert windows.busiest(store, "login ", 5000.0, PERIOD) == []


def test_a_login_is_stopped_once_until_it_is_released(store):
    for now in (1000.0, 1010.0):
        with store.write() as connection:
            assert windows.stop(store, connection, "ann", f"at {now:g}", now) == 1000.0
    assert windows.find_stopped(store, "ann") == windows.Stopped("ann", 1000.0, "at 1000")
    assert windows.find_stopped(store, "Ann") is None
    assert [one.login for one in windows.all_stopped(store)] == ["ann"]
    windows.use(store, {"login ann": 900}, 1000.0, PERIOD)
    assert windows.release(store, "ann", "login ann")
    assert windows.find_stopped(store, "ann") is None
    assert windows.used(store, ["login ann"], 1000.0, PERIOD) == {"login ann": 0.0}
    assert not windows.release(store, "ann", "login ann")
