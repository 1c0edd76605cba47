"""The log of lessons: the latest first, those that were taken back left out."""

from __future__ import annotations

import numpy as np
import pytest

from dspam.store import Learned, Said, TokenStore, compact, forget_deltas, latest, learned, name_of, said_since, user_id

pytestmark = pytest.mark.every_database

NONE = np.zeros((0, 3), dtype=np.int32)


class Clock:
    now = 100.0

    def __call__(self):
        self.now += 1.0
        return self.now


@pytest.fixture
def tokens(store):
    return TokenStore(store, now=Clock())


def test_the_latest_lesson_comes_first_with_who_learned_it(store, tokens):
    bob, eve = user_id(store, "bob"), user_id(store, "eve")
    tokens.train(bob, "m1", True, [], NONE)
    tokens.train(eve, "m2", False, [], NONE)
    found = latest(store, 10)
    assert [(one.user, one.message, one.is_spam, one.taught_at, one.undoable) for one in found] == [
        ("eve", name_of("m2"), False, 102.0, True),
        ("bob", name_of("m1"), True, 101.0, True),
    ]


def test_a_page_begins_where_the_last_one_ended(store, tokens):
    bob = user_id(store, "bob")
    for number in range(3):
        tokens.train(bob, f"m{number}", True, [], NONE)
    first = latest(store, 2)
    assert [one.message for one in latest(store, 2, before=first[-1].number)] == [name_of("m0")]


def test_the_lessons_of_one_dictionary(store, tokens):
    for user in ("bob", "eve", "bob"):
        tokens.train(user_id(store, user), f"m{user}{tokens.totals(user_id(store, user)).spam}", True, [], NONE)
    found = [latest(store, 9, user=user) for user in ("bob", "eve", "nobody")]
    assert [[one.user for one in each] for each in found] == [["bob", "bob"], ["eve"], []]
    assert [one.number for one in latest(store, 9, user="bob", before=found[0][0].number)] == [found[0][1].number]


def test_what_was_corrected_is_told_as_it_is_now(store, tokens):
    bob = user_id(store, "bob")
    tokens.train(bob, "m1", True, [], NONE)
    tokens.train(bob, "m1", False, [], NONE)
    assert [(one.message, one.is_spam) for one in latest(store, 10)] == [(name_of("m1"), False)]


def test_a_lesson_is_undone_by_its_row(store, tokens):
    bob = user_id(store, "bob")
    tokens.train(bob, "m1", True, [5], np.array([[1, 0, 0]], dtype=np.int32))
    (lesson,) = latest(store, 10)
    assert tokens.undo_lesson(lesson.user_id, lesson.message) is True
    assert (latest(store, 10), tokens.totals(bob).spam) == ([], 0)
    assert tokens.undo_lesson(lesson.user_id, lesson.message) is False


def test_a_lesson_of_long_ago_can_not_be_undone(store, tokens):
    bob = user_id(store, "bob")
    tokens.train(bob, "m1", True, [5], np.array([[1, 0, 0]], dtype=np.int32))
    while compact(store, rows=0):
        pass
    forget_deltas(store, 1000.0)
    (lesson,) = latest(store, 10)
    assert lesson.undoable is False


def test_what_was_said_since_a_time_in_whatever_state(store, tokens):
    bob = user_id(store, "bob")
    for number in range(3):
        tokens.train(bob, f"m{number}", number == 2, [], NONE)
    assert said_since(store, 102.0, 10) == [Said(name_of("m2"), True, 103.0), Said(name_of("m1"), False, 102.0)]
    assert said_since(store, 0.0, 1) == [Said(name_of("m2"), True, 103.0)]


def test_what_each_dictionary_has_learned_comes_by_name_page_by_page(store, tokens):
    one = np.array([[1, 0, 0]], dtype=np.int32)
    for user, is_spam in (("eve", False), ("bob", True), ("ann", True)):
        tokens.train(user_id(store, user), "m1", is_spam, [5], one)
    compact(store, rows=0)
    tokens.train(user_id(store, "bob"), "m2", True, [5], one)
    tokens.train(user_id(store, "bob"), "m1", False, [6], one)  # a correction; the log has both
    assert learned(store, 2) == [Learned("ann", 1, 0, 1), Learned("bob", 1, 1, 1)]
    assert learned(store, 2, "bob") == [Learned("eve", 0, 1, 1)]
