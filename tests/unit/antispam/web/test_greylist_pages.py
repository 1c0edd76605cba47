"""The greylist in the console: long lists, and a search that ends."""

from __future__ import annotations

import re

import pytest

from antispam.store import greylist
from antispam.store.greylist import Limits, Triplet
from antispam.web import greylist_pages
from support.console import NOW

LIMITS = Limits(300.0, 86400.0, 30 * 86400.0)


@pytest.fixture
def waiting(place):
    """Ten triplets, the one of ann seen first."""
    for number, name in enumerate(("ann", "bob", "carl", "dora", "eve", "fred", "gus", "hal", "ida", "joe")):
        greylist.attempt(
            place.store, Triplet("192.0.2.0/24", f"{name}@example.org", "x@example.com"), NOW + number, LIMITS
        )
    return place


def senders(text):
    return re.findall(r'data-label="From">([a-z]+)@example.org', text)


def following(text):
    return re.findall(r'href="(\?[^"]*after=[^"]+)"', text)


def test_who_was_seen_last_comes_first_page_by_page(waiting, monkeypatch):
    monkeypatch.setattr(greylist_pages, "ROWS", 6)
    client = waiting.client("helen")
    first = client.get("/greylist").text
    (older,) = following(first)
    second = client.get("/greylist" + older.replace("&amp;", "&")).text
    assert senders(first) == ["joe", "ida", "hal", "gus", "fred", "eve"]
    assert (senders(second), following(second)) == (["dora", "carl", "bob", "ann"], [])


def test_a_part_of_a_name_is_found(waiting):
    assert senders(waiting.client("helen").get("/greylist?q=ANN@").text) == ["ann"]


def test_a_search_looks_at_so_many_and_offers_to_go_on(waiting, monkeypatch):
    monkeypatch.setattr(greylist_pages, "LOOKED_AT", 5)
    client = waiting.client("helen")
    first = client.get("/greylist?q=ann@").text
    (older,) = following(first)
    second = client.get("/greylist" + older.replace("&amp;", "&")).text
    assert (senders(first), senders(second), following(second)) == ([], ["ann"], [])
    assert "q=ann%40" in older


def test_who_passed_is_on_a_page_of_their_own(waiting):
    greylist.let_pass(waiting.store, Triplet("192.0.2.0/24", "eve@example.org", "x@example.com").key, NOW + 20)
    client = waiting.client("helen")
    assert "eve" not in senders(client.get("/greylist").text)
    assert senders(client.get("/greylist?state=passed").text) == ["eve"]
