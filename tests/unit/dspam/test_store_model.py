"""Whatever happens in whatever order, on whichever node: the tokens are the sum of the trainings in force."""

from __future__ import annotations

import numpy as np
import pytest

from antispam.store import Store
from dspam.store import Taught, TokenStore, Totals, compact, purge_tokens, user_id
from dspam.store.compactor import fold

pytestmark = pytest.mark.every_database

DAY = 86_400.0
KEYS = (np.arange(-300, 300) * 0x51_7CC1_B727_2203 + 1).astype(np.int64)


class World:
    """Two nodes, one that holds all tokens and one that looks each message up, and what they should know."""

    def __init__(self, stores, seed):
        self.rng = np.random.default_rng(seed)
        self.seconds, self.today = 0.0, 1000 * DAY
        self.stores = stores
        self.nodes = [
            TokenStore(store, cache=cache, clock=lambda: self.seconds, now=lambda: self.today)
            for store, cache in zip(stores, (64 << 20, 1), strict=True)
        ]
        self.user = user_id(stores[0], "bob")
        self.taught = {}

    def step(self):
        """One thing that may happen."""
        node = self.nodes[self.rng.integers(2)]
        message = f"m{self.rng.integers(12)}"
        match self.rng.integers(10):
            case 0 | 1 | 2 | 3 | 4:
                self.train(node, message, bool(self.rng.integers(2)))
            case 5:
                assert node.undo(self.user, message) == (self.taught.pop(message, None) is not None)
            case 6:
                fold(self.stores[self.rng.integers(2)], self.user, entries=int(self.rng.integers(1, 300)))
            case 7:
                compact(self.stores[self.rng.integers(2)])
            case 8:
                self.today += DAY
                purge_tokens(self.stores[0], self.user, self.today - 5 * DAY, pages_per_slice=2)
            case 9:
                self.check()

    def train(self, node, message, is_spam):
        keys = self.rng.permutation(KEYS)[: self.rng.integers(0, 120)]
        deltas = self.rng.integers(-300, 300, (len(keys), 3)).astype(np.int32)
        before = self.taught.get(message)
        taught = node.train(self.user, message, is_spam, keys, deltas)
        if before is None:
            assert taught == Taught.LEARNED
        else:
            assert taught == (Taught.REPLAY if before[0] == is_spam else Taught.RETRAINED)
        if taught != Taught.REPLAY:
            self.taught[message] = (is_spam, keys, deltas)

    def check(self):
        self.seconds += 1.0
        expected = {key: np.zeros(3, dtype=np.int64) for key in KEYS.tolist()}
        for _, keys, deltas in self.taught.values():
            for key, delta in zip(keys.tolist(), deltas, strict=True):
                expected[key] += delta
        spam = sum(is_spam for is_spam, _, _ in self.taught.values())
        for node in self.nodes:
            assert (node.counts(self.user, KEYS) == np.array([expected[key] for key in KEYS.tolist()])).all()
            assert node.totals(self.user) == Totals(spam_learned=spam, ham_learned=len(self.taught) - spam)


@pytest.mark.parametrize("seed", range(4))
def test_the_tokens_are_the_sum_of_the_trainings_in_force(database_url, seed):
    stores = [Store(database_url), Store(database_url)]
    world = World(stores, seed)
    for _ in range(120):
        world.step()
    world.check()
    compact(stores[0])
    world.check()
    for message in list(world.taught):
        assert world.nodes[0].undo(world.user, message)
        del world.taught[message]
    world.check()
    for store in stores:
        store.close()
