"""The console by requests: who gets in, what they see, what their buttons do, and that hostile mail stays inert."""

from __future__ import annotations

import re

import pytest
from starlette.testclient import TestClient

from antispam.store import accounts, lists, outbox
from antispam.web.console import Console
from support.console import HASHED, NOW, PASSWORD, Place, kept, press, token

# Logging in


@pytest.mark.parametrize("path", ["/", "/messages/abc", "/messages/abc/html", "/explain"])
def test_nobody_sees_anything_without_logging_in(place, path):
    answer = place.client().get(path)
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")


def test_a_wrong_password_and_a_wrong_name_get_the_same_answer(place):
    client = place.client()
    wrong = [client.post("/login", data={"name": name, "password": "x" * 12}) for name in ("bob", "nobody")]
    assert wrong[0].status_code == wrong[1].status_code == 403
    assert wrong[0].text.replace("bob", "nobody") == wrong[1].text


def test_wrong_passwords_make_an_account_wait(place):
    client = place.client()
    for _ in range(5):
        client.post("/login", data={"name": "bob", "password": "wrong password"})
    answer = client.post("/login", data={"name": "bob", "password": PASSWORD})
    assert (answer.status_code, "Too many wrong passwords" in answer.text) == (403, True)
    place.clock.now += 2
    assert client.post("/login", data={"name": "bob", "password": PASSWORD}).status_code == 303


def test_the_cookie_is_no_business_of_scripts_and_other_sites(place):
    answer = place.client().post("/login", data={"name": "bob", "password": PASSWORD})
    cookie = answer.headers["set-cookie"].lower()
    assert ("httponly" in cookie, "samesite=lax" in cookie, "secure" in cookie) == (True, True, False)


def test_behind_tls_the_cookie_is_sent_over_tls_only(tmp_path):
    made = Place(tmp_path, "https://mail.example.com/")
    answer = made.client().post("/login", data={"name": "bob", "password": PASSWORD})
    made.store.close()
    assert "secure" in answer.headers["set-cookie"].lower()


def test_a_session_ends(place):
    client = place.log_in("bob")
    assert client.get("/").status_code == 200
    place.clock.now += 12 * 3600 + 1
    assert client.get("/").status_code == 303


def test_logging_out_ends_the_session_on_the_server(place):
    client = place.log_in("bob")
    secret = client.cookies["bms-session"]
    client.post("/logout", data={"token": token(client)})
    other = place.client()
    other.cookies.set("bms-session", secret)
    assert other.get("/").status_code == 303


def test_another_password_ends_all_sessions(place):
    client = place.log_in("bob")
    accounts.set_password(place.store, "bob", HASHED)
    assert client.get("/").status_code == 303


def test_the_store_holds_no_secret_of_a_session(place, tmp_path):
    client = place.log_in("bob")
    secret = client.cookies["bms-session"].encode()
    assert not any(secret in file.read_bytes() for file in tmp_path.iterdir() if file.is_file())


# Whose mail


def test_users_see_their_own_quarantine(place):
    place.keep("aaa", "bob", subject=b"for Bob")
    place.keep("bbb", "carol", subject=b"for Carol")
    page = place.client("bob").get("/").text
    assert ("for Bob" in page, "for Carol" in page) == (True, False)


@pytest.mark.parametrize(
    "path", ["/messages/bbb", "/messages/bbb?user=carol", "/messages/bbb/html?user=carol", "/?user=carol"]
)
def test_nobody_sees_anothers_mail(place, path):
    place.keep("bbb", "carol", subject=b"for Carol")
    answer = place.client("bob").get(path)
    assert (answer.status_code in (403, 404), "for Carol" in answer.text) == (True, False)


def test_what_is_not_there_and_what_is_not_theirs_look_the_same(place):
    place.keep("bbb", "carol")
    client = place.client("bob")
    assert client.get("/messages/bbb").text == client.get("/messages/zzz").text


