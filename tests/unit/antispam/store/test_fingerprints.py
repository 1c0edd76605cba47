"""Reports of spam in the store: what is found again, what is common, what is taken back, what expires."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from antispam.protocols.fingerprints import Kind, Marks
from antispam.store import fingerprints
from antispam.store.fingerprints import TAUGHT
from antispam.store.schema import fingerprint, fingerprint_common, fingerprint_report

pytestmark = pytest.mark.every_database

NOW = 1_700_000_000.0
DAY = 86_400.0
BIG = (1 << 63) - 2
TEXTS = (11, 12, 13, 14, 15, 16, BIG)
MARKS = Marks(TEXTS, frozenset(TEXTS), len(TEXTS), links=(100,), files=(200,))


def report(store, marks=MARKS, message=1, reporter=1, now=NOW, **more):
    return fingerprints.report(store, marks, message, reporter, now, 30 * DAY, common=5, **more)


def matching(store, marks=MARKS, now=NOW + 1):
    return fingerprints.matching(store, marks.all, now, 5)


def count(store, table):
    with store.read() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(table))


def test_the_marks_of_a_report_are_found_with_who_made_it(store):
    report(store, reporter=BIG)
    found = matching(store)
    assert {one.mark for one in found} == set(MARKS.all)
    assert {(one.reporter, one.trusted, one.texts, one.ceiling) for one in found} == {(BIG, False, 7, (1 << 63) - 1)}
    assert {one.mark: one.kind for one in found if one.kind is not Kind.TEXT} == {100: Kind.LINK, 200: Kind.FILE}


def test_the_same_report_counts_once_however_often_and_wherever_it_comes(store):
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: report(store), range(4)))
    assert sorted(made) == [False, False, False, True]
    assert len(matching(store)) == len(MARKS.all)


def test_of_a_long_text_the_64_smallest_marks_are_kept(store):
    long = Marks(tuple(range(1, 201)), frozenset(), 500)
    report(store, long)
    found = matching(store, long)
    assert {one.mark for one in found} == set(range(1, 65))
    assert {(one.texts, one.ceiling) for one in found} == {(64, 64)}


def test_a_report_expires(store):
    report(store)
    assert matching(store, now=NOW + 30 * DAY) == []


def test_its_reporter_takes_a_report_back_and_nobody_else(store):
    report(store)
    assert fingerprints.take_back(store, 1, 2) == 0
    assert matching(store)
    assert fingerprints.take_back(store, 1, 1) == 1
    assert matching(store) == []
    assert count(store, fingerprint) == 0


def test_reports_of_others_are_not_taken_back_by_their_number(store):
    report(store)
    number = matching(store)[0].report
    assert fingerprints.take_back(store, 99, 2, [number]) == 0
    assert fingerprints.take_back(store, 99, 1, [number]) == 1


def test_a_report_that_was_taken_back_can_be_made_again(store):
    report(store)
    fingerprints.take_back(store, 1, 1)
    assert report(store)
    assert matching(store)


def test_what_many_senders_have_is_common(store):
    report(store)
    for sender in range(5):
        assert 12 in {one.mark for one in matching(store)}
        for _ in range(3):  # each counts once
            fingerprints.witness(store, [12], sender, 1, NOW)
    assert {one.mark for one in matching(store)} == set(MARKS.all) - {12}


def test_one_message_that_was_taught_as_honest_makes_its_marks_common(store):
    fingerprints.witness(store, [12, 13, 12], 7, TAUGHT, NOW)
    report(store)
    found = matching(store)
    assert {one.mark for one in found} == set(MARKS.all) - {12, 13}
    assert {one.texts for one in found} == {5}


def test_what_a_witness_said_can_be_taken_back(store):
    fingerprints.witness(store, [12, 13], 7, TAUGHT, NOW)
    fingerprints.without(store, 7)
    report(store)
    assert {one.mark for one in matching(store)} == set(MARKS.all)


def test_no_number_of_reports_makes_a_message_read_more_than_eight(store):
    for reporter in range(12):
        report(store, reporter=reporter)
    found = matching(store)
    assert len({one.report for one in found}) == 8


def test_one_reporter_leaves_room_for_the_others(store):
    for message in range(12):
        report(store, message=message)
    for reporter in (2, 3):
        report(store, reporter=reporter)
    assert {one.reporter for one in matching(store)} == {1, 2, 3}


def test_nothing_is_asked_for_a_message_without_marks(store):
    assert fingerprints.matching(store, (), NOW, 5) == []


def test_what_has_expired_is_forgotten_in_slices(store):
    report(store)
    report(store, message=2, now=NOW + 20 * DAY)
    fingerprints.witness(store, [12], 7, 1, NOW - 200 * DAY)
    fingerprints.witness(store, [13], 7, 1, NOW)
    slices = 0
    while fingerprints.purge(store, NOW + 31 * DAY, 4):
        slices += 1
    assert slices >= 4
    assert count(store, fingerprint) == len(MARKS.all)
    assert (count(store, fingerprint_report), count(store, fingerprint_common)) == (1, 1)


def test_what_is_known_is_counted_without_what_has_expired(store):
    report(store, message=1, reporter=1)
    report(store, message=1, reporter=2, trusted=True)
    assert fingerprints.known(store, NOW + 1) == fingerprints.Known(2, 1, 1, 2, 2 * len(MARKS.all))
    assert fingerprints.known(store, NOW + 31 * DAY) == fingerprints.Known(0, 0, 0, 0, 0)
