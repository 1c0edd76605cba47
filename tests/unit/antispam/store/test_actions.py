"""What was done in the console: the latest first, for a year."""

from __future__ import annotations

import pytest

from antispam.store import actions

pytestmark = pytest.mark.every_database

NOW = 1_700_000_000.0


def test_the_latest_come_first_page_by_page(store):
    for number in range(3):
        actions.note(store, "ann", f"did {number}", NOW + number)
    first = actions.latest(store, 2)
    assert [(one.account, one.what, one.at) for one in first] == [("ann", "did 2", NOW + 2), ("ann", "did 1", NOW + 1)]
    assert [one.what for one in actions.latest(store, 2, before=first[-1].number)] == ["did 0"]


def test_whatever_was_typed_is_kept_in_a_form_that_a_database_takes(store):
    actions.note(store, "a\0n\ud800", "x" * 5000 + "\0", NOW)
    (one,) = actions.latest(store, 9)
    assert ("\0" in one.account + one.what, len(one.what) <= 1000) == (False, True)


def test_after_a_year_it_is_forgotten(store):
    actions.note(store, "ann", "did that", NOW)
    assert actions.purge(store, NOW + actions.KEPT) == 0
    assert actions.purge(store, NOW + actions.KEPT + 1) == 1
    assert actions.latest(store, 9) == []
