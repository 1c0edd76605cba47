"""The token store: a training teaches once, is taken back exactly, and is known everywhere soon."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import sqlalchemy as sa

from antispam.store import Store, StoreError
from dspam.schema import dspam_training
from dspam.store import (
    Deltas,
    Material,
    Taught,
    TokenStore,
    Totals,
    UnknownUserError,
    compact,
    count,
    delete_user,
    find_user,
    user_id,
    user_names,
)
from dspam.store.compactor import fold
from dspam.store.dictionary import Dictionary
from dspam.store.table import table_bytes
from support.patience import PATIENCE
from support.stores import make_store

pytestmark = pytest.mark.every_database

KEYS = np.array([5, -7, 2**62, 11], dtype=np.int64)
SPAM = np.array([[1, 0, 300]] * 4, dtype=np.int32)
HAM = np.array([[0, 1, -70_000], [0, 1, 1], [0, 1, 2], [0, 1, 3]], dtype=np.int32)
EVERYTHING_FITS, NOTHING_FITS = 64 << 20, 1


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture(params=[EVERYTHING_FITS, NOTHING_FITS], ids=["in memory", "message by message"])
def cache(request):
    return request.param


def lesson(rng, size=50, space=400):
    keys = np.unique(rng.integers(1, space, size)) * 0x1234567 - 2**40
    return keys, rng.integers(-3, 4, (len(keys), 3)).astype(np.int32)


def sums(lessons, keys):
    expected = dict.fromkeys(keys.tolist(), np.zeros(3, dtype=np.int64))
    for lesson_keys, deltas in lessons:
        for key, delta in zip(lesson_keys.tolist(), deltas, strict=True):
            expected[key] = expected.get(key, 0) + delta
    return np.array([expected[key] for key in keys.tolist()])


def test_what_nobody_taught_counts_nothing(store, cache):
    tokens = TokenStore(store, cache=cache)
    bob = user_id(store, "bob")
    assert tokens.counts(bob, KEYS).tolist() == [[0, 0, 0]] * 4
    assert tokens.counts(bob, KEYS[:0]).shape == (0, 3)
    assert tokens.totals(bob) == Totals()
    assert tokens.verdict(bob, "<1@example.org>") is None


def test_a_training_counts_at_once(store, cache):
    tokens = TokenStore(store, cache=cache)
    bob = user_id(store, "bob")
    assert tokens.train(bob, "m1", True, KEYS, SPAM) == Taught.LEARNED
    assert tokens.counts(bob, KEYS).tolist() == SPAM.tolist()
    assert tokens.totals(bob) == Totals(spam_learned=1)
    assert tokens.verdict(bob, "m1") is True


def test_a_replay_teaches_once(store, cache):
    tokens = TokenStore(store, cache=cache)
    bob = user_id(store, "bob")
    tokens.train(bob, "m1", True, KEYS, SPAM)
    assert tokens.train(bob, "m1", True, KEYS, SPAM) == Taught.REPLAY
    assert compact(store) == 1
    assert TokenStore(store).train(bob, "m1", True, KEYS, SPAM) == Taught.REPLAY
    assert tokens.counts(bob, KEYS).tolist() == SPAM.tolist()
    assert tokens.totals(bob) == Totals(spam_learned=1)


def test_a_message_teaches_each_user(store, cache):
    tokens = TokenStore(store, cache=cache)
    bob, eve = user_id(store, "bob"), user_id(store, "eve")
    tokens.train(bob, "m1", True, KEYS, SPAM)
    tokens.train(eve, "m1", False, KEYS, HAM)
    assert tokens.counts(bob, KEYS).tolist() == SPAM.tolist()
    assert tokens.counts(eve, KEYS).tolist() == HAM.tolist()


@pytest.mark.parametrize("folded", [False, True])
def test_a_mistake_is_taken_back_exactly(store, cache, folded):
    tokens = TokenStore(store, cache=cache)
    bob = user_id(store, "bob")
    tokens.train(bob, "m1", False, KEYS[:2], HAM[:2])
    tokens.train(bob, "m2", True, KEYS, SPAM)
    if folded:
        compact(store)
    assert tokens.undo(bob, "m2") is True
    assert tokens.undo(bob, "m2") is False
    compact(store)
    for other in (tokens, TokenStore(store, cache=cache)):
        assert other.counts(bob, KEYS).tolist() == [*HAM[:2].tolist(), [0, 0, 0], [0, 0, 0]]
        assert other.totals(bob) == Totals(ham_learned=1)
        assert other.verdict(bob, "m2") is None


def test_training_the_opposite_takes_the_first_back_in_the_same_transaction(store, cache):
    tokens = TokenStore(store, cache=cache)
    bob = user_id(store, "bob")
    tokens.train(bob, "m1", True, KEYS, SPAM)
    assert tokens.train(bob, "m1", False, KEYS[1:], HAM[1:]) == Taught.RETRAINED
    for other in (tokens, TokenStore(store, cache=cache)):
        assert other.counts(bob, KEYS).tolist() == [[0, 0, 0], *HAM[1:].tolist()]
        assert other.totals(bob) == Totals(ham_learned=1)
    assert tokens.train(bob, "m1", True, KEYS, SPAM) == Taught.RETRAINED
    assert tokens.counts(bob, KEYS).tolist() == SPAM.tolist()


def test_deltas_are_computed_from_what_counts_without_the_mistake(store, cache):
    tokens = TokenStore(store, cache=cache)
    bob = user_id(store, "bob")
    tokens.train(bob, "m1", True, KEYS[:1], SPAM[:1])
    tokens.train(bob, "m2", True, KEYS, SPAM)
    seen = []

    def deltas(counts, totals):
        seen.append((counts.tolist(), totals))
        return HAM

    tokens.train(bob, "m2", False, KEYS, deltas)
    assert seen == [([SPAM[0].tolist(), [0, 0, 0], [0, 0, 0], [0, 0, 0]], Totals(spam_learned=1))]


def test_deltas_of_another_shape_are_refused(sqlite_store):
    tokens = TokenStore(sqlite_store)
    with pytest.raises(ValueError, match="shape"):
        tokens.train(user_id(sqlite_store, "bob"), "m1", True, KEYS, SPAM[:2])


def test_a_user_that_does_not_exist_is_an_error(store, cache):
    tokens = TokenStore(store, cache=cache)
    with pytest.raises(UnknownUserError):
        tokens.counts(99, KEYS)
    with pytest.raises(UnknownUserError):
        tokens.train(99, "m1", True, KEYS, SPAM)


def material(number, rng):
    """A message whose deltas depend on what was learned before it."""
    keys, deltas = lesson(rng)
    return Material(f"m{number}", keys, lambda counts, totals: deltas + counts + totals.spam)


def test_messages_taught_together_count_as_if_each_was_taught_alone(store, cache):
    tokens, rng = TokenStore(store, cache=cache), np.random.default_rng(3)
    bob, eve = user_id(store, "bob"), user_id(store, "eve")
    messages = [material(number, rng) for number in range(9)]
    for each in messages:
        tokens.train(eve, *each[:1], True, *each[1:])
    assert tokens.train_together(bob, messages[:4], True) == [Taught.LEARNED] * 4
    assert tokens.train_together(bob, messages[4:], True) == [Taught.LEARNED] * 5
    keys = np.unique(np.concatenate([each.keys for each in messages]))
    for other in (tokens, TokenStore(store, cache=cache)):
        assert other.counts(bob, keys).tolist() == other.counts(eve, keys).tolist()
        assert other.totals(bob) == Totals(spam_learned=9)
    compact(store, rows=0)
    assert TokenStore(store, cache=cache).counts(bob, keys).tolist() == tokens.counts(eve, keys).tolist()


def test_of_messages_taught_together_each_can_be_taken_back(store, cache):
    tokens = TokenStore(store, cache=cache)
    bob = user_id(store, "bob")
    tokens.train_together(bob, [Material("m1", KEYS, lambda *_: SPAM), Material("m2", KEYS, lambda *_: SPAM)], True)
    assert tokens.undo(bob, "m1")
    assert tokens.counts(bob, KEYS).tolist() == SPAM.tolist()
    assert tokens.totals(bob) == Totals(spam_learned=1)


def test_together_no_message_is_taught_twice_and_an_opposite_is_left_alone(store, cache):
    tokens = TokenStore(store, cache=cache)
    bob = user_id(store, "bob")
    tokens.train(bob, "known", True, KEYS, SPAM)
    tokens.train(bob, "opposite", False, KEYS, HAM)
    before = tokens.counts(bob, KEYS)
    names = ("known", "new", "opposite", "new")
    taught = tokens.train_together(bob, [Material(name, KEYS, lambda *_: SPAM) for name in names], True)
    assert taught == [Taught.REPLAY, Taught.LEARNED, None, Taught.REPLAY]
    assert tokens.counts(bob, KEYS).tolist() == (before + SPAM).tolist()
    assert tokens.verdict(bob, "opposite") is False


def test_together_all_are_learned_or_none(store, cache):
    tokens = TokenStore(store, cache=cache)
    bob = user_id(store, "bob")
    with pytest.raises(ValueError, match="shape"):
        tokens.train_together(
            bob, [Material("m1", KEYS, lambda *_: SPAM), Material("m2", KEYS, lambda *_: SPAM[:2])], True
        )
    assert tokens.totals(bob) == Totals()
    assert tokens.verdict(bob, "m1") is None


def test_a_message_that_another_worker_teaches_meanwhile_counts_once(store, cache, monkeypatch):
    tokens, other = TokenStore(store, cache=cache), TokenStore(store, cache=cache)
    bob = user_id(store, "bob")

    def deltas(*_):
        other.train(bob, "m1", True, KEYS, SPAM)
        return SPAM

    taught = tokens.train_together(bob, [Material("m1", KEYS, deltas), Material("m2", KEYS, lambda *_: SPAM)], True)
    assert taught == [Taught.REPLAY, Taught.LEARNED]
    assert TokenStore(store, cache=cache).counts(bob, KEYS).tolist() == (2 * SPAM).tolist()


def test_what_was_read_from_the_log_before_it_is_noted_here_counts_once(store, cache, monkeypatch):
    """Another thread of this worker may ask for counts just when a transaction has ended."""
    clock = Clock()
    tokens = TokenStore(store, cache=cache, clock=clock)
    bob = user_id(store, "bob")
    real = Dictionary.learned_together

    def late(self, seqs, sums):
        clock.now += 1.0
        self.lock.release()
        tokens.counts(bob, KEYS)
        self.lock.acquire()
        real(self, seqs, sums)

    monkeypatch.setattr(Dictionary, "learned_together", late)
    tokens.train_together(bob, [Material(name, KEYS, lambda *_: SPAM) for name in "ab"], True)
    assert tokens.counts(bob, KEYS).tolist() == (2 * SPAM).tolist()
    assert tokens.totals(bob) == Totals(spam_learned=2)


def test_together_a_user_that_does_not_exist_is_an_error(store, cache):
    with pytest.raises(UnknownUserError):
        TokenStore(store, cache=cache).train_together(99, [Material("m1", KEYS, lambda *_: SPAM)], True)


def test_another_worker_sees_a_training_once_its_poll_is_due(store, cache):
    clock = Clock()
    here, there = TokenStore(store, cache=cache, clock=clock), TokenStore(store, cache=cache)
    bob = user_id(store, "bob")
    here.counts(bob, KEYS)
    there.train(bob, "m1", True, KEYS, SPAM)
    there.train(bob, "m2", False, KEYS, HAM)
    there.undo(bob, "m2")
    clock.now += 1.0
    assert here.counts(bob, KEYS).tolist() == SPAM.tolist()
    assert here.totals(bob) == Totals(spam_learned=1)


def test_a_training_is_counted_once_however_often_the_log_is_read_or_folded(store, cache):
    clock = Clock()
    here, there = TokenStore(store, cache=cache, clock=clock), TokenStore(store, cache=cache)
    bob = user_id(store, "bob")
    rng = np.random.default_rng(1)
    lessons = []
    for number in range(30):
        lessons.append(lesson(rng))
        (here if number % 3 else there).train(bob, f"m{number}", True, *lessons[-1])
        if number % 7 == 0:
            fold(store, bob)
        if number % 2 == 0:
            clock.now += 1.0
            here.counts(bob, KEYS)
    clock.now += 100.0
    keys = np.unique(np.concatenate([keys for keys, _ in lessons]))
    assert (here.counts(bob, keys) == sums(lessons, keys)).all()
    assert here.totals(bob) == Totals(spam_learned=30)


@pytest.mark.servers
@pytest.mark.parametrize("server", ["postgresql", "mariadb"])
def test_a_lower_number_that_is_committed_later_is_not_missed(request, server):
    """A transaction takes its number early; here the one that began first is committed last. SQLite's writers take turns."""
    url = request.getfixturevalue(server).new_store()
    store = Store(url)
    clock = Clock()
    tokens = TokenStore(store, clock=clock)
    bob = user_id(store, "bob")
    tokens.counts(bob, KEYS)
    other = TokenStore(store)
    with store.write() as slow:
        other._append(slow, bob, "a" * 32, True, Deltas(KEYS[:1], SPAM[:1], Totals(spam_learned=1)))
        other.train(bob, "m2", True, KEYS[1:], SPAM[1:])
        clock.now += 1.0
        assert tokens.counts(bob, KEYS).tolist() == [[0, 0, 0], *SPAM[1:].tolist()]
    clock.now += 1.0
    assert tokens.counts(bob, KEYS).tolist() == SPAM.tolist()
    store.close()


