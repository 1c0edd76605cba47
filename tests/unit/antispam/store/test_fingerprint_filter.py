"""Which marks reports hold, in memory: never a no where the database has it."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from antispam.protocols.fingerprints import Marks
from antispam.store import fingerprint_filter, fingerprints
from antispam.store.fingerprint_filter import RELOAD, MarkFilter
from antispam.store.schema import fingerprint

pytestmark = pytest.mark.every_database

NOW = 1_700_000_000.0
BIG = (1 << 63) - 1


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def known(store, clock):
    return MarkFilter(store, clock)


def report(store, *texts, reporter=1):
    marks = Marks(tuple(sorted(texts)), frozenset(), len(texts))
    fingerprints.report(store, marks, hash(texts) & 0xFFFF, reporter, NOW, 1000.0, common=5)


def test_without_reports_it_is_empty(known):
    assert known.is_empty()
    assert known.possible([1, 2, BIG]) == []


def test_what_a_report_holds_is_possible_and_nothing_else(store, known):
    report(store, 5, 7, BIG)
    assert not known.is_empty()
    assert known.possible([BIG, 1, 5, 6, 8]) == [BIG, 5]


def test_the_report_of_another_worker_is_here_within_a_second(store, known, clock):
    known.is_empty()
    report(store, 5)
    assert known.possible([5]) == []
    clock.now += 1.0
    assert known.possible([5]) == [5]


def test_a_report_of_this_worker_counts_at_once(known):
    known.is_empty()
    known.note([5])
    assert known.possible([5, 6]) == [5]


def test_until_all_is_read_everything_is_possible(store, known, clock, monkeypatch):
    monkeypatch.setattr(fingerprint_filter, "_CHUNK", 2)
    monkeypatch.setattr(fingerprint_filter, "_OVERLAP", 0)
    report(store, 1, 2, 3, 4, 5)
    assert known.possible([1, 9]) == [1, 9]
    assert known.possible([1, 9]) == [1, 9]
    assert known.possible([1, 9]) == [1]


def test_rows_that_were_committed_late_are_read_once_more(store, known, clock):
    report(store, 1, 2, 3)
    known.is_empty()
    with store.write() as connection:  # numbered before the last that was read, as two transactions at once may have it
        row = sa.select(fingerprint.c.report_id).limit(1).scalar_subquery()
        low = sa.update(fingerprint).where(fingerprint.c.mark == 1).values(mark=77, report_id=row)
        connection.execute(low)
    clock.now += 1.0
    assert known.possible([77]) == [77]


def test_what_has_gone_is_forgotten_when_all_is_read_anew(store, known, clock):
    report(store, 5)
    known.is_empty()
    while fingerprints.purge(store, NOW + 2000):
        pass
    clock.now += RELOAD
    assert known.is_empty()


def test_many_marks_are_known_as_few_are(known, monkeypatch):
    monkeypatch.setattr(fingerprint_filter, "_RECENT", 10)
    known.is_empty()
    for first in range(0, 100, 5):
        known.note(range(first, first + 5))
    assert known.possible([99, 3, 100, 57]) == [99, 3, 57]
