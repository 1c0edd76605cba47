"""The site's lists in the console: long lists, names that are none, and whose word stays."""

from __future__ import annotations

import re

import pytest

from antispam.store import lists
from antispam.store.lists import Kind
from support.console import NOW, token


def add(place, **form):
    client = place.client("ann")
    data = {"do": "add", "kind": "blacklist", "reason": "", "period": "", "token": token(client)} | form
    return client.post("/lists", data=data)


def test_an_entry_names_its_administrator_who_has_the_last_word(place):
    add(place, name="eve@example.org", reason="rude", period="30d")
    lists.add(place.store, Kind.BLACKLIST, "eve@example.org", reason="spam", by="rules", now=NOW, expires_at=NOW + 60)
    (entry,) = lists.everything(place.store)
    assert (entry.added_by, entry.reason, entry.expires_at) == ("command (ann)", "rude", NOW + 30 * 86400)


def test_senders_do_not_read_who_added_them(place):
    add(place, name="eve@example.org")
    (entry,) = lists.everything(place.store)
    assert "ann" not in entry.reason


@pytest.mark.parametrize(
    ("form", "problem"),
    [
        ({"name": "no address"}, "is no mail address"),
        ({"name": "", "kind": "banned-ip"}, "is no IP address"),
        ({"name": "eve@example.org", "period": "soon"}, "expected a duration"),
        ({"name": "<script>alert(1)</script>"}, "&lt;script&gt;"),
    ],
)
def test_what_can_be_no_entry_is_said(place, form, problem):
    answer = add(place, **form)
    assert (answer.status_code, problem in answer.text, "<script>alert" in answer.text) == (422, True, False)
    assert lists.everything(place.store) == []


def test_a_long_list_has_pages(place):
    names = [f"a{number:03}@example.org" for number in range(101)]
    lists.add_all(place.store, Kind.WHITELIST, names, reason="they were written to", by="auto_whitelist", now=NOW)
    client = place.client("helen")
    first = client.get("/lists?kind=whitelist").text
    (older,) = re.findall(r'href="(\?[^"]+)" rel="next"', first)
    second = client.get("/lists" + older.replace("&amp;", "&")).text
    assert ("a099@" in first, "a100@" in first, "a099@" in second, "a100@" in second) == (True, False, False, True)


def test_a_search_tells_which_entry_covers_a_name(place):
    lists.add(place.store, Kind.BANNED_DOMAIN, "*.example.org", reason="snowshoe", by="command", now=NOW)
    page = place.client("helen").get("/lists?kind=banned-domain&q=mx1.a.example.org").text
    assert "snowshoe" in page


def test_what_is_over_is_not_shown(place):
    lists.add(place.store, Kind.BANNED_IP, "192.0.2.1", reason="x", by="banned", now=NOW - 100, expires_at=NOW - 1)
    assert "192.0.2.1" not in place.client("helen").get("/lists?kind=banned-ip").text


def test_a_list_says_who_added_an_entry(place):
    add(place, name="eve@example.org")
    lists.add(place.store, Kind.BLACKLIST, "mal@example.org", reason="x", by=lists.ADMINISTRATOR, now=NOW)
    lists.add(place.store, Kind.BLACKLIST, "oscar@example.org", reason="x", by="rules", now=NOW)
    page = place.client("helen").get("/lists").text
    for who in ("ann", "an administrator", "rules"):
        assert f'<td data-label="Added by">{who}</td>' in page
