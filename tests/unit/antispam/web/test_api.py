"""The API: who may ask, what programs get, and that nothing that they send makes it fail."""

from __future__ import annotations

import json

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings

from antispam.store import lists, own_lists, sessions
from antispam.store.sessions import How
from antispam.web.api import OPERATIONS
from support.console import Place


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path)
    yield made
    made.store.close()


def program(place, name):
    """A client with a token of that account."""
    client = place.client()
    client.headers["Authorization"] = f"Bearer {_token(place, name)}"
    return client


def _token(place, name, how=How.TOKEN):
    return sessions.begin(place.store, name, how, place.clock(), 86_400)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: f"{one.method} {one.path}")
def test_without_a_token_nothing_is_told_or_done(place, operation):
    answer = place.client().request(operation.method, operation.path.replace("{ref}", "abc"), json={})
    assert answer.status_code == 401
    assert "Bearer" in answer.headers["www-authenticate"]


def test_a_login_of_a_browser_is_no_token_and_a_token_no_login(place):
    client = place.client()
    client.headers["Authorization"] = f"Bearer {_token(place, 'bob', How.PASSWORD)}"
    assert client.get("/api/quarantine").status_code == 401
    browser = place.client()
    browser.cookies.set("bms-session", _token(place, "bob"))
    assert browser.get("/").status_code == 303


@pytest.mark.parametrize("operation", [one for one in OPERATIONS if one.role != "user"], ids=lambda one: one.path)
def test_what_is_for_the_helpdesk_is_not_for_users(place, operation):
    path = operation.path.replace("{ref}", "abc")
    assert program(place, "bob").request(operation.method, path, json={}).status_code == 403


def test_the_helpdesk_changes_no_list(place):
    new = {"kind": "whitelist", "name": "a@example.org"}
    assert program(place, "helen").post("/api/lists", json=new).status_code == 403


def test_users_see_their_own_mail_alone(place):
    place.keep("aaa", "bob")
    place.keep("bbb", "carol")
    bob = program(place, "bob")
    assert [one["ref"] for one in bob.get("/api/quarantine").json()["entries"]] == ["aaa"]
    assert bob.get("/api/quarantine/bbb").status_code == 404
    assert bob.get("/api/quarantine", params={"user": "carol"}).status_code == 403
    assert bob.post("/api/quarantine/bbb", json={"do": "delete"}).status_code == 404
    assert len(program(place, "helen").get("/api/quarantine").json()["entries"]) == 2


def test_an_entry_of_another_gives_no_page(place):
    place.keep("aaa", "bob")
    place.keep("bbb", "carol")
    (hers,) = program(place, "carol").get("/api/quarantine").json()["entries"]
    found = program(place, "bob").get("/api/quarantine", params={"after": hers["number"]}).json()["entries"]
    assert {one["user"] for one in found} <= {"bob"}


def test_pages_go_on_where_the_last_one_ended(place):
    for ref in ("a1", "a2", "a3"):
        place.keep(ref, "bob")
    bob, found, after = program(place, "bob"), [], 0
    while after is not None:
        page = bob.get("/api/quarantine", params={"limit": 2, "after": after}).json()
        found += [one["ref"] for one in page["entries"]]
        after = page["after"]
    assert sorted(found) == ["a1", "a2", "a3"]


@pytest.mark.parametrize(
    ("asked", "found", "since"), [({}, 2, True), ({"user": "bob"}, 3, False)], ids=["all users", "one user"]
)
def test_of_all_users_the_newest_are_searched_and_the_answer_says_since_when(place, monkeypatch, asked, found, since):
    monkeypatch.setattr("antispam.web.api.LOOKED_AT", 2)
    for ref in ("a1", "a2", "a3"):
        place.keep(ref, "bob")
        place.clock.now += 1
    page = program(place, "helen").get("/api/quarantine", params={"text": "eve", **asked}).json()
    assert (len(page["entries"]), page["since"] is not None) == (found, since)


