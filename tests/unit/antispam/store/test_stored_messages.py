"""Large messages in the quarantine: whole wherever they are read, and deleted in short transactions."""

from __future__ import annotations

import contextlib
import itertools

import pytest
import sqlalchemy as sa

from antispam.store import stored_messages
from antispam.store.quarantine import content, of_ref, remove
from antispam.store.retention import Limits, clean
from antispam.store.schema import stored_message, stored_piece
from support.quarantined import DAY, NOW, contents, entries, keep

pytestmark = pytest.mark.every_database

HEAD = b"Subject: lunch\r\n\r\n"
FOR_A_DAY = Limits(keep=DAY, size=0, messages=0, released=0.0)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(stored_messages, "PIECE", 100)


def pieces(store):
    """The number of octets in each row."""
    with store.read() as connection:
        first = connection.scalars(sa.select(sa.func.length(stored_message.c.content))).all()
        return [*first, *connection.scalars(sa.select(sa.func.length(stored_piece.c.content)))]


@pytest.mark.parametrize("size", [0, 79, 80, 81, 180, 181, 1000])
def test_a_message_of_any_size_is_read_as_it_was_stored(store, size):
    body = bytes(number % 251 for number in range(size))
    keep(store, "large", body=body)
    assert content(store, "large") == HEAD + body
    assert max(pieces(store)) <= 100
    assert sum(pieces(store)) == len(HEAD) + size


def test_no_transaction_deletes_more_than_one_piece(store, monkeypatch):
    """A message of 50 MB held the lock for more than half a second."""
    keep(store, "large", at=NOW - 2 * DAY, body=b"x" * 1000)
    left = [sum(pieces(store))]
    write = store.write

    @contextlib.contextmanager
    def watched(*arguments, **named):
        with write(*arguments, **named) as connection:
            yield connection
        left.append(sum(pieces(store)))

    monkeypatch.setattr(store, "write", watched)
    clean(store, NOW, lambda user: FOR_A_DAY)
    assert left[-1] == 0
    assert max(before - after for before, after in itertools.pairwise(left)) <= 100
    assert entries(store) == contents(store) == []


def test_what_was_deleted_halfway_is_gone_for_readers_and_finished_by_the_next_cleaning(store):
    keep(store, "large", body=b"x" * 1000)
    keep(store, "other", body=b"y" * 1000)
    remove(store, of_ref(store, "large"))
    assert contents(store) == ["other"]
    assert sum(pieces(store)) > len(HEAD) + 1000
    clean(store, NOW, lambda user: FOR_A_DAY)
    assert sum(pieces(store)) == len(HEAD) + 1000
    assert content(store, "other") == HEAD + b"y" * 1000


@pytest.mark.parametrize("size", [10, 300, 2000])
def test_a_message_that_is_stored_again_under_its_reference_has_nothing_of_the_old_one(store, size):
    """The client's retry after an administrator deleted the entry, while pieces are left."""
    keep(store, "large", body=b"x" * 1000)
    remove(store, of_ref(store, "large"))
    with store.write() as connection:
        stored_messages.write(connection, "large", NOW, HEAD + b"y" * size, again=True)
    with store.read() as connection:
        assert stored_messages.read(connection, "large") == HEAD + b"y" * size


def test_a_message_that_an_older_version_stored_in_one_piece_is_read(store):
    with store.write() as connection:
        connection.execute(sa.insert(stored_message).values(ref="older", stored_at=NOW, content=b"x" * 500))
    assert content(store, "older") == b"x" * 500


def test_what_is_nobodys_is_looked_for_once_in_a_sweep(store, monkeypatch):
    """Each slice read all pieces of the messages that stay: with a million of them a round took more than four minutes."""
    monkeypatch.setattr(stored_messages, "_SWEPT", 3)
    keep(store, "a", body=b"x" * 1000)
    keep(store, "goes", body=b"x" * 1000)
    remove(store, of_ref(store, "goes"))
    begins = []

    def note(_connection, _cursor, statement, parameters, *_):
        if statement.startswith("SELECT stored_piece.ref"):
            values = parameters.values() if isinstance(parameters, dict) else parameters
            begins.append("goes" in values)

    sa.event.listen(store._engine, "before_cursor_execute", note)
    for _ in stored_messages.sweep(store):
        pass
    assert begins[0] is False
    assert begins[1:] == [True] * (len(begins) - 1)
    assert len(begins) > 3
    assert sum(pieces(store)) == len(HEAD) + 1000


def test_a_sweep_of_what_was_just_deleted_leaves_the_rest_alone(store):
    for ref in ("mine", "other"):
        keep(store, ref, body=b"x" * 1000)
        remove(store, of_ref(store, ref))
    left = sum(pieces(store))
    for _ in stored_messages.sweep(store, ["mine"]):
        pass
    assert sum(pieces(store)) == left // 2
