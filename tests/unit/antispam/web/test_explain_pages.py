"""Searching the history: by day, by what became of a message, by the check that stopped it, page by page."""

from __future__ import annotations

import datetime
import re

import pytest

from antispam.store import accounts
from antispam.store.accounts import Account, Role
from support.console import NOW

DAY = 86_400.0


def refs(text):
    return re.findall(r'href="\?ref=([a-z0-9]+)"', text)


@pytest.fixture
def week(place):
    """A message a day for a week, the last one now."""
    for back in range(7):
        place.clock.now = NOW - back * DAY
        place.keep(f"day{back}", "bob")
    place.clock.now = NOW
    return place


def day(back):
    return datetime.datetime.fromtimestamp(NOW - back * DAY).date().isoformat()


def test_a_range_of_days_includes_its_first_and_last_day(week):
    page = week.client("helen").get(f"/explain?since={day(4)}&until={day(2)}").text
    assert refs(page) == ["day2", "day3", "day4"]


@pytest.mark.parametrize(("action", "number"), [("quarantined", 7), ("delivered", 0), ("<script>", 0)])
def test_what_became_of_it(week, action, number):
    page = week.client("helen").get("/explain", params={"action": action, "to": "bob@example.com"}).text
    assert len(refs(page)) == number


@pytest.mark.parametrize(("check", "number"), [("spam_action", 7), ("dkim", 0)])
def test_the_check_that_stopped_it(week, check, number):
    page = week.client("helen").get("/explain", params={"check": check}).text
    assert len(refs(page)) == number


def test_a_search_has_pages_that_ask_the_same(place):
    for number in range(51):
        place.keep(f"a{number}", "bob")
    client = place.client("helen")
    first = client.get("/explain?to=bob@example.com").text
    (older,) = re.findall(r'href="(\?[^"]+)" rel="next"', first)
    assert "to=bob%40example.com" in older
    second = client.get("/explain" + older.replace("&amp;", "&")).text
    assert (len(refs(first)), refs(second)) == (50, ["a0"])


def test_a_user_finds_only_their_own_mail_whatever_they_ask(place):
    accounts.add(place.store, Account("dave", Role.USER, "", ("dave@example.com",)), NOW)
    for ref, user in (("aaa", "dave"), ("bbb", "carol"), ("ccc", "dave")):
        place.keep(ref, user)
    page = place.client("dave").get("/explain?action=quarantined").text
    assert refs(page) == ["ccc", "aaa"]


@pytest.mark.parametrize("query", ["since=9999-12-31&until=9999-12-31", "since=x", "until=0001-01-01", "since=%00"])
def test_a_day_that_is_none_is_no_error(place, query):
    place.keep("aaa", "bob")
    assert place.client("helen").get(f"/explain?{query}").status_code == 200


def test_a_message_is_explained_in_the_language_of_the_reader(place):
    place.keep("aaa", "bob")
    page = place.client("ann").get("/explain?ref=aaa", headers={"Accept-Language": "de"}).text
    told = " ".join(re.sub(r"<[^>]*>", " ", page.partition("<main")[2]).split())
    assert "aaa: in Quarantäne" in told
    assert "in der Quarantäne von bob; bms quarantine release aaa stellt sie zu" in told
    assert "<code>bms quarantine release aaa</code>" in page
    assert "Anlernen ändert das Urteil des Filters" in told
    assert not {"quarantined", "envelope", "received", "octets", "Training"} & set(told.replace(":", " ").split())