def test_workers_and_nodes_that_train_at_once_lose_nothing(database_url, cache):
    stores = [Store(database_url, busy_timeout=PATIENCE) for _ in range(2)]
    nodes = [TokenStore(store, cache=cache) for store in stores]
    bob = user_id(stores[0], "bob")
    rng = np.random.default_rng(2)
    lessons = [lesson(rng) for _ in range(60)]

    def train(number):
        nodes[number % 2].train(bob, f"m{number % 60}", True, *lessons[number % 60])

    stopped = threading.Event()

    def keep_compacting():
        while not stopped.is_set():
            compact(stores[0], rows=1)

    with ThreadPoolExecutor(5) as pool:
        compactor = pool.submit(keep_compacting)
        # Each message twice, from both nodes: half of them are replays.
        futures = [pool.submit(train, number) for number in [*range(60), *range(61, 120), 60]]
        for future in futures:
            future.result()
        stopped.set()
        compactor.result()
    keys = np.unique(np.concatenate([keys for keys, _ in lessons]))
    fresh = TokenStore(stores[1], cache=cache)
    assert (fresh.counts(bob, keys) == sums(lessons, keys)).all()
    assert fresh.totals(bob) == Totals(spam_learned=60)
    for store in stores:
        store.close()


def test_minds_may_change_while_another_node_folds(database_url):
    stores = [Store(database_url, busy_timeout=PATIENCE) for _ in range(2)]
    bob = user_id(stores[0], "bob")
    stopped = threading.Event()

    def keep_compacting():
        while not stopped.is_set():
            compact(stores[1], rows=1)

    def change_mind(number):
        node = TokenStore(stores[0])
        for is_spam in (True, False) * 40:
            node.train(bob, f"m{number}", is_spam, KEYS, SPAM if is_spam else HAM)
        assert node.undo(bob, f"m{number}")
        node.train(bob, f"m{number}", True, KEYS, SPAM)

    with ThreadPoolExecutor(4) as pool:
        compactor = pool.submit(keep_compacting)
        try:
            for future in [pool.submit(change_mind, number) for number in range(3)]:
                future.result()
        finally:
            stopped.set()
        compactor.result()
    assert TokenStore(stores[1]).counts(bob, KEYS).tolist() == (3 * SPAM).tolist()
    for store in stores:
        store.close()


