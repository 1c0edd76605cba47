"""The pages of the helpdesk and administrators: who may see them, who may act, and what a form of another site can do."""

from __future__ import annotations

import logging
import re

import numpy as np
import pytest

from antispam.store import StoreError, actions, greylist, lists, outbox, windows
from antispam.store.greylist import Limits, Triplet
from antispam.store.lists import Kind
from antispam.store.outbox import QueuedMessage
from dspam.store import TokenStore, latest, name_of, user_id
from gossip import HAM, Records
from gossip.records import vote_row
from support.console import NOW, press, token
from support.quarantined import mark_failed

HOSTILE = '"><script>alert(1)</script>&\u202e\x1b[1m'
TRIPLET = Triplet("192.0.2.0/24", "eve@example.org", "bob@example.com")
PAGES = [
    "/overview", "/stream", "/lists", "/lists?kind=banned-ip&q=192.0.2.1", "/greylist", "/greylist?state=passed",
    "/reputation?q=example.org", "/outbox", "/rates", "/dictionaries", "/dkim",
    "/configuration", "/configuration?all=1",
]  # fmt: skip


def _list(place):
    lists.add(place.store, Kind.BLACKLIST, "eve@example.org", reason="spam", by="rules", now=NOW)


def _greylist(place):
    greylist.attempt(place.store, TRIPLET, NOW, Limits(300.0, 86400.0, 30 * 86400.0))


def _reputation(place):
    records = Records(place.store)
    records.note(vote_row("umis", "example.org:SPF", NOW, ref="aaa", vote=HAM))
    records.fold(NOW)


def _outbox(place):
    queued = QueuedMessage(outbox.Kind.ANSWER, "aaa", "", ("bob@example.com",), b"Subject: hi\r\n\r\n")
    with place.store.write() as connection:
        outbox.post(place.store, connection, queued, NOW)
    mark_failed(place.store, 1, NOW, "550 no such user")


def _rates(place):
    with place.store.write() as connection:
        windows.stop(place.store, connection, "eve", "300 recipients", NOW)


def _lesson(place):
    TokenStore(place.store, now=place.clock).train(
        user_id(place.store, "bob"), "aaa", True, [7], np.array([[1, 0, 0]], dtype=np.int32)
    )


# What an administrator may do: where, with which form, what makes it possible, whether it was done, and the line in the log.
ACTIONS = {
    "add to a list": (
        "/lists", {"do": "add", "kind": "banned-domain", "name": "bad.example", "reason": "", "period": "2d"},
        lambda place: None, lambda place: bool(lists.everything(place.store)),
        "added bad.example to the banned-domain, for 2d: by hand",
    ),
    "remove from a list": (
        "/lists", {"do": "remove", "kind": "blacklist", "name": "eve@example.org"}, _list,
        lambda place: not lists.everything(place.store), "removed eve@example.org from the blacklist",
    ),
    "let pass": (
        "/greylist", {"key": TRIPLET.key, "mail_from": "eve@example.org", "recipient": "bob@example.com"}, _greylist,
        lambda place: not greylist.newest(place.store, 9, passed=False),
        f"let a greylisted message pass, {TRIPLET.key[:16]} (eve@example.org to bob@example.com)",
    ),
    "forget a reputation": (
        "/reputation", {"identity": "example.org:SPF"}, _reputation,
        lambda place: Records(place.store).get("example.org:SPF") is None, "deleted the reputation of example.org:SPF",
    ),
    "try again": (
        "/outbox", {"do": "retry", "id": "1"}, _outbox,
        lambda place: outbox.entries(place.store, NOW)[0].failed_at is None, "let message 1 of the outbox be sent again",
    ),
    "give up": (
        "/outbox", {"do": "delete", "id": "1"}, _outbox,
        lambda place: not outbox.entries(place.store, NOW), "gave up message 1 of the outbox",
    ),
    "take a lesson back": (
        "/dictionaries", {"lesson": "1"}, _lesson,
        lambda place: not latest(place.store, 9), f"took back lesson 1 of bob: that {name_of('aaa')} is spam",
    ),
    "let a login send": (
        "/rates", {"login": "Eve"}, _rates,
        lambda place: not windows.all_stopped(place.store), "let the login eve send again",
    ),
}  # fmt: skip
action = pytest.mark.parametrize("name", ACTIONS)


@pytest.mark.parametrize("path", PAGES)
def test_the_helpdesk_and_administrators_see_what_users_do_not(place, path):
    for make in (_list, _greylist, _reputation, _outbox, _rates, _lesson):
        make(place)
    statuses = [place.client(name).get(path).status_code for name in ("", "bob", "helen", "ann")]
    assert statuses == [303, 403, 200, 200]


@action
def test_an_administrator_acts_and_it_is_in_the_log(place, name, caplog):
    path, form, make, done, told = ACTIONS[name]
    make(place)
    client = place.client("ann")
    with caplog.at_level(logging.INFO, "antispam.web.roles"):
        answer = client.post(path, data={**form, "token": token(client)})
    assert (answer.status_code, done(place)) == (303, True)
    assert caplog.messages == [f"console: ann {told}"]
    assert [(one.account, one.what) for one in actions.latest(place.store, 9)] == [("ann", told)]
    assert client.get(answer.headers["location"]).status_code == 200


@action
@pytest.mark.parametrize("who", ["bob", "helen"])
def test_nobody_else_acts(place, name, who, caplog):
    path, form, make, done, _ = ACTIONS[name]
    make(place)
    client = place.client(who)
    with caplog.at_level(logging.INFO, "antispam.web.roles"):
        answer = client.post(path, data={**form, "token": token(client)})
    assert (answer.status_code, done(place), caplog.messages, actions.latest(place.store, 9)) == (403, False, [], [])


