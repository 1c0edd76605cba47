"""Reading from a replica: what it lacks is known, and where it fails the database itself is asked."""

from __future__ import annotations

import contextlib
import logging

import pytest
import sqlalchemy as sa

from antispam.store import Store, StoreError
from antispam.store.replica import EVERY, MOST_BEHIND, Replica
from antispam.store.schema import history
from support.processes import wait_until
from support.stores import make_store

NOW = 1_700_000_000.0


class Clock:
    now = NOW

    def __call__(self):
        self.now += EVERY  # each look is a new one
        return self.now


def _receive(store, ref, at):
    texts = {
        column.name: "[]"
        for column in history.columns
        if column.name not in ("id", "ref", "received_at", "size", "code")
    }
    with store.write() as connection:
        connection.execute(sa.insert(history).values(ref=ref, received_at=at, size=1, code=0, **texts))


def _refs(store):
    with store.read() as connection:
        return connection.scalars(sa.select(history.c.ref).order_by(history.c.ref)).all()


@pytest.fixture
def both(tmp_path):
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(contextlib.closing(Store(make_store(tmp_path / f"{name}.sqlite"), busy_timeout=0.1)))
            for name in ("primary", "replica")
        ]


def test_a_replica_that_lacks_nothing_is_not_behind(both):
    for store in both:
        _receive(store, "a", NOW - 3600)
    assert Replica(*both, Clock()).behind() == 0


def test_it_is_as_far_behind_as_the_oldest_message_that_it_lacks(both):
    for store in both:
        _receive(store, "a", NOW - 3600)
    for ref, ago in (("b", 20), ("c", 10)):
        _receive(both[0], ref, NOW - ago)
    replica = Replica(*both, Clock())
    assert replica.behind() == 20 + EVERY
    assert replica.ask(_refs) == ["a"]


def test_one_that_is_far_behind_is_not_asked(both, caplog):
    _receive(both[0], "a", NOW - MOST_BEHIND)
    replica = Replica(*both, Clock())
    with caplog.at_level(logging.WARNING):
        assert [replica.ask(_refs) for _ in range(3)] == [["a"]] * 3
    assert [record.message.partition(";")[0] for record in caplog.records] == ["the replica is 305 seconds behind"]


def test_one_that_fails_is_not_waited_for_and_told_of_once(both, tmp_path, caplog):
    _receive(both[0], "a", NOW)
    replica = Replica(both[0], Store("postgresql+psycopg://bms@127.0.0.1:1/none"), Clock())
    with caplog.at_level(logging.WARNING):
        assert [replica.ask(_refs) for _ in range(3)] == [["a"]] * 3
    assert len(caplog.records) == 1
    assert replica.behind() is None


def test_where_the_question_itself_fails_the_primary_answers(both):
    _receive(both[0], "a", NOW)

    def question(store):
        if store is both[1]:
            raise StoreError("conflict with recovery")
        return _refs(store)

    assert Replica(*both, Clock()).ask(question) == ["a"]


@pytest.mark.servers
def test_a_real_replica_follows_is_behind_and_catches_up(postgresql):
    from support.databases import StandBy

    url = postgresql.new_store()
    with (
        StandBy(postgresql) as standby,
        contextlib.closing(Store(url)) as primary,
        contextlib.closing(Store(standby.of(url))) as other,
    ):
        clock = Clock()
        replica = Replica(primary, other, clock)
        _receive(primary, "a", NOW)
        wait_until(lambda: replica.ask(_refs) == ["a"], "it has followed")
        with pytest.raises(StoreError, match="read-only"):
            _receive(other, "x", NOW)
        standby.pause()
        _receive(primary, "b", clock.now)
        assert replica.behind() == EVERY
        assert replica.ask(_refs) == ["a"]
        standby.follow()
        wait_until(lambda: replica.behind() == 0, "it has caught up")
        assert replica.ask(_refs) == ["a", "b"]