def test_opposite_verdicts_at_once_leave_one_of_them(store):
    bob = user_id(store, "bob")
    nodes = [TokenStore(store) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(nodes[n].train, bob, "m1", n % 2 == 0, KEYS, SPAM if n % 2 == 0 else HAM) for n in range(4)]
        for future in done:
            future.result()
    fresh = TokenStore(store)
    assert fresh.counts(bob, KEYS).tolist() == (SPAM if fresh.verdict(bob, "m1") else HAM).tolist()


@pytest.mark.parametrize("trouble", ["locked", "full"])
def test_what_could_not_be_committed_was_not_learned(tmp_path, trouble):
    url = f"sqlite:///{tmp_path / 'test.db'}"
    make_store(url)
    store = Store(url, pool=1, busy_timeout=0.05)
    tokens = TokenStore(store)
    bob = user_id(store, "bob")
    tokens.train(bob, "m1", True, KEYS, SPAM)
    tokens.counts(bob, KEYS)
    many = np.arange(1, 20_000, dtype=np.int64)
    with trouble_with(tmp_path / "test.db", store, trouble), pytest.raises(StoreError, match=trouble):
        tokens.train(bob, "m2", False, many, np.ones((len(many), 3), dtype=np.int32))
    assert tokens.counts(bob, KEYS).tolist() == SPAM.tolist()
    assert tokens.totals(bob) == Totals(spam_learned=1)
    assert tokens.train(bob, "m2", False, many, np.ones((len(many), 3), dtype=np.int32)) == Taught.LEARNED
    store.close()


