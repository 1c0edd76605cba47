"""Upkeep: piece by piece, to the end, and again the next time."""

from __future__ import annotations

import numpy as np
import pytest
import sqlalchemy as sa

from dspam.schema import State, dspam_page, dspam_signature, dspam_training
from dspam.store import Folding, Forgetting, Retention, TokenStore, find_signature, put_signature, user_id

pytestmark = pytest.mark.every_database

DAY = 86_400.0
ONE = np.array([[1, 0, 5]], dtype=np.int32)


class Clock:
    now = 1000 * DAY

    def __call__(self):
        return self.now


def states(store):
    with store.read() as connection:
        return sorted(connection.scalars(sa.select(dspam_training.c.state)))


def calls_until_done(task):
    """How many calls did something."""
    count = 0
    while task():
        count += 1
    return count


def test_trainings_are_folded_when_they_are_many_or_old_one_user_a_piece(store):
    clock = Clock()
    tokens, folding = TokenStore(store, now=clock), Folding(store, rows=2, delay=60.0, now=clock)
    bob, eve = user_id(store, "bob"), user_id(store, "eve")
    for user, message in ((bob, "a"), (bob, "b"), (eve, "a")):
        tokens.train(user, message, True, [1], ONE)
    assert calls_until_done(folding) == 1
    assert states(store) == [State.PENDING, State.FOLDED, State.FOLDED]
    clock.now += 61.0
    assert calls_until_done(folding) == 1
    assert states(store) == [State.FOLDED] * 3
    assert calls_until_done(folding) == 0


def test_everything_is_forgotten_at_its_time(store):
    clock = Clock()
    keep = Retention(signatures=DAY, undo=10 * DAY, replays=20 * DAY, tokens=30 * DAY, rare=30 * DAY)
    tokens, forgetting = TokenStore(store, now=clock), Forgetting(store, keep, now=clock)
    bob = user_id(store, "bob")
    put_signature(store, bob, "4f0a", b"", now=clock.now)
    tokens.train(bob, "a", True, [1], ONE)
    while Folding(store, rows=1, now=clock)():
        pass
    found = []
    for days in (0.5, 1, 10, 10, 10):
        clock.now += days * DAY
        calls_until_done(forgetting)
        with store.read() as connection:
            pages = connection.scalar(sa.select(sa.func.count()).select_from(dspam_page))
        found.append((len(find_signature(store, "4f0a")), states(store), pages))
    assert found == [
        (1, [State.FOLDED], 1),
        (0, [State.FOLDED], 1),
        (0, [State.SPENT], 1),
        (0, [], 1),
        (0, [], 0),
    ]


def test_an_error_is_raised_and_the_next_call_starts_afresh(store, monkeypatch):
    clock = Clock()
    TokenStore(store, now=clock).train(user_id(store, "bob"), "a", True, [1], ONE)
    folding = Folding(store, rows=1, now=clock)
    with monkeypatch.context() as patch:
        patch.setattr(store, "write", lambda **options: (_ for _ in ()).throw(OSError("disk gone")))
        with pytest.raises(OSError, match="disk gone"):
            folding()
    assert calls_until_done(folding) == 1


def test_signatures_are_forgotten_some_at_a_time(store):
    """Two hundred held SQLite's lock for more than 50 ms, with a million signatures there."""
    clock = Clock()
    bob = user_id(store, "bob")
    for number in range(120):
        put_signature(store, bob, f"{number:04x}", b"", now=0.0)
    left, forgetting = [], Forgetting(store, now=clock)
    while forgetting():
        with store.read() as connection:
            left.append(connection.scalar(sa.select(sa.func.count()).select_from(dspam_signature)))
    assert left[:3] == [70, 20, 0]