def test_a_message_is_read_and_delivered(place):
    place.keep("aaa", "bob")
    bob = program(place, "bob")
    message = bob.get("/api/quarantine/aaa").json()
    assert (message["text"], message["entry"]["mail_from"]) == ("money", "eve@example.org")
    assert bob.post("/api/quarantine/aaa", json={"do": "release"}).json() == {"done": True}
    assert place.taught == [("bob", "aaa")]


def test_a_sender_is_blocked_for_the_user(place):
    place.keep("aaa", "bob")
    assert program(place, "bob").post("/api/quarantine/aaa", json={"do": "block"}).json() == {"done": True}
    assert [one.name for one in own_lists.of_user(place.store, "bob")] == ["eve@example.org"]


def test_the_history_explains(place):
    place.keep("aaa", "bob")
    helen = program(place, "helen")
    (one,) = helen.get("/api/history", params={"sender": "eve@example.org"}).json()["messages"]
    assert (one["ref"], one["became"]) == ("aaa", "quarantined")
    assert helen.get("/api/history/aaa").json()["became"].startswith("quarantined")
    assert helen.get("/api/history/zzz").status_code == 404


def test_an_administrator_keeps_the_lists(place):
    ann = program(place, "ann")
    new = {"kind": "blacklist", "name": "x@example.org", "reason": "no"}
    assert ann.post("/api/lists", json=new).json() == {"done": True}
    (listed,) = ann.get("/api/lists", params={"kind": "blacklist"}).json()["entries"]
    assert (listed["name"], listed["added_by"], listed["reason"]) == ("x@example.org", "ann", "no")
    assert ann.post("/api/lists/remove", json={"kind": "blacklist", "name": "x@example.org"}).json() == {"done": True}
    assert lists.everything(place.store) == []


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b"[" * 60_000, "application/json", 400),
        (b'{"do": ' * 9_000, "application/json", 400),
        (b"{}", "text/plain", 415),
        (b"{}", "application/json", 422),
        (b'{"do": "explode"}', "application/json", 422),
        (b'{"do": "delete", "more": 1}', "application/json", 422),
        (b'"' + b"x" * 100_000 + b'"', "application/json", 413),
    ],
)
def test_what_does_not_fit_is_refused_with_a_sentence(place, content, kind, status):
    answer = program(place, "bob").post("/api/quarantine/aaa", content=content, headers={"Content-Type": kind})
    assert answer.status_code == status
    assert answer.json()["detail"]


@pytest.fixture
def mine(tmp_path):
    """Bob and Carol have profiles; a message came for each."""
    users = "[dspam]\ndspam_users = bob, carol\nbob = bob@example.com\ncarol = carol@example.com\n"
    made = Place(tmp_path, more=users)
    made.deliver("aaa", "bob", subject=b"for Bob")
    made.deliver("bbb", "carol", subject=b"for Carol")
    yield made
    made.store.close()


def test_a_program_learns_whose_it_is(mine):
    assert program(mine, "bob").get("/api/me").json() == {"name": "bob", "role": "user", "mailboxes": ["bob"]}


def test_a_user_reads_their_own_mail_alone(mine):
    bob = program(mine, "bob")
    (one,) = bob.get("/api/mail").json()["messages"]
    assert (one["ref"], one["subject"], one["became"], one["said"]) == ("aaa", "for Bob", "delivered", None)
    part = bob.get("/api/mail/aaa").json()
    assert (part["stopped_by"], [score["test"] for score in part["scores"]]) == ("", ["SEEN"])
    assert bob.get("/api/mail/bbb").status_code == 404
    assert bob.get("/api/mail", params={"user": "carol"}).status_code == 403


def test_the_helpdesk_has_no_mail_of_others_as_its_own(mine):
    helen = program(mine, "helen")
    assert helen.get("/api/mail", params={"user": "bob"}).status_code == 403
    assert helen.get("/api/mail/aaa").status_code == 404