@contextlib.contextmanager
def trouble_with(path, store, trouble):
    if trouble == "locked":
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")
        return
    for limit in (1, 2**30):  # the least it can be is what the file has already
        with store.read() as connection:
            connection.exec_driver_sql(f"PRAGMA max_page_count={limit}")
        if limit == 1:
            yield


def test_users_asked_for_least_recently_make_room(sqlite_store):
    tokens = TokenStore(sqlite_store, cache=100_000)
    users = [user_id(sqlite_store, f"user{number}") for number in range(20)]
    for user in users:
        tokens.train(user, "m1", True, KEYS, SPAM)
        tokens.counts(user, KEYS)
    assert len(tokens._dictionaries) == 4
    for user in users:
        assert tokens.counts(user, KEYS).tolist() == SPAM.tolist()


class Idle:
    """A clock that stands still until it is moved."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def crowd(sqlite_store, monkeypatch):
    """Twelve users with 20,000 tokens each, a store in which three of them fit, its clock, and whose tokens it read when."""
    rng = np.random.default_rng(5)
    users = [user_id(sqlite_store, f"user{number}") for number in range(12)]
    keys = np.unique(rng.integers(1, 2**62, 20_000))
    teacher = TokenStore(sqlite_store)
    for user in users:
        teacher.train(user, "m1", True, keys, np.full((len(keys), 3), user, dtype=np.int32))
    compact(sqlite_store)
    loads = []
    load = Dictionary._load

    def noted(dictionary, deadline):
        load(dictionary, deadline)
        loads.append((dictionary._user_id, dictionary.whole))

    monkeypatch.setattr(Dictionary, "_load", noted)
    clock = Idle()
    tokens = TokenStore(sqlite_store, cache=3 * table_bytes(20_000) + 12 * 2 * table_bytes(0), clock=clock)
    return tokens, users, keys, clock, loads


def test_a_message_to_many_users_reads_nobodys_tokens_from_one_end_to_the_other(crowd):
    """Fifty users with 120,000 tokens each took 4.7 s a message: each threw another one's tokens out of memory."""
    tokens, users, keys, _, loads = crowd
    for _ in range(3):
        for user in users:
            assert (tokens.counts(user, keys[::40]) == user).all()
    assert sorted(user for user, _ in loads) == users
    assert [user for user, whole in loads if whole] == users[:3]


