"""The compactor: folds change no count, whoever else folds and whenever it is killed; a purge forgets what it may."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import sqlalchemy as sa

from antispam.store import Store
from dspam.schema import State, dspam_fold, dspam_page, dspam_training, dspam_user
from dspam.store import (
    Deltas,
    Taught,
    TokenStore,
    Totals,
    compact,
    compacting,
    forget_deltas,
    forget_trainings,
    purge_tokens,
    purging,
    user_id,
)
from dspam.store.compactor import fold, folding
from support.patience import PATIENCE

pytestmark = pytest.mark.every_database

DAY = 86_400.0
ONE = np.array([[1, 0, 5]], dtype=np.int32)


class Clock:
    def __init__(self, now=1000 * DAY):
        self.now = now

    def __call__(self):
        return self.now


@pytest.fixture
def store(database_url):
    store = Store(database_url, busy_timeout=PATIENCE)
    yield store
    store.close()


def teach(store, user, messages, size=2_000, seed=1):
    """Train messages of random keys, some of which they share; returns what all keys count."""
    tokens = TokenStore(store)
    rng = np.random.default_rng(seed)
    every = []
    for number in range(messages):
        keys = np.unique(rng.integers(1, 5_000, size)) * 0x9E3779B97F4A7
        tokens.train(user, f"{seed}-{number}", True, keys, np.broadcast_to(ONE, (len(keys), 3)))
        every.append(keys)
    keys, counts = np.unique(np.concatenate(every), return_counts=True)
    return keys, counts[:, np.newaxis] * ONE


def rows(store, table, *where):
    with store.read() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(table).where(*where))


@pytest.mark.parametrize("cache", [64 << 20, 1])
def test_what_is_folded_counts_as_before(store, cache):
    user = user_id(store, "bob")
    keys, counts = teach(store, user, 6)
    before = TokenStore(store, cache=cache)
    assert (before.counts(user, keys) == counts).all()
    assert compact(store) == 6
    for tokens in (before, TokenStore(store, cache=cache)):
        assert (tokens.counts(user, keys) == counts).all()
        assert tokens.totals(user) == Totals(spam_learned=6)
    assert rows(store, dspam_training, dspam_training.c.state == State.PENDING) == 0


def test_many_folds_split_pages_and_lose_nothing(store):
    user = user_id(store, "bob")
    every = []
    for seed in range(5):
        every.append(teach(store, user, 2, seed=seed))
        while fold(store, user, entries=1):
            pass
    keys = np.unique(np.concatenate([keys for keys, _ in every]))
    expected = sum(counts[:, 0].sum() for _, counts in every)
    assert TokenStore(store).counts(user, keys)[:, 0].sum() == expected
    with store.read() as connection:
        sizes = [len(content) // 22 for content in connection.scalars(sa.select(dspam_page.c.content))]
        assert connection.scalar(sa.select(dspam_user.c.tokens)) == sum(sizes) == len(keys)
    assert 1 < max(sizes) <= 256


@pytest.fixture
def slices(monkeypatch):
    """A fold of a few thousand keys takes many transactions."""
    monkeypatch.setattr("dspam.store.compactor._FOLD_KEYS", 500)
    monkeypatch.setattr("dspam.store.compactor._FOLD_PAGES", 3)


@pytest.mark.usefixtures("slices")
def test_at_every_moment_of_a_fold_in_slices_everything_counts_once(store):
    user = user_id(store, "bob")
    keys, counts = teach(store, user, 3)
    compact(store)
    more, added = teach(store, user, 3, seed=2)
    every = np.union1d(keys, more)
    expected = np.zeros((len(every), 3), dtype=np.int64)
    expected[np.searchsorted(every, keys)] += counts
    expected[np.searchsorted(every, more)] += added
    old = [TokenStore(store, cache=cache, poll=0.0) for cache in (64 << 20, 1)]
    transactions = 0
    for folded in folding(store, user):
        transactions += 1
        assert folded == (3 if not rows(store, dspam_fold) else 0)
        for tokens in (*old, TokenStore(store), TokenStore(store, cache=1)):
            assert (tokens.counts(user, every) == expected).all()
            assert tokens.totals(user) == Totals(spam_learned=6)
    assert transactions > 5
    assert rows(store, dspam_training, dspam_training.c.state == State.FOLDED) == 6


@pytest.mark.usefixtures("slices")
def test_a_fold_that_ended_halfway_is_finished_and_what_came_meanwhile_is_kept(store):
    user = user_id(store, "bob")
    keys, counts = teach(store, user, 2)
    halfway = folding(store, user)
    assert [next(halfway), next(halfway)] == [0, 0]
    halfway.close()
    tokens = TokenStore(store)
    tokens.train(user, "meanwhile", True, keys[:1], ONE)
    assert tokens.undo(user, "1-0")
    expected = tokens.counts(user, keys)
    assert (expected[1:, 0] <= counts[1:, 0]).all()
    assert expected[:, 0].sum() < counts[:, 0].sum()
    assert compact(store, rows=1000, before=0.0) == 2  # however few there are
    assert compact(store) == 2  # the lesson, and what takes one back
    for cache in (64 << 20, 1):
        assert (TokenStore(store, cache=cache).counts(user, keys) == expected).all()
    assert TokenStore(store).totals(user) == Totals(spam_learned=2)
    assert rows(store, dspam_fold) == 0


@pytest.mark.usefixtures("slices")
def test_a_purge_stops_a_fold_which_goes_on_later(store):
    user = user_id(store, "bob")
    teach(store, user, 2)
    compact(store)
    more, _ = teach(store, user, 1, seed=2)
    halfway = folding(store, user)
    assert next(halfway) == 0
    with store.write() as connection:
        connection.execute(sa.update(dspam_user).values(generation=dspam_user.c.generation + 1))
    assert list(halfway) == []
    assert compact(store) == 1
    assert TokenStore(store).counts(user, more)[:, 0].sum() >= len(more)
    assert TokenStore(store).totals(user) == Totals(spam_learned=3)


@pytest.mark.usefixtures("slices")
def test_no_transaction_of_a_fold_rewrites_many_pages(store):
    """One message with many words, in a dictionary of a million, held the lock for half a second."""
    user = user_id(store, "bob")
    teach(store, user, 4)
    compact(store)
    with store.read() as connection:
        before = {row.start: row.content for row in connection.execute(sa.select(dspam_page))}
    teach(store, user, 2, seed=2)
    for _ in folding(store, user):
        with store.read() as connection:
            after = {row.start: row.content for row in connection.execute(sa.select(dspam_page))}
        assert sum(after.get(start) != content for start, content in before.items()) <= 3
        before = after


def test_a_few_pending_trainings_wait_until_they_are_old(store):
    user, clock = user_id(store, "bob"), Clock()
    TokenStore(store, now=clock).train(user, "m1", True, [1], ONE)
    assert compact(store, rows=2, before=clock.now) == 0
    assert compact(store, rows=2, before=clock.now + 1) == 1


def test_compactors_at_once_fold_each_training_once(database_url):
    stores = [Store(database_url, busy_timeout=PATIENCE) for _ in range(3)]
    user = user_id(stores[0], "bob")
    keys, counts = teach(stores[0], user, 12)

    def fold_singly(store):
        return sum(fold(store, user, entries=1) for _ in range(12))

    with ThreadPoolExecutor(3) as pool:
        folded = sum(pool.map(fold_singly, stores))
    assert folded + compact(stores[0]) == 12
    assert (TokenStore(stores[0]).counts(user, keys) == counts).all()
    assert TokenStore(stores[0]).totals(user) == Totals(spam_learned=12)
    for store in stores:
        store.close()


COMPACT_FOR_EVER = """
    import sys
    from antispam.store import Store
    from dspam.store.compactor import fold, folding
    from dspam.store import TokenStore, compactor
    import numpy as np
    compactor._FOLD_KEYS = 300  # a fold is killed halfway, too
    store = Store(sys.argv[1], busy_timeout=float(sys.argv[3]))
    tokens = TokenStore(store)
    print("ready", flush=True)
    number = 0
    while True:
        keys = np.unique(np.random.default_rng(number).integers(1, 5_000, 2_000))
        tokens.train(1, f"{sys.argv[2]}-{number}", True, keys, np.ones((len(keys), 3), dtype=np.int32))
        print(number, flush=True)
        number += 1
        fold(store, 1)
