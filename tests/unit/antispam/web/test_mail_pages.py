"""A user's own mail: their messages alone, their part alone, and what they say of it is learned, and taken back."""

from __future__ import annotations

import re

import pytest

from antispam.store import accounts, outbox, rates
from antispam.store.accounts import Account, Role
from dspam.store import TokenStore, delete_signature, find_user
from support.console import HASHED, NOW, Place, press, token, without_tokens

USERS = "[dspam]\ndspam_users = bob, carol\nbob = bob@example.com\ncarol = carol@example.com\n"


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path, more=USERS)
    yield made
    made.store.close()


def say(place, name, do, *refs, **more):
    client = place.client(name)
    return client.post("/mail", data={"token": token(client), "do": do, "ref": list(refs), **more})


def totals(place, user):
    number = find_user(place.store, user)
    known = TokenStore(place.store).totals(number) if number is not None else None
    return (known.spam, known.ham) if known else (0, 0)


def test_users_see_their_own_mail(place):
    place.deliver("aaa", "bob", subject=b"for Bob")
    place.deliver("bbb", "carol", subject=b"for Carol")
    page = place.client("bob").get("/mail").text
    assert ("for Bob" in page, "for Carol" in page) == (True, False)


def test_of_a_message_to_several_each_sees_their_own_part(place):
    place.deliver("aaa", "bob", "carol", kept_from="carol")
    page = place.client("bob").get("/mail/aaa").text
    assert "This message was delivered." in page
    assert "Seen for bob." in page
    assert "carol" not in page
    theirs = without_tokens(place.client("carol").get("/mail/aaa").text)
    assert "This message was kept, and deleted later." in theirs
    assert "bob" not in theirs


@pytest.mark.parametrize("path", ["/mail/bbb", "/mail/bbb?user=carol", "/mail?user=carol", "/mail/zzz", "/mail/%00"])
def test_nobody_sees_the_mail_of_another(place, path):
    place.deliver("bbb", "carol", subject=b"for Carol")
    answer = place.client("bob").get(path)
    assert (answer.status_code in (403, 404), "for Carol" in answer.text) == (True, False)


def test_what_is_not_there_and_what_is_not_theirs_look_the_same(place):
    place.deliver("bbb", "carol")
    client = place.client("bob")
    assert client.get("/mail/bbb").text == client.get("/mail/zzz").text


def test_the_helpdesk_has_a_mailbox_of_its_own_here(place):
    place.deliver("bbb", "carol", subject=b"for Carol")
    client = place.client("helen")
    assert ("for Carol" in client.get("/mail").text, client.get("/mail/bbb").status_code) == (False, 404)


def test_what_was_spam_is_learned_by_the_user_and_the_screener(place):
    place.deliver("aaa", "bob")
    answer = say(place, "bob", "spam", "aaa")
    assert answer.headers["location"] == "/mail?done=spam-1-1-"
    assert [totals(place, user) for user in ("bob", "site", "carol")] == [(1, 0), (1, 0), (0, 0)]
    assert "you said: spam" in place.client("bob").get("/mail").text


def test_to_say_it_twice_teaches_once_and_the_opposite_takes_it_back(place):
    place.deliver("aaa", "bob")
    for word in ("spam", "spam", "ham"):
        say(place, "bob", word, "aaa")
    assert totals(place, "bob") == (0, 1)


def test_what_was_said_is_taken_back_exactly(place):
    place.deliver("aaa", "bob")
    say(place, "bob", "spam", "aaa")
    say(place, "bob", "undo", "aaa")
    assert [totals(place, user) for user in ("bob", "site")] == [(0, 0), (0, 0)]
    assert "you said" not in place.client("bob").get("/mail").text


@pytest.mark.parametrize("word", ["spam", "ham", "undo"])
def test_nobody_teaches_by_the_mail_of_another(place, word):
    place.deliver("bbb", "carol")
    say(place, "carol", "spam", "bbb")
    answer = say(place, "bob", word, "bbb")
    assert answer.headers["location"] == f"/mail?done={word}-0-1-forgotten"
    assert [totals(place, user) for user in ("bob", "carol")] == [(0, 0), (1, 0)]


def test_nobody_says_anything_in_the_name_of_another(place):
    place.deliver("bbb", "carol")
    assert say(place, "bob", "spam", "bbb", user="carol").status_code == 403
    assert totals(place, "carol") == (0, 0)


def test_a_message_that_is_no_longer_stored_is_said_to_be_forgotten(place):
    place.keep("aaa", "bob")
    place.deliver("ccc", "bob")
    delete_signature(place.store, find_user(place.store, "bob"), "ccc")
    answer = say(place, "bob", "spam", "ccc")
    assert "forgotten" in answer.headers["location"]
    assert "no longer knows" in place.client("bob").get(answer.headers["location"]).text


def test_reports_are_limited_as_those_by_mail(place):
    place.deliver("aaa", "bob")
    rates.use(place.store, "report bob", 300, NOW, 3600.0)
    assert "too_many" in say(place, "bob", "spam", "aaa").headers["location"]
    assert totals(place, "bob") == (0, 0)


def test_whoever_has_no_profile_is_told_so(place):
    accounts.add(place.store, Account("dora@example.com", Role.USER, HASHED, ("dora@example.com",)), NOW)
    place.deliver("aaa", "dora")
    page = place.client("dora@example.com").get("/mail").text
    assert "keeps no profile of yours" in page
    assert say(place, "dora@example.com", "spam", "aaa").headers["location"] == "/mail?done=spam-0-1-no_profile"