@action
def test_a_form_without_the_token_does_nothing(place, name):
    path, form, make, done, _ = ACTIONS[name]
    make(place)
    others = token(place.client("helen"))
    for sent in ({}, {"token": "x"}, {"token": others}):
        assert place.client("ann").post(path, data={**form, **sent}).status_code == 403
    assert done(place) is False


@action
def test_looking_changes_nothing(place, name):
    path, form, make, done, _ = ACTIONS[name]
    make(place)
    assert place.client("ann").get(path, params=form).status_code == 200
    assert done(place) is False


@action
def test_what_is_not_there_is_no_error_and_not_in_the_log(place, name, caplog):
    path, form, _, _, _ = ACTIONS[name]
    if name.startswith("add"):
        return
    client = place.client("ann")
    with caplog.at_level(logging.INFO, "antispam.web.roles"):
        answer = client.post(path, data={**form, "token": token(client)})
    assert (answer.status_code, caplog.messages) == (303, [])


@pytest.mark.parametrize("path", ["/lists", "/outbox"])
def test_an_action_that_is_none_is_refused(place, path):
    client = place.client("ann")
    assert client.post(path, data={"do": "<x>", "kind": "blacklist", "token": token(client)}).status_code == 403


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("query", ["after", "q", "kind", "state", "done", "span", "user", "before", "all", "of"])
def test_a_changed_address_breaks_no_page(place, path, query):
    page = place.client("ann").get(path.partition("?")[0], params={query: HOSTILE})
    assert (page.status_code, "<script>alert" in page.text) == (200, False)


def test_hostile_values_are_text(place):
    place.keep("aaa", "bob", subject=HOSTILE.encode(), sender="<script>alert(1)</script>@example.org")
    greylist.attempt(
        place.store, Triplet("<script>alert(1)", HOSTILE, HOSTILE), NOW, Limits(300.0, 86400.0, 30 * 86400.0)
    )
    with place.store.write() as connection:
        windows.stop(place.store, connection, "<script>alert(1)", HOSTILE, NOW)
        outbox.post(
            place.store, connection,
            QueuedMessage(outbox.Kind.ANSWER, "aaa", HOSTILE, ("<script>alert(1)@example.com",), b"Subject: hi\r\n\r\n"), NOW,
        )  # fmt: skip
    mark_failed(place.store, 1, NOW, HOSTILE)
    lists.add(place.store, Kind.BLACKLIST, "eve@example.org", reason=HOSTILE, by="<script>alert(1)", now=NOW)
    client = place.client("ann")
    pages = {path: client.get(path).text for path in PAGES}
    assert [path for path, text in pages.items() if "<script>alert" in text] == []
    assert all("alert(1)" in pages[path] for path in ("/stream", "/lists", "/greylist", "/outbox", "/rates"))


def test_what_an_administrator_typed_can_not_forge_a_line_of_the_log(place, caplog):
    client = place.client("ann")
    form = {"do": "add", "kind": "blacklist", "name": "eve@example.org", "reason": "x\nconsole: eve did it\x1b[2J"}
    with caplog.at_level(logging.INFO, "antispam.web.roles"):
        client.post("/lists", data={**form, "token": token(client)})
    assert len(caplog.messages) == 1
    assert not any(char in caplog.messages[0] for char in "\n\x1b")


def test_what_is_done_with_others_mail_is_in_the_log(place, caplog):
    place.keep("aaa", "bob")
    client = place.client("helen")
    with caplog.at_level(logging.INFO, "antispam.web.roles"):
        client.get("/messages/aaa?user=bob")
        press(client, "delete", "aaa bob", "bbb bob")
    assert caplog.messages == ["console: helen read aaa of bob", "console: helen deleted aaa of bob"]


def test_what_users_do_with_their_own_mail_is_their_business(place, caplog):
    place.keep("aaa", "bob")
    client = place.client("bob")
    with caplog.at_level(logging.INFO, "antispam.web.roles"):
        client.get("/messages/aaa?user=bob")
        press(client, "delete", "aaa bob")
    assert caplog.messages == []


# The list of actions


def test_administrators_see_who_did_what(place):
    actions.note(place.store, "helen", "read aaa of bob", NOW)
    page = place.client("ann").get("/actions").text
    assert '<td data-label="Who">helen</td><td data-label="What">read aaa of bob</td>' in page


@pytest.mark.parametrize(("name", "status"), [("", 303), ("bob", 403), ("helen", 403)])
def test_nobody_else_sees_who_did_what(place, name, status):
    assert place.client(name).get("/actions").status_code == status


def test_the_list_of_actions_has_pages(place):
    for number in range(101):
        actions.note(place.store, "ann", f"did {number:03}", NOW)
    client = place.client("ann")
    first = client.get("/actions").text
    assert ("did 001" in first, "did 000" in first) == (True, False)
    (older,) = re.findall(r'href="(\?before=[0-9]+)"', first)
    assert "did 000" in client.get(f"/actions{older}").text


def test_what_is_done_is_done_even_if_it_can_not_be_written_down(place, monkeypatch, caplog):
    def broken(*arguments):
        raise StoreError("full")

    monkeypatch.setattr(actions, "note", broken)
    _rates(place)
    client = place.client("ann")
    answer = client.post("/rates", data={"login": "eve", "token": token(client)})
    assert (answer.headers["location"], windows.all_stopped(place.store)) == ("/rates?done=released", [])
    assert caplog.messages[-1] == "console: that stands in this log alone: full"