@pytest.mark.parametrize("do", ["release", "delete"])
def test_nobody_touches_anothers_mail(place, do):
    place.keep("bbb", "carol")
    press(place.client("bob"), do, "bbb carol", "bbb ", "bbb")
    assert (kept(place, "bbb"), place.taught) == (["carol"], [])
    assert outbox.entries(place.store, NOW) == []


def test_a_copy_of_one_user_says_nothing_of_the_other(place):
    place.keep("aaa", "bob", "carol")
    page = place.client("bob").get("/messages/aaa").text
    assert "carol" not in page


def test_users_are_not_told_of_messages_that_others_got_too(place):
    place.keep("aaa", "bob", "carol")
    assert "no such message that you may see" in place.client("bob").get("/explain?ref=aaa").text


def test_the_helpdesk_sees_everybodys(place):
    place.keep("aaa", "bob", subject=b"for Bob")
    place.keep("bbb", "carol", subject=b"for Carol")
    page = place.client("helen").get("/").text
    assert ("for Bob" in page, "for Carol" in page) == (True, True)


# What buttons do


def test_delivering_releases_and_teaches(place):
    place.keep("aaa", "bob")
    answer = press(place.client("bob"), "release", "aaa bob")
    assert answer.headers["location"] == "/?done=release-1-1"
    (queued,) = outbox.entries(place.store, NOW)
    assert (queued.recipients, place.taught) == (("bob@example.com",), [("bob", "aaa")])


def test_delivering_twice_sends_and_teaches_once(place):
    place.keep("aaa", "bob")
    client = place.client("bob")
    press(client, "release", "aaa bob")
    press(client, "release", "aaa bob")
    assert (len(outbox.entries(place.store, NOW)), len(place.taught)) == (1, 1)


def test_deleting_deletes_what_was_chosen(place):
    place.keep("aaa", "bob")
    place.keep("bbb", "bob")
    press(place.client("bob"), "delete", "aaa bob")
    assert (kept(place, "aaa"), kept(place, "bbb")) == ([], ["bob"])


def test_the_helpdesk_allows_a_sender(place):
    place.keep("aaa", "bob")
    press(place.client("helen"), "allow", "aaa bob")
    (entry,) = lists.everything(place.store)
    assert (entry.kind, entry.name) == (lists.Kind.WHITELIST, "eve@example.org")


def test_a_user_can_not_change_the_lists_of_all(place):
    place.keep("aaa", "bob")
    press(place.client("bob"), "allow", "aaa bob")
    assert lists.everything(place.store) == []


def test_looking_changes_nothing(place):
    """A program that fetches every link releases nothing."""
    place.keep("aaa", "bob")
    client = place.client("bob")
    for path in ("/", "/messages/aaa", "/messages/aaa/html", "/quarantine", "/quarantine?do=release&ref=aaa+bob"):
        client.get(path)
    assert outbox.entries(place.store, NOW) == []


# Forms of other sites


def test_a_form_without_the_token_does_nothing(place):
    place.keep("aaa", "bob")
    answer = place.client("bob").post("/quarantine", data={"do": "delete", "ref": "aaa bob"})
    assert (answer.status_code, kept(place, "aaa")) == (403, ["bob"])


def test_the_token_of_another_session_is_worth_nothing(place):
    place.keep("aaa", "bob")
    others = token(place.client("carol"))
    answer = place.client("bob").post("/quarantine", data={"token": others, "do": "delete", "ref": "aaa bob"})
    assert (answer.status_code, kept(place, "aaa")) == (403, ["bob"])


@pytest.mark.parametrize("header", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}])
def test_a_form_of_another_site_is_refused(place, header):
    answer = place.client().post("/login", data={"name": "bob", "password": PASSWORD}, headers=header)
    assert answer.status_code == 403


def test_a_form_that_is_too_large_is_not_read(place):
    answer = place.client().post("/login", data={"name": "bob", "password": "x" * 100_000})
    assert (answer.status_code, answer.text) == (403, "the form is too large")


def test_a_form_whose_length_nobody_knows_is_not_read(place):
    answer = place.client().post("/login", content=iter([b"name=bob"]))
    assert (answer.status_code, answer.text) == (403, "the form is too large")


