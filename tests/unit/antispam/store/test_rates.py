"""How often somebody did something lately."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from antispam.store import rates

pytestmark = pytest.mark.every_database


def test_uses_add_up_until_the_period_is_over(store):
    assert rates.use(store, "ann", 2, 100.0, 60.0) == 2
    assert rates.use(store, "ann", 3, 159.0, 60.0) == 5
    assert rates.used(store, "ann", 159.0, 60.0) == 5
    assert rates.used(store, "ann", 160.0, 60.0) == 0
    assert rates.use(store, "ann", 1, 160.0, 60.0) == 1
    assert rates.used(store, "bob", 160.0, 60.0) == 0


def test_a_clock_that_was_put_back_locks_nobody_out(store):
    rates.use(store, "ann", 500, 10_000.0, 60.0)
    assert rates.used(store, "ann", 100.0, 60.0) == 0
    assert rates.use(store, "ann", 1, 100.0, 60.0) == 1


def test_several_workers_lose_no_count(store):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: rates.use(store, "ann", 1, 100.0, 60.0), range(20)))
    assert rates.used(store, "ann", 100.0, 60.0) == 20


def test_old_ones_are_forgotten(store):
    rates.use(store, "ann", 1, 100.0, 60.0)
    rates.use(store, "bob", 1, 200.0, 60.0)
    assert rates.purge(store, 150.0) == 1
    assert rates.used(store, "bob", 200.0, 60.0) == 1
