"""The list of the quarantine: its order, its pages, what is done with those that were chosen; and why a message was kept."""

from __future__ import annotations

import re

import pytest
from bms import JOURNEY

from antispam.journey.account import Score
from antispam.mail import kept_because
from antispam.mail.score import Counted
from antispam.store import accounts, lists, outbox, own_lists
from antispam.store.accounts import Account, Role
from antispam.store.own_lists import Kind
from antispam.web import reasons
from support.console import HASHED, NOW, kept, press, token


def subjects(page):
    return re.findall(r'<a href="/messages/[^"]+">([^<]*)</a>', page)


@pytest.fixture
def three(place):
    for ref, subject, sender in (
        ("aaa", b"beta", "zoe@example.org"),
        ("bbb", b"Alpha", "eve@example.org"),
        ("ccc", b"gamma", "Max@example.org"),
    ):
        place.keep(ref, "bob", subject=subject, sender=sender)
    return place


@pytest.mark.parametrize(
    ("sort", "shown"),
    [
        ("subject", ["Alpha", "beta", "gamma"]),
        ("-subject", ["gamma", "beta", "Alpha"]),
        ("-received", ["gamma", "Alpha", "beta"]),
        ("received", ["beta", "Alpha", "gamma"]),
        ("", ["gamma", "Alpha", "beta"]),
        ("nonsense", ["gamma", "Alpha", "beta"]),
    ],
)
def test_the_list_is_sorted(three, sort, shown):
    assert subjects(three.client("bob").get(f"/?sort={sort}").text) == shown


@pytest.mark.parametrize("sort", ["", "received", "subject", "-subject", "sender", "-sender", "score", "-score"])
def test_pages_in_any_order_show_each_message_once(place, sort, monkeypatch):
    monkeypatch.setattr("antispam.web.quarantine_pages.PAGE", 3)
    for number in range(8):
        place.keep(f"a{number}", "bob", subject=b"same" if number % 2 else b"S%d" % number)
    client, where, seen = place.client("bob"), f"/?sort={sort}", []
    while where:
        page = client.get(where).text
        seen += re.findall(r'name="ref" value="(\w+) bob"', page)
        where = next(iter(re.findall(r'href="([^"]+)" rel="next"', page)), "").replace("&amp;", "&")
    assert sorted(seen) == [f"a{number}" for number in range(8)]


@pytest.fixture
def four(place, monkeypatch):
    """More messages of all users than are searched and sorted: A is the oldest."""
    monkeypatch.setattr("antispam.web.quarantine_pages.LOOKED_AT", 2)
    for ref, subject in (("a1", b"A"), ("b1", b"B"), ("c1", b"C"), ("d1", b"D")):
        place.keep(ref, "bob", subject=subject)
        place.clock.now += 1
    return place


@pytest.mark.parametrize(("asked", "listed"), [("sort=subject", ["C", "D"]), ("q=eve", ["D", "C"])])
def test_of_all_users_only_the_newest_are_searched_and_sorted_and_the_page_says_so(four, asked, listed):
    page = four.client("ann").get(f"/?{asked}").text
    assert subjects(page) == listed
    assert "Only the newest 2 messages of all users are included" in page


@pytest.mark.parametrize("asked", ["", "sort=received", "sort=subject&user=bob", "q=eve&user=bob"])
def test_what_has_an_index_is_not_limited(four, asked):
    page = four.client("ann").get(f"/?{asked}").text
    assert sorted(subjects(page)) == ["A", "B", "C", "D"]
    assert "Only the newest" not in page


def test_the_place_in_the_list_of_another_says_nothing(place):
    place.keep("aaa", "bob", subject=b"for Bob")
    place.keep("bbb", "carol")
    assert subjects(place.client("bob").get("/?after=2").text) == ["for Bob"]


@pytest.mark.parametrize("query", ["after=x", "after=%C2%B2", "after=" + "9" * 40, "sort=-", "q=" + "x" * 300, "q=%00"])
def test_an_address_that_can_be_none_breaks_no_page(three, query):
    assert three.client("bob").get(f"/?{query}").status_code in (200, 404)


def test_an_action_returns_to_where_it_was_pressed(three):
    answer = press(three.client("bob"), "delete", "aaa bob", back="q=beta&sort=subject&evil=%0d%0aX&user=bob")
    assert answer.headers["location"] == "/?q=beta&user=bob&sort=subject&done=delete-1-1"