def test_a_button_without_a_body_may_say_nothing_of_its_length(place):
    """As `curl -X POST` sends it."""
    client = place.client()
    request = client.build_request("POST", "/enter/nothing")
    del request.headers["content-length"]
    assert client.send(request).text != "the form is too large"


# Hostile mail

HOSTILE = b'<script>alert(1)</script><img src="http://evil.example/x.png" onerror="alert(2)"><form action="http://evil.example">'


def test_hostile_fields_are_text(place):
    place.keep("aaa", "bob", subject=HOSTILE)
    client = place.client("bob")
    for page in (client.get("/").text, client.get("/messages/aaa").text, client.get("/explain?ref=aaa").text):
        assert "<script>alert" not in page
        assert "<img src" not in page


def test_html_of_mail_can_do_nothing(place):
    link = b'<a href="http://evil.example/">bank</a><a href="javascript:alert(3)">x</a><svg onload=alert(4)><style>*{}</style>'
    place.keep("aaa", "bob", body=HOSTILE + link + b"<p onclick='x()'>text</p>")
    answer = place.client("bob").get("/messages/aaa/html")
    for bad in ("script", "<img", "<form", "onerror", "onclick", "javascript:", "<svg", "href"):
        assert bad not in answer.text.partition("</style>")[2], bad
    assert "text</p>" in answer.text
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")


@pytest.mark.parametrize("path", ["/login", "/static/console.css", "/nothing"])
def test_every_answer_forbids_what_is_not_needed(place, path):
    headers = place.client().get(path).headers
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "same-origin")


@pytest.mark.parametrize("ref", ["../../etc/passwd", "%2e%2e", "a" * 500, "a%00b", "%27%20OR%201=1"])
def test_a_reference_that_can_be_none_is_not_found(place, ref):
    assert place.client("helen").get(f"/messages/{ref}").status_code == 404


# Looking through it


def test_a_search_finds_by_subject_and_sender(place):
    place.keep("aaa", "bob", subject=b"cheap watches")
    place.keep("bbb", "bob", subject=b"other")
    page = place.client("bob").get("/?q=WATCHES").text
    assert ("cheap watches" in page, "other" in page) == (True, False)


def test_a_long_quarantine_has_pages(place):
    for number in range(51):
        place.keep(f"a{number}", "bob", subject=b"message")
    client = place.client("bob")
    first = client.get("/").text
    (following,) = re.findall(r'href="([^"]+)" rel="next"', first)
    second = client.get(following.replace("&amp;", "&")).text
    assert (first.count('name="ref"'), second.count('name="ref"')) == (50, 1)


def test_a_message_says_why_it_was_kept(place):
    place.keep("aaa", "bob")
    page = place.client("bob").get("/messages/aaa").text
    assert "The mail filter takes it for spam." in page
    assert "money" in page


def test_the_helpdesk_sees_the_reason_of_the_log(place):
    place.keep("aaa", "bob")
    client = place.client("helen")
    assert all("score 7.1 reaches 6.0" in client.get(path).text for path in ("/", "/messages/aaa"))


def test_the_helpdesk_hears_what_would_change_a_decision(place):
    place.keep("aaa", "bob")
    page = place.client("helen").get("/explain?to=bob@example.com").text
    assert "in the quarantine of bob" in page
    assert "What would make it different" in page


@pytest.mark.parametrize("done", ["-", "x", "release-1", "a-b-c-d", "%25s-%25d-1"])
def test_a_changed_address_breaks_no_page(place, done):
    assert place.client("bob").get(f"/?done={done}").status_code == 200


def test_a_defect_is_answered_with_the_same_headers(place, monkeypatch):
    def broken(*_):
        raise RuntimeError("a defect")

    monkeypatch.setattr(Console, "session", broken)
    client = TestClient(place.app, base_url="http://console.example", raise_server_exceptions=False)
    answer = client.get("/account")
    assert answer.status_code == 500
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "defect" not in answer.text
