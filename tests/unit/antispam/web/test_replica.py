"""The console reads the history from a replica, says how far it is behind, and writes to the database itself."""

from __future__ import annotations

import contextlib
import dataclasses

import pytest

from antispam.store import Store
from antispam.store.replica import Replica
from antispam.web.app import application
from support.console import NOW
from support.stores import make_store


@pytest.fixture
def late(place, tmp_path):
    """A console whose replica has nothing yet of what came 40 seconds ago."""
    place.deliver("aaaaaaaaaaaa", "bob", subject=b"Lunch")
    place.clock.now = NOW + 40
    with contextlib.closing(Store(make_store(tmp_path / "replica" / "bms.sqlite"))) as replica:
        place.app = application(dataclasses.replace(place.console, replica=Replica(place.store, replica, place.clock)))
        yield place


@pytest.mark.parametrize("page", ["/stream", "/overview", "/explain?from=eve@example.org"])
def test_pages_of_the_history_say_how_far_it_is_behind(late, page):
    text = late.client("helen").get(page).text
    assert "What came in the last 40 seconds may be missing" in text
    assert "Lunch" not in text


def test_who_knows_the_reference_finds_the_message_at_once(late):
    text = late.client("helen").get("/explain?ref=aaaaaaaaaaaa").text
    assert "aaaaaaaaaaaa" in text
    assert "may be missing" not in text


def test_logins_are_those_of_the_database_itself(late):
    assert late.client("helen").get("/account").status_code == 200


def test_without_a_replica_nothing_is_said(place):
    assert "may be missing" not in place.client("helen").get("/stream").text