def test_all_on_the_page_are_chosen_by_one_box(three):
    client = three.client("bob")
    form = {"token": token(client), "do": "delete", "all": "yes", "listed": ["aaa bob", "bbb bob"], "ref": "ccc bob"}
    client.post("/quarantine", data=form)
    assert [kept(three, ref) for ref in ("aaa", "bbb", "ccc")] == [[], [], ["bob"]]


def test_a_user_allows_a_sender_for_themselves_alone(place):
    place.keep("aaa", "bob")
    press(place.client("bob"), "allow", "aaa bob")
    assert [(one.user, one.name, one.kind) for one in own_lists.of_user(place.store, "bob")] == [
        ("bob", "eve@example.org", Kind.ALLOW)
    ]
    assert (lists.everything(place.store), len(outbox.entries(place.store, NOW))) == ([], 1)


def test_a_user_blocks_a_sender_whose_message_goes(place):
    place.keep("aaa", "bob", "carol")
    press(place.client("bob"), "block", "aaa bob")
    assert [one.kind for one in own_lists.of_user(place.store, "bob")] == [Kind.BLOCK]
    assert (kept(place, "aaa"), own_lists.of_user(place.store, "carol")) == (["carol"], [])


def test_the_author_is_allowed_whom_the_user_sees(place):
    place.keep("aaa", "bob", sender="bounce-17@esp.example")
    assert "eve@example.org" in place.client("bob").get("/").text
    press(place.client("bob"), "allow", "aaa bob")
    assert [one.name for one in own_lists.of_user(place.store, "bob")] == ["eve@example.org"]


@pytest.mark.parametrize("do", ["allow", "block"])
def test_nobody_changes_the_lists_of_another(place, do):
    place.keep("bbb", "carol")
    press(place.client("bob"), do, "bbb carol", "bbb bob", "bbb ")
    assert (own_lists.of_user(place.store, "carol"), own_lists.of_user(place.store, "bob")) == ([], [])
    assert kept(place, "bbb") == ["carol"]


def test_names_of_checks_are_not_shown_to_users(place):
    place.keep("aaa", "bob")
    client = place.client("bob")
    for page in (client.get("/").text, client.get("/messages/aaa").text):
        assert "The mail filter takes it for spam." in page
        assert "spam_action" not in page


def test_a_reason_is_written_for_checks_that_there_are():
    names = {row.check.NAME for row in JOURNEY.rows}
    assert set(kept_because._WHY) <= names
    assert kept_because.why("a check of tomorrow").endswith(".")


def test_what_weighs_most_is_told_first_and_nobody_else_is_named():
    score = Score(
        ("bob@example.com",),
        1.0,
        (
            Counted("SMALL", 0.5, "A small sign."),
            Counted("LARGE", 4.0, "100% <b>of</b> %(it)s."),
            Counted("KNOWN_CORRESPONDENT", -5.0, "The sender is on the whitelist: carol@example.com wrote to it."),
        ),
    )
    against, in_favour = reasons.evidence_of([score], str)
    assert against == ["100% <b>of</b> %(it)s.", "A small sign."]
    assert in_favour == ["Somebody here wrote to this sender before."]


def test_the_script_is_a_file_of_ours_and_pages_work_without_it(place):
    place.keep("aaa", "bob")
    page = place.client("bob").get("/").text
    assert re.findall(r"<script[^>]*>", page) == ['<script src="/static/console.js" defer>']
    assert place.client().get("/static/console.js").status_code == 200


@pytest.mark.parametrize("path", ["/", "/messages/bbb", "/messages/bbb/html", "/mail", "/mail/bbb", "/explain?ref=bbb"])
def test_an_account_without_a_mailbox_sees_nothing(place, path):
    accounts.add(place.store, Account("nobody", Role.USER, HASHED, ()), NOW)
    place.keep("bbb", "carol", subject=b"for Carol")
    client = place.client("nobody")
    assert "for Carol" not in client.get(path).text
    for do in ("release", "delete", "allow", "block"):
        press(client, do, "bbb carol", "bbb ", "bbb")
    assert kept(place, "bbb") == ["carol"]