def test_a_mailbox_is_not_taken_for_a_domain(place):
    place.deliver("aaa", "bob")
    accounts.add(place.store, Account("example.com", Role.USER, HASHED, ("example.com",)), NOW)
    assert "No message has come for you" in place.client("example.com").get("/mail").text


def test_looking_teaches_nothing(place):
    place.deliver("aaa", "bob")
    client = place.client("bob")
    for path in ("/mail?do=spam&ref=aaa", "/mail/aaa?do=spam"):
        client.get(path)
    assert totals(place, "bob") == (0, 0)


def test_a_form_without_the_token_teaches_nothing(place):
    place.deliver("aaa", "bob")
    assert place.client("bob").post("/mail", data={"do": "spam", "ref": "aaa"}).status_code == 403
    assert totals(place, "bob") == (0, 0)


def test_a_long_history_has_pages(place, monkeypatch):
    monkeypatch.setattr("antispam.web.mail_pages.PAGE", 2)
    for number in range(5):
        place.deliver(f"a{number}", "bob")
    client, where, seen = place.client("bob"), "/mail", []
    while where:
        page = client.get(where).text
        seen += re.findall(r'name="ref" value="(\w+)"', page)
        where = next(iter(re.findall(r'href="([^"]+)" rel="next"', page)), "").replace("&amp;", "&")
    assert seen == ["a4", "a3", "a2", "a1", "a0"]


@pytest.mark.parametrize("query", ["after=x", "after=1e999 a", "after=1..2", "became=x", "q=%00", "done=-", "user="])
def test_an_address_that_can_be_none_breaks_no_page(place, query):
    place.deliver("aaa", "bob")
    assert place.client("bob").get(f"/mail?{query}").status_code == 200


def test_mail_is_searched(place):
    place.deliver("aaa", "bob", subject=b"lunch")
    place.deliver("bbb", "bob", subject=b"other", kept_from="bob")
    client = place.client("bob")
    assert "other" not in client.get("/mail?q=LUNCH").text
    assert "lunch" not in client.get("/mail?became=kept").text


def test_a_user_of_the_filter_finds_their_message_by_its_reference(place):
    place.deliver("aaa", "bob", subject=b"for Bob")
    place.deliver("bbb", "carol", subject=b"for Carol")
    client = place.client("bob")
    assert "for Bob" in client.get("/explain?ref=aaa").text
    assert "no such message that you may see" in client.get("/explain?ref=bbb").text


def test_a_message_without_recipients_is_nobodys(place):
    place.deliver("aaa")
    assert "no such message that you may see" in place.client("bob").get("/explain?ref=aaa").text


def test_what_was_kept_as_spam_and_is_none_is_delivered_too(place):
    place.keep("aaa", "bob")
    say(place, "bob", "ham", "aaa")
    assert [one.recipients for one in outbox.entries(place.store, NOW)] == [("bob@example.com",)]
    assert totals(place, "bob") == (0, 1)


@pytest.mark.parametrize(
    ("do", "told"),
    [("", "kept in the quarantine"), ("release", "kept, and delivered later"), ("delete", "kept, and deleted later")],
)
def test_of_what_was_kept_it_is_told_what_became_of_it_since(place, do, told):
    place.keep("aaa", "bob", "carol")
    client = place.client("bob")
    if do:
        press(client, do, "aaa bob")
    assert f'<td data-label="What became of it">{told}</td>' in client.get("/mail").text
    assert f"This message was {told}." in client.get("/mail/aaa").text
    assert ("/messages/aaa" in client.get("/mail/aaa").text) == (do != "delete")


@pytest.mark.parametrize("to", [("bob",), ("bob+shop",), ("bob", "carol"), ("bob+shop", "carol")])
def test_where_the_history_has_hashes_users_find_and_correct_their_mail_all_the_same(place, to):
    place.deliver("aaa", *to, subject=b"for Bob", hide=True)
    client = place.client("bob")
    assert "for Bob" in client.get("/mail").text
    page = client.get("/mail/aaa").text
    assert ("for Bob" in page, "carol" in page, "<dt>To</dt><dd>bob</dd>" in page) == (True, False, True)
    assert say(place, "bob", "spam", "aaa").headers["location"].endswith("spam-1-1-")
    assert ("for Bob" in client.get("/explain?ref=aaa").text) == (len(to) == 1)


def test_a_hash_is_nobody_else_s_mail(place):
    place.deliver("bbb", "carol", subject=b"for Carol", hide=True)
    client = place.client("bob")
    assert [client.get(path).status_code for path in ("/mail/bbb", "/mail/~")] == [404, 404]
    assert "for Carol" not in client.get("/mail").text + client.get("/explain?ref=bbb").text
    assert "forgotten" in say(place, "bob", "spam", "bbb").headers["location"]


@pytest.mark.parametrize("hide", [False, True], ids=["plain", "hashed"])
@pytest.mark.parametrize("to", ["carol", "carol+shop"])
def test_whoever_has_the_rest_of_a_domain_sees_nothing_of_those_who_have_their_own(tmp_path, to, hide):
    everybody = "[dspam]\ndspam_users = bob, carol\nbob = @example.com\ncarol = carol@example.com\n"
    place = Place(tmp_path, more=everybody)
    place.deliver("bbb", to, subject=b"for Carol", hide=hide)
    place.deliver("ccc", "dave", subject=b"for Dave", hide=hide)
    client = place.client("bob")
    page = client.get("/mail").text + client.get("/explain?ref=bbb").text
    assert ("for Carol" in page, "for Dave" in page) == (False, True)
    assert [client.get(path).status_code for path in ("/mail/bbb", "/mail/ccc")] == [404, 200]
    place.store.close()
