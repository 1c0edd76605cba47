"""The history hour by hour: counted once, in the time there is, and compared with what people said."""

from __future__ import annotations

import threading

import pytest

from antispam.journey.history_row import row_for
from antispam.mail.connection import Connection
from antispam.mail.message import Body, Message, Recipient
from antispam.mail.subject import Subject
from antispam.mail.verdicts import CONTINUE, reject
from antispam.store import StoreError
from antispam.store import hours as module
from antispam.store.history import HistoryWriter
from antispam.store.hours import AUTOMATIC, HOUR, SETTLED, Hours, Wrong, judged, read_hour
from antispam.store.tally import Disposition
from dspam.store import Said, name_of

pytestmark = pytest.mark.every_database

BEGINS = 1_699_999_200.0  # an hour does
STOP = reject("no", "bad")


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def write(store):
    writer = HistoryWriter(store)

    def write(ref, verdict=CONTINUE, at=BEGINS + 60.0):
        message = Message(ref, "ann@example.org", at, Body(1 << 10))
        message.recipients.append(Recipient("bob@example.com"))
        writer.record(lambda node: row_for(Subject(Connection(ref="c", ip="192.0.2.1"), message), verdict, node))
        writer.flush()

    yield write
    writer.close()


def said(ref, is_spam, at=BEGINS + 900.0):
    return Said(name_of(ref), is_spam, at)


def test_an_hour_has_what_came_from_its_beginning_to_its_end(store, write):
    for ref, at in (("before", -0.001), ("first", 0.0), ("last", HOUR - 0.001), ("after", HOUR)):
        write(ref, at=BEGINS + at)
    assert read_hour(store, BEGINS).day.dispositions == {Disposition.DELIVERED: 2}


def test_a_decision_is_wrong_once_somebody_says_the_opposite(store, write):
    write("spam1", STOP)
    write("spam2", STOP)
    write("ham1")
    write("ham2")
    told = [said("spam1", False), said("spam2", True), said("ham1", True), said("elsewhere", True)]
    assert judged([read_hour(store, BEGINS)], told) == [Wrong(missed=1, lost=1, of=4)]


def test_what_is_said_last_counts(store, write):
    write("ham1")
    assert judged([read_hour(store, BEGINS)], [said("ham1", False), said("ham1", True)]) == [Wrong(0, 0, 1)]


def test_what_the_filter_taught_itself_is_no_correction(store, write):
    write("ham1", at=BEGINS)
    hour = read_hour(store, BEGINS)
    assert judged([hour], [said("ham1", True, BEGINS + AUTOMATIC)]) == [Wrong(0, 0, 1)]
    assert judged([hour], [said("ham1", True, BEGINS + AUTOMATIC + 1)]) == [Wrong(1, 0, 1)]


def test_nothing_decided_and_nothing_said_is_no_error(store):
    assert judged([read_hour(store, BEGINS)], []) == [Wrong(0, 0, 0)]


def test_an_hour_that_is_over_is_read_once_and_the_present_one_again(store, write, monkeypatch):
    clock, read = Clock(), []
    monkeypatch.setattr(module, "read_hour", lambda of, begins: read.append(begins) or read_hour(of, begins))
    hours = Hours(store, clock)
    now = BEGINS + HOUR + SETTLED
    hours.last(2, now, 1.0)
    write("late", at=BEGINS + HOUR + 60)
    clock.now += 60.0
    (over, present) = hours.last(2, now, 1.0)
    assert read == [BEGINS + HOUR, BEGINS, BEGINS + HOUR]
    assert (over.day.messages, present.day.messages) == (0, 1)


def test_an_hour_whose_rows_may_still_come_is_read_again(store, write):
    clock = Clock()
    hours = Hours(store, clock)
    hours.last(2, BEGINS + HOUR + SETTLED - 1, 1.0)
    write("late")
    clock.now += 60.0
    assert hours.last(2, BEGINS + HOUR + SETTLED, 1.0)[0].day.messages == 1


def test_what_takes_too_long_is_counted_the_next_time(store, write, monkeypatch):
    clock = Clock()

    def slow(of, begins):
        clock.now += 1.0
        return read_hour(of, begins)

    monkeypatch.setattr(module, "read_hour", slow)
    hours = Hours(store, clock)
    now = BEGINS + 30.0
    assert [one.begins for one in hours.last(3, now, 1.5)] == [BEGINS - HOUR, BEGINS]
    assert len(hours.last(3, now, 1.5)) == 3


def test_which_messages_there_were_is_forgotten_of_the_oldest_hours(store, write, monkeypatch):
    monkeypatch.setattr(module, "MOST", 1)
    write("older", at=BEGINS - 60)
    write("newer")
    older, newer = Hours(store, Clock()).last(2, BEGINS + 120.0, 1.0)
    assert (older.complete, newer.complete, older.day.messages) == (False, True, 1)
    assert judged([older, newer], [said("older", True), said("newer", True)]) == [None, Wrong(1, 0, 1)]


def test_the_background_counts_what_is_missing_until_it_is_told_to_end(store, write, monkeypatch):
    class Closing:
        rests = 0

        def is_set(self):
            return self.rests == 3

        def wait(self, seconds):
            self.rests += 1

    clock = Clock()

    def slow(of, begins):
        clock.now += 1.0
        return read_hour(of, begins)

    monkeypatch.setattr(module, "read_hour", slow)
    hours = Hours(store, clock)
    hours.keep(3, lambda: BEGINS + HOUR + SETTLED, Closing())
    monkeypatch.setattr(module, "read_hour", None)
    assert len(hours.last(3, BEGINS + HOUR + SETTLED, 0.0)) == 3


def test_a_database_that_does_not_answer_does_not_end_the_background(store, monkeypatch):
    asked = []

    def broken(of, begins):
        asked.append(begins)
        raise StoreError("gone")

    monkeypatch.setattr(module, "read_hour", broken)
    closing = threading.Event()
    monkeypatch.setattr(closing, "wait", lambda seconds: closing.set() if len(asked) == 2 else None)
    Hours(store, Clock()).keep(3, lambda: BEGINS, closing)
    assert len(asked) == 2
