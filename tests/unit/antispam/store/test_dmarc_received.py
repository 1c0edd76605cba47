"""Reports of others about our domains: each counts once, and what they claim is bounded."""

from __future__ import annotations

import concurrent.futures

import pytest

from antispam.protocols.dmarc_reports import Received
from antispam.protocols.dmarc_reports.reading import Source
from antispam.store import dmarc_received
from antispam.store.dmarc_received import DAY, KEPT, By, Sum, days, purge, put, sums

pytestmark = pytest.mark.every_database

NOW = 1_700_000_000.0
TODAY = int(NOW) // DAY


def source(ip="192.0.2.1", count=1, *, spf="fail", dkim="fail", disposition="none"):
    return Source(ip, count, disposition, dkim, spf, "example.com", "example.com", "")


def report(*sources, name="r1", domain="example.com", begin=TODAY * DAY, org="Big Mail"):
    return Received(org, name, domain, "reject", begin, begin + DAY - 1, sources or (source(),))


def test_sums_tell_who_fails_most(store):
    put(store, report(source(count=5, spf="pass"), source("192.0.2.2", 3, disposition="reject")), NOW)
    put(store, report(source(count=2, spf="pass", dkim="pass"), name="r2", domain="example.net", org="Small"), NOW)
    assert sums(store, By.SOURCE, TODAY, 9) == [
        Sum("192.0.2.2", 3, 0, 0, 0, 3),
        Sum("192.0.2.1", 7, 7, 7, 2, 0),
    ]
    assert [one[:3] for one in sums(store, By.DOMAIN, TODAY, 9)] == [("example.com", 8, 5), ("example.net", 2, 2)]
    assert [one.name for one in sums(store, By.REPORTER, TODAY, 1)] == ["Big Mail"]
    assert [one.name for one in sums(store, By.SOURCE, TODAY, 9, "example.net")] == ["192.0.2.1"]
    assert days(store, TODAY) == {TODAY: (7, 3)}


def test_a_report_counts_once(store):
    assert [put(store, report(), NOW), put(store, report(), NOW + 1)] == [True, False]
    assert days(store, TODAY) == {TODAY: (0, 1)}


def test_a_report_that_two_commands_store_at_once_counts_once(store):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: put(store, report(), NOW), range(4)))
    assert (sum(done), days(store, TODAY)) == (1, {TODAY: (0, 1)})


@pytest.mark.parametrize("begin", [0, -5 * DAY, (TODAY + 9) * DAY, 10**15, (TODAY - 999) * DAY])
def test_a_day_that_can_not_be_is_that_of_its_arrival(store, begin):
    put(store, report(begin=begin), NOW)
    assert list(days(store, 0)) == [TODAY]


def test_a_report_without_end_is_added_up(store, monkeypatch):
    monkeypatch.setattr(dmarc_received, "MOST_ROWS", 2)
    put(store, report(*(source(f"192.0.2.{number}", number + 1) for number in range(5))), NOW)
    found = {one.name: one.messages for one in sums(store, By.SOURCE, TODAY, 9)}
    assert found == {"": 12, "192.0.2.0": 1, "192.0.2.1": 2}


def test_claims_are_bounded_and_safe_to_store(store):
    hostile = "\x00\ud800'><script>" + "\u0130" * 400
    bad = Source(hostile, 10**18, hostile, hostile, hostile, hostile, hostile, hostile)
    put(store, report(bad, source(count=-7), name=hostile, domain=hostile, org=hostile), NOW)
    (first, second) = sorted(sums(store, By.SOURCE, TODAY, 9), key=lambda one: -one.messages)
    assert (first.messages, second.messages) == (dmarc_received.MOST_MESSAGES, 0)


def test_old_reports_are_forgotten(store):
    put(store, report(), NOW)
    assert purge(store, NOW) == 0
    assert purge(store, NOW + KEPT) == 1
    assert days(store, 0) == {}