def test_own_mail_comes_in_pages(mine):
    mine.clock.now += 1
    mine.deliver("ccc", "bob")
    bob = program(mine, "bob")
    first = bob.get("/api/mail", params={"limit": 1}).json()
    second = bob.get("/api/mail", params={"limit": 1, "after": first["after"]}).json()
    assert [one["ref"] for page in (first, second) for one in page["messages"]] == ["ccc", "aaa"]
    assert second["after"] is None
    assert bob.get("/api/mail", params={"after": "nothing"}).status_code == 422


def test_a_user_says_what_was_spam_and_takes_it_back(mine):
    bob = program(mine, "bob")
    assert bob.post("/api/mail/aaa", json={"do": "spam"}).json() == {"done": True}
    assert bob.get("/api/mail").json()["messages"][0]["said"] is True
    assert bob.post("/api/mail/aaa", json={"do": "undo"}).json() == {"done": True}
    assert bob.get("/api/mail").json()["messages"][0]["said"] is None
    assert bob.post("/api/mail/bbb", json={"do": "spam"}).status_code == 404


def test_a_user_keeps_their_own_lists(mine):
    bob = program(mine, "bob")
    new = {"kind": "block", "name": "Eve@Example.ORG"}
    assert bob.post("/api/own-lists", json=new).json()["name"] == "eve@example.org"
    assert bob.post("/api/own-lists", json={**new, "user": "carol"}).status_code == 403
    assert bob.post("/api/own-lists", json={"kind": "block", "name": "nobody"}).status_code == 422
    assert [one["name"] for one in bob.get("/api/own-lists").json()["entries"]] == ["eve@example.org"]
    assert program(mine, "carol").get("/api/own-lists").json() == {"entries": []}
    assert program(mine, "carol").post("/api/own-lists/remove", json={"name": "eve@example.org"}).json() == {
        "done": False
    }
    assert bob.post("/api/own-lists/remove", json={"name": "eve@example.org"}).json() == {"done": True}


def test_a_user_chooses_preferences(mine):
    bob = program(mine, "bob")

    def chosen():
        found = {one["name"]: one for one in bob.get("/api/preferences").json()["preferences"]}
        return found["spamAction"]["chosen"]

    assert bob.post("/api/preferences", json={"name": "spamAction", "value": "reject"}).status_code == 200
    assert chosen() == "reject"
    assert bob.post("/api/preferences", json={"name": "spamAction", "value": ""}).status_code == 200
    assert chosen() == ""


@pytest.mark.parametrize(
    ("choice", "status"),
    [
        ({"name": "spamAction", "value": "explode"}, 403),
        ({"name": "spamSubject", "value": "a\nb"}, 422),
        ({"name": "dailyQuarantineSummary", "value": "yes"}, 422),
        ({"name": "spamAction", "value": "tag", "user": "carol"}, 403),
    ],
)
def test_a_preference_that_can_not_be_is_refused(mine, choice, status):
    answer = program(mine, "bob").post("/api/preferences", json=choice)
    assert (answer.status_code, "detail" in answer.json()) == (status, True)


def test_the_document_has_every_operation(place):
    said = place.client().get("/api/openapi.json").json()
    assert {(method.upper(), path) for path, of in said["paths"].items() for method in of} == {
        (one.method, one.path) for one in OPERATIONS
    }
    json.dumps(said)


def test_schemathesis_finds_nothing(tmp_path):
    """Requests made of the document, valid and not: each answer is one that the document names, and none a 500."""
    place = Place(tmp_path)
    place.keep("aaa", "bob")
    schema = schemathesis.openapi.from_asgi("/api/openapi.json", place.app)
    token = _token(place, "ann")
    checks = [
        schemathesis.checks.not_a_server_error,
        schemathesis.checks.status_code_conformance,
        schemathesis.checks.content_type_conformance,
        schemathesis.checks.response_schema_conformance,
    ]
    for result in schema.get_all_operations():
        operation = result.ok()

        @settings(max_examples=8, database=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def one(case):
            case.call_and_validate(headers={"Authorization": f"Bearer {token}"}, checks=checks)

        one()
    place.store.close()
