"""The overview and the stream: figures out of the history, for those who see everybody's mail."""

from __future__ import annotations

import dataclasses
import itertools
import re

import numpy as np
import pytest

from antispam.service.board import Board
from antispam.service.families import families
from antispam.store.hours import HOUR
from antispam.web import console as of_console
from antispam.web import overview_pages
from dspam.store import TokenStore, user_id
from support.console import NOW, Place

HOSTILE = b"<script>alert(1)</script>"
PAGES = ("/overview", "/overview?span=week", "/overview?span=%3Cscript%3E", "/stream", "/stream?rows=1")


def teach(place, ref, *, is_spam, at=NOW + 600.0, user="bob"):
    number = user_id(place.store, user)
    TokenStore(place.store, now=lambda: at).train(number, ref, is_spam, [], np.zeros((0, 3), dtype=np.int32))


@pytest.mark.parametrize("path", PAGES)
def test_a_user_sees_no_page_of_everybodys_mail(place, path):
    place.keep("aaa", "bob", subject=b"secret of others")
    answer = place.client("carol").get(path)
    assert (answer.status_code, "secret" in answer.text) == (403, False)


@pytest.mark.parametrize("path", PAGES)
def test_nobody_sees_them_without_logging_in(place, path):
    assert place.client().get(path).status_code == 303


@pytest.mark.parametrize(("name", "path"), list(itertools.product(("helen", "ann"), PAGES)))
def test_the_helpdesk_and_administrators_see_them(place, name, path):
    assert place.client(name).get(path).status_code == 200


def test_administrators_begin_with_the_overview(place):
    answer = place.client().post("/login", data={"name": "ann", "password": "correct horse battery"})
    assert answer.headers["location"] == "/overview"


def test_the_overview_counts_what_came_and_why_it_was_stopped(place):
    place.keep("aaa", "bob")
    place.keep("bbb", "bob")
    page = place.client("ann").get("/overview").text
    assert "<dt>Quarantined</dt><dd>2</dd>" in page
    assert '<td data-label="Check" class="name">spam_action</td>' in page


def test_a_release_makes_a_decision_wrong(place):
    place.keep("aaa", "bob")
    place.keep("bbb", "bob")
    teach(place, "aaa", is_spam=False)
    teach(place, "bbb", is_spam=True)
    page = place.client("ann").get("/overview").text
    assert "50.00&nbsp;%" in page
    assert "1 honest message was stopped or marked" in page


def test_what_the_filter_teaches_itself_is_no_correction(place):
    place.keep("aaa", "bob")
    teach(place, "aaa", is_spam=False, at=NOW + 1.0)
    assert "0.00&nbsp;%" in place.client("ann").get("/overview").text


def test_what_could_not_be_counted_in_time_is_said(place, monkeypatch):
    monkeypatch.setattr(overview_pages, "BUDGET", 0.0)
    page = place.client("ann").get("/overview").text
    assert "23 hours of this time are not counted yet" in page


def test_warnings_of_the_configuration_stand_in_the_overview(place):
    assert "Warnings of the configuration" in place.client("ann").get("/overview").text


def test_the_stream_has_the_newest_message_first(place):
    place.keep("aaa", "bob", subject=b"first")
    place.keep("bbb", "bob", subject=b"second")
    page = place.client("helen").get("/stream").text
    assert page.index("second") < page.index("first")
    assert "/explain?ref=bbb" in page


def test_the_stream_has_pages(place):
    for number in range(51):
        place.keep(f"a{number}", "bob")
    client = place.client("helen")
    first = client.get("/stream").text
    following = first.partition('href="?after=')[2].partition('"')[0]
    second = client.get(f"/stream?after={following}").text
    assert (first.count("<tr>"), second.count("<tr>")) == (51, 2)


@pytest.mark.parametrize("after", ["x", "-", "nan-a", "1e999-a", "9" * 5000, "1-' OR 1=1", "%00-%00"])
def test_a_changed_address_breaks_no_page(place, after):
    assert place.client("helen").get(f"/stream?after={after}").status_code == 200


def test_hostile_fields_are_text_in_the_stream(place):
    place.keep("aaa", "bob", subject=HOSTILE, sender="<script>@example.org")
    client = place.client("helen")
    for path in ("/stream", "/stream?rows=1", "/overview"):
        assert "<script>" not in client.get(path).text


def test_an_hour_that_is_over_is_counted_once(place, monkeypatch):
    counted = []
    monkeypatch.setattr(
        of_console,
        "read_hour",
        lambda store, begins, real=of_console.read_hour: counted.append(begins) or real(store, begins),
    )
    client = place.client("ann")
    client.get("/overview")
    client.get("/overview")
    assert len(counted) == len(set(counted)) == 24
    place.clock.now += HOUR
    client.get("/overview")
    assert len(counted) == 25


def test_how_long_the_mail_server_waited_is_shown_where_it_is_counted(place):
    board = Board(families(place.console.journey))
    for seconds in (0.02, 0.02, 3.0, 100.0):
        board.own.observe("bms_message_seconds", value=seconds)
    place.app.state.console = dataclasses.replace(place.console, board=board)
    page = place.client("ann").get("/overview").text
    for row in ("0.005-0.025</th><td>2</td>", "2.5-10</th><td>1</td>", "&gt; 60</th><td>1</td>"):
        assert row in page


def test_without_workers_beside_it_no_latency_is_shown(place):
    assert "mail server waited" not in place.client("ann").get("/overview").text


def test_numbers_days_and_sizes_are_those_of_the_language(place):
    place.keep("aaa", "bob", body=b"x" * 2000)
    teach(place, "aaa", is_spam=True)
    page = place.client("ann").get("/overview?span=week", headers={"Accept-Language": "de"}).text
    assert "<dd>0,00&nbsp;%</dd>" in page
    assert re.search(r">\d\d\.\d\d\.</text>", page)
    assert re.search(r">\d,\d kB<", page)


def test_the_stream_is_read_in_german(place):
    place.keep("aaa", "bob")
    page = place.client("ann").get("/stream", headers={"Accept-Language": "de"}).text
    assert (">in Quarantäne</a>" in page, "quarantined" in page) == (True, False)


def test_warnings_of_the_configuration_are_read_in_german(tmp_path):
    made = Place(tmp_path, more="[score]\nquarantine = 4\n[dspam]\ndspam_users = bob\nspam = spam@example.com\n")
    page = made.client("ann").get("/overview", headers={"Accept-Language": "de"}).text
    assert "quarantine = 4 liegt unter mark = 6" in page
    assert "Es fehlt eine Zeile <code>bob = ...</code>" in page
    made.store.close()
