"""How far the folders of mailboxes were read."""

from __future__ import annotations

import pytest

from antispam.store.folders_read import Position, advance, position, purge

pytestmark = pytest.mark.every_database


def test_it_is_noted_for_each_folder_of_each_account(store):
    far = Position(2**32 - 1, 2**32 - 1)  # both are 32 bits without a sign
    advance(store, "ann", "Junk", far, 1.0)
    advance(store, "Ann", "Junk", Position(1, 2), 1.0)
    advance(store, "ann", "Spam ☃", Position(3, 4), 1.0)
    found = [position(store, *one) for one in (("ann", "Junk"), ("Ann", "Junk"), ("ann", "Spam ☃"), ("bob", "Junk"))]
    assert found == [far, Position(1, 2), Position(3, 4), None]


def test_the_last_word_holds(store):
    advance(store, "ann", "Junk", Position(7, 9), 1.0)
    advance(store, "ann", "Junk", Position(8, 1), 2.0)
    assert position(store, "ann", "Junk") == Position(8, 1)


def test_what_nobody_looks_into_is_forgotten(store):
    advance(store, "ann", "Junk", Position(7, 9), 1.0)
    advance(store, "bob", "Junk", Position(7, 9), 2.0)
    purge(store, 2.0)
    assert [position(store, name, "Junk") for name in ("ann", "bob")] == [None, Position(7, 9)]