def test_who_was_not_asked_for_lately_makes_room(crowd):
    tokens, users, keys, clock, loads = crowd
    for user in users[:3]:
        tokens.counts(user, keys[:10])
    clock.now = 601.0
    tokens.counts(users[2], keys[:10])
    assert (tokens.counts(users[5], keys[:10]) == users[5]).all()
    assert loads[-1] == (users[5], True)
    assert users[0] not in tokens._dictionaries
    assert users[2] in tokens._dictionaries


def test_a_user_who_outgrows_the_memory_is_looked_up_message_by_message(store):
    tokens = TokenStore(store, cache=100_000)
    bob = user_id(store, "bob")
    rng = np.random.default_rng(3)
    lessons = []
    for number in range(40):
        keys = np.unique(rng.integers(-(2**62), 2**62, 300))
        lessons.append((keys, np.ones((len(keys), 3), dtype=np.int32)))
        tokens.train(bob, f"m{number}", True, *lessons[-1])
        if number % 10 == 9:
            compact(store)
        assert (tokens.counts(bob, keys) == 1).all()
    assert not tokens._dictionaries[bob].whole
    for keys, deltas in lessons:
        assert (tokens.counts(bob, keys) == deltas).all()


def test_a_user_is_made_once_however_many_ask(store):
    with ThreadPoolExecutor(4) as pool:
        numbers = set(pool.map(lambda _: user_id(store, "bob"), range(8)))
    assert len(numbers) == 1
    assert find_user(store, "bob") in numbers
    assert find_user(store, "Bob") is None
    assert user_names(store) == ["bob"]


@pytest.mark.parametrize("name", ["", "x" * 256, "a\0b", "\udce9"])
def test_a_name_that_no_database_keeps_is_refused(sqlite_store, name):
    with pytest.raises(ValueError, match="can't be the name"):
        user_id(sqlite_store, name)


def test_classified_messages_are_counted(store):
    bob = user_id(store, "bob")
    count(store, bob, Totals(spam_classified=2, ham_classified=3))
    count(store, bob, Totals(ham_classified=1))
    assert TokenStore(store).totals(bob) == Totals(spam_classified=2, ham_classified=4)


def test_a_deleted_user_is_forgotten_everywhere_and_another_does_not_inherit(store):
    clock = Clock()
    tokens = TokenStore(store, clock=clock)
    bob = user_id(store, "bob")
    tokens.train(bob, "m1", True, KEYS, SPAM)
    compact(store)
    tokens.train(bob, "m2", True, KEYS, SPAM)
    tokens.counts(bob, KEYS)
    delete_user(store, bob)
    new_bob = user_id(store, "bob")
    assert new_bob != bob
    assert tokens.counts(new_bob, KEYS).tolist() == [[0, 0, 0]] * 4
    clock.now += 1.0
    with pytest.raises(UnknownUserError):
        tokens.counts(bob, KEYS)
    with store.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(dspam_training)) == 0
