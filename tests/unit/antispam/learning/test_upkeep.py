"""Folding, forgetting, and a word when nobody teaches any more."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from antispam.learning import upkeep
from antispam.service.housekeeping import Housekeeper
from dspam.schema import State, dspam_signature, dspam_training
from dspam.store import TokenStore, put_signature, user_id
from support.learning import dspam_settings, teach

NOW, DAY = 1_700_000_000.0, 86_400.0


def at(store, now, config=""):
    Housekeeper(upkeep.chores(dspam_settings(config), store, lambda: now), first=0, pause=0).round()


def taught(store, when):
    TokenStore(store, now=lambda: when).train(user_id(store, "ann"), "m", True, [5], [[1, 0, 0]])


def states(store):
    with store.read() as connection:
        return connection.scalars(sa.select(dspam_training.c.state)).all()


def test_many_trainings_are_folded_and_the_score_stays(store):
    teach(store, "ann", 300)
    at(store, NOW)
    assert set(states(store)) == {State.FOLDED}


def test_few_wait_an_hour(store):
    taught(store, NOW)
    at(store, NOW + 60)
    assert states(store) == [State.PENDING]
    at(store, NOW + 3700)
    assert states(store) == [State.FOLDED]


def test_what_can_not_be_taken_back_any_more_and_old_signatures_are_forgotten(store):
    taught(store, NOW)
    put_signature(store, user_id(store, "ann"), "old", b"", NOW)
    put_signature(store, user_id(store, "ann"), "new", b"", NOW + 9 * DAY)
    at(store, NOW + 11 * DAY, "retain_undo = 10d\nretain_signatures = 10d")
    assert states(store) == [State.SPENT]
    with store.read() as connection:
        assert connection.scalars(sa.select(dspam_signature.c.signature)).all() == ["new"]


def test_when_nobody_teaches_any_more_the_log_says_so(store, caplog):
    at(store, NOW)
    assert caplog.text == ""
    taught(store, NOW)
    at(store, NOW + 14 * DAY)
    assert caplog.text == ""
    at(store, NOW + 15 * DAY)
    assert "nobody has trained the filter for 15 days" in caplog.text
    caplog.clear()
    at(store, NOW + 15 * DAY, "alarm = 0")
    assert caplog.text == ""


def test_what_was_taken_back_is_not_teaching(store):
    taught(store, NOW)
    TokenStore(store, now=lambda: NOW + DAY).undo(user_id(store, "ann"), "m")
    assert upkeep.last_taught(store) == NOW


@pytest.mark.parametrize("config", ["training_mode = teft", "dspam_train = ann"])
def test_what_the_filter_learns_by_itself_does_not_keep_the_alarm_quiet(store, caplog, config):
    for day in range(20):
        TokenStore(store, now=lambda day=day: NOW + day * DAY).train(
            user_id(store, "ann"), f"m{day}", False, [5], [[0, 1, 0]]
        )
    at(store, NOW + 10 * DAY, config)
    assert caplog.text == ""
    at(store, NOW + 20 * DAY, config)
    assert "nobody has trained the filter for 20 days" in caplog.text
    caplog.clear()
    TokenStore(store, now=lambda: NOW + 19 * DAY).train(user_id(store, "ann"), "m3", True, [5], [[1, 0, 0]])
    at(store, NOW + 20 * DAY, config)
    assert caplog.text == ""