"""


def test_killed_at_any_moment_it_neither_loses_nor_doubles_a_training(database_url):
    """Five times a process that trains and folds is killed. Every training that it reported is there, each of them once."""
    store = Store(database_url, busy_timeout=PATIENCE)
    user = user_id(store, "bob")
    assert user == 1
    reported = 0
    for attempt in range(5):
        command = [sys.executable, "-c", textwrap.dedent(COMPACT_FOR_EVER), database_url, str(attempt), str(PATIENCE)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout.readline() == "ready\n"
            for _ in range(3 + 2 * attempt):
                reported += process.stdout.readline() != ""
            process.send_signal(signal.SIGKILL)
            reported += len(process.stdout.read().splitlines())
    compact(store)
    with store.read() as connection:
        log = connection.execute(sa.select(dspam_training.c.content, dspam_training.c.state)).all()
    assert {row.state for row in log} == {State.FOLDED}
    assert reported <= len(log) <= reported + 5
    tokens = TokenStore(store)
    assert tokens.totals(user) == Totals(spam_learned=len(log))
    expected = sum(len(Deltas.unpack(row.content).keys) for row in log)
    assert tokens.counts(user, np.arange(1, 5_001)).sum() == 3 * expected
    store.close()


def test_stale_tokens_are_forgotten_and_everybody_notices(store):
    user, clock = user_id(store, "bob"), Clock()
    poll = Clock(0.0)
    tokens = TokenStore(store, now=clock, clock=poll)
    tokens.train(user, "old", True, [1, 2, 3], np.repeat(ONE, 3, axis=0))
    clock.now += 100 * DAY
    tokens.train(user, "new", True, [3], ONE)
    compact(store)
    assert forget_deltas(store, clock.now - DAY) == 1
    assert purge_tokens(store, user, clock.now - 50 * DAY) == 2
    assert purge_tokens(store, user, clock.now - 50 * DAY) == 0
    poll.now += 1.0
    for other in (tokens, TokenStore(store, cache=1)):
        assert other.counts(user, [1, 2, 3])[:, 0].tolist() == [0, 0, 2]


def test_all_users_are_compacted_and_purged_piece_by_piece(store):
    clock = Clock()
    tokens = TokenStore(store, now=clock)
    users = [user_id(store, name) for name in ("bob", "eve", "joe")]
    for user in users[:2]:
        tokens.train(user, "a", True, [1, 2], np.repeat(ONE, 2, axis=0))
    assert list(compacting(store)) == [1, 1]
    forget_deltas(store, clock.now + 1)
    assert list(purging(store, clock.now + 10 * DAY)) == [2, 2, 0]
    assert rows(store, dspam_page) == 0


def test_tokens_of_one_message_only_may_be_forgotten_earlier(store):
    user, clock = user_id(store, "bob"), Clock()
    tokens = TokenStore(store, now=clock)
    tokens.train(user, "a", True, [1, 2], np.repeat(ONE, 2, axis=0))
    tokens.train(user, "b", True, [2], ONE)
    compact(store)
    clock.now += 20 * DAY
    forget_deltas(store, clock.now)
    assert purge_tokens(store, user, clock.now - 90 * DAY, rare_before=clock.now - 15 * DAY) == 1
    assert TokenStore(store).counts(user, [1, 2])[:, 0].tolist() == [0, 2]


def test_tokens_of_what_can_be_taken_back_stay(store):
    user, clock = user_id(store, "bob"), Clock()
    tokens = TokenStore(store, now=clock)
    tokens.train(user, "a", True, [1, 2], np.repeat(ONE, 2, axis=0))
    compact(store)
    clock.now += 100 * DAY
    assert purge_tokens(store, user, clock.now) == 0
    assert tokens.undo(user, "a")
    assert TokenStore(store).counts(user, [1, 2]).sum() == 0


def test_a_purge_in_slices_reaches_every_page(store):
    user, clock = user_id(store, "bob"), Clock()
    tokens = TokenStore(store, now=clock)
    keys = np.arange(1, 3_001) * 0x1234567
    tokens.train(user, "a", True, keys, np.broadcast_to(ONE, (len(keys), 3)))
    compact(store)
    forget_deltas(store, clock.now + 1)
    assert purge_tokens(store, user, clock.now + 10 * DAY, pages_per_slice=3) == 3_000
    assert rows(store, dspam_page) == 0
    tokens.train(user, "b", True, keys[:5], np.broadcast_to(ONE, (5, 3)))
    compact(store)
    assert TokenStore(store).counts(user, keys).sum() == 5 * 6


def test_a_replay_teaches_nothing_even_when_its_deltas_are_forgotten(store):
    user, clock = user_id(store, "bob"), Clock()
    tokens = TokenStore(store, now=clock)
    tokens.train(user, "a", True, [1], ONE)
    tokens.train(user, "b", True, [1], ONE)
    tokens.undo(user, "b")
    compact(store)
    while forget_deltas(store, clock.now + 1, slice_size=2) == 2:
        pass
    assert tokens.train(user, "a", True, [1], ONE) == Taught.REPLAY
    assert tokens.undo(user, "a") is False
    assert tokens.train(user, "b", True, [2], ONE) == Taught.LEARNED
    assert forget_trainings(store, clock.now + 1) == 1
    assert tokens.train(user, "a", True, [1], ONE) == Taught.LEARNED


def test_what_was_forgotten_cannot_be_taken_back_but_the_opposite_is_learned(store):
    user, clock = user_id(store, "bob"), Clock()
    tokens = TokenStore(store, now=clock)
    tokens.train(user, "a", True, [1], ONE)
    compact(store)
    forget_deltas(store, clock.now + 1)
    assert tokens.train(user, "a", False, [1], np.array([[0, 1, -5]])) == Taught.LEARNED
    assert tokens.verdict(user, "a") is False
    assert tokens.counts(user, [1]).tolist() == [[1, 1, 0]]


def test_a_training_of_a_newer_version_keeps_no_other_dictionary_from_being_folded(store):
    users = [user_id(store, name) for name in ("ann", "bob")]
    for user in users:
        teach(store, user, 3)
    newest = sa.select(sa.func.max(dspam_training.c.seq)).where(dspam_training.c.user_id == users[0])
    with store.write() as connection:
        broken = dspam_training.c.seq == connection.scalar(newest)
        connection.execute(sa.update(dspam_training).where(broken).values(content=b"\2\0\0\0" + b"\0" * 36))
    with pytest.raises(ValueError, match="version 2"):
        compact(store)
    pending = dspam_training.c.state == State.PENDING
    assert [rows(store, dspam_training, pending, dspam_training.c.user_id == user) for user in users] == [3, 0]
