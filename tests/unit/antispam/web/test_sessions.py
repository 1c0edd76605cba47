"""Sessions of the console: how they begin, when they end, and the password that people choose themselves."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from antispam.store import accounts, login_failures, sessions
from antispam.store.accounts import Account, BadAccount, Role
from antispam.store.console_schema import web_failure
from support.console import HASHED, NOW, PASSWORD, Place, token

NEW = "a new and long password"


def change(client, current=PASSWORD, new=NEW, again=NEW):
    form = {"token": token(client, "/account"), "current": current, "new": new, "again": again}
    return client.post("/account/password", data=form)


def enters(place, password, name="bob"):
    return place.client().post("/login", data={"name": name, "password": password}).status_code == 303


def link(place, name="dora"):
    accounts.add(place.store, Account(name, Role.USER, "", (name,)), NOW)
    return "/enter/" + sessions.offer(place.store, name, NOW, 3600)


# When they end


def test_a_session_that_nobody_uses_ends(place):
    client = place.client("bob")
    place.clock.now += 2 * 3600
    assert client.get("/").status_code == 303


def test_a_session_in_use_goes_on(place):
    client = place.client("bob")
    for _ in range(3):
        place.clock.now += 1.5 * 3600
        assert client.get("/").status_code == 200


def test_a_session_in_use_ends_all_the_same(place):
    client = place.client("bob")
    for _ in range(7):
        place.clock.now += 1.5 * 3600
        assert client.get("/").status_code == 200
    place.clock.now += 1.5 * 3600
    assert client.get("/").status_code == 303


def test_to_log_out_everywhere_ends_all_sessions_of_the_account_alone(place):
    here, there, other = place.client("bob"), place.client("bob"), place.client("carol")
    here.post("/account/logout", data={"token": token(here, "/account")})
    assert [client.get("/").status_code for client in (here, there, other)] == [303, 303, 200]


def test_the_account_says_at_how_many_places_it_is_logged_in(place):
    place.client("bob")
    assert "You are logged in at 2 places." in place.client("bob").get("/account").text


# Another password


def test_people_change_their_password(place):
    answer = change(place.client("bob"))
    assert (answer.status_code, answer.headers["location"]) == (303, "/account?done=password")
    assert (enters(place, NEW), enters(place, PASSWORD)) == (True, False)


def test_a_changed_password_ends_all_other_sessions(place):
    here, there = place.client("bob"), place.client("bob")
    change(here)
    assert (here.get("/").status_code, there.get("/").status_code) == (200, 303)


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"current": "not the password"}, "The name or the password is wrong."),
        ({"again": "another new password"}, "The two new passwords differ."),
        ({"new": "short", "again": "short"}, "A password has 10 to 1024 characters."),
        ({"new": "x" * 1025, "again": "x" * 1025}, "A password has 10 to 1024 characters."),
    ],
)
def test_a_password_is_not_changed(place, form, said):
    answer = change(place.client("bob"), **form)
    assert said in answer.text
    assert accounts.get(place.store, "bob").password == HASHED


def test_the_current_password_can_not_be_guessed_in_a_session_that_was_left_open(place):
    client = place.client("bob")
    for _ in range(5):
        change(client, current="not the password")
    assert "Too many wrong passwords" in change(client).text


def test_nobody_changes_a_password_without_the_token(place):
    answer = place.client("bob").post("/account/password", data={"current": PASSWORD, "new": NEW, "again": NEW})
    assert (answer.status_code, accounts.get(place.store, "bob").password) == (403, HASHED)


# Links


def test_a_link_lets_in_once(place):
    path, client = link(place), place.client()
    assert client.post(path).headers["location"] == "/account"
    assert client.get("/").status_code == 200
    again = place.client().post(path)
    assert (again.status_code, "This link no longer works" in again.text) == (404, True)


def test_to_fetch_a_link_uses_nothing_up(place):
    path, client = link(place), place.client()
    for _ in range(3):
        page = client.get(path)
        assert (page.status_code, "Log in as dora" in page.text) == (200, True)
    assert client.post(path).status_code == 303


def test_a_link_ends(place):
    path = link(place)
    place.clock.now += 3601
    assert [place.client().get(path).status_code, place.client().post(path).status_code] == [404, 404]


@pytest.mark.parametrize("secret", ["x", "a" * 500, "%00", "%27%20OR%201=1"])
def test_what_is_no_link_lets_nobody_in(place, secret):
    link(place)
    assert place.client().post(f"/enter/{secret}").status_code == 404


def test_who_came_by_a_link_chooses_a_password(place):
    path, client = link(place), place.client()
    client.post(path)
    assert "Current password" not in client.get("/account").text
    assert change(client, current="").status_code == 303
    assert enters(place, NEW, "dora")


def test_a_newer_link_and_another_password_end_a_link(place):
    first = link(place)
    second = "/enter/" + sessions.offer(place.store, "dora", NOW, 3600)
    assert place.client().get(first).status_code == 404
    accounts.set_password(place.store, "dora", HASHED)
    assert place.client().get(second).status_code == 404


def test_a_link_of_an_account_that_is_gone_lets_nobody_in(place):
    path = link(place)
    accounts.remove(place.store, "dora")
    assert place.client().post(path).status_code == 404


@pytest.mark.parametrize("password", ["", "the password of an account that does not exist"])
def test_no_password_lets_in_an_account_that_has_none(place, password):
    link(place)
    assert not enters(place, password, "dora")


def test_behind_tls_the_cookie_of_a_link_is_sent_over_tls_only(tmp_path):
    made = Place(tmp_path, "https://mail.example.com/")
    answer = made.client().post(link(made))
    made.store.close()
    assert "secure" in answer.headers["set-cookie"].lower()


# Wrong passwords


@pytest.mark.parametrize("name", ["bob", "nobody"])
def test_a_name_without_an_account_waits_as_long(place, name):
    for _ in range(5):
        assert login_failures.attempt(place.store, name, NOW, 5) == 0
    assert [login_failures.attempt(place.store, name, NOW + more, 5) for more in (0, 0.5)] == [1, 0.5]
    assert login_failures.attempt(place.store, name.upper(), NOW + 1, 5) == 0
    assert login_failures.attempt(place.store, name, NOW + 1, 5) == 2


def test_a_right_password_ends_the_count(place):
    for _ in range(4):
        login_failures.attempt(place.store, "bob", NOW, 5)
    place.client("bob")
    assert [login_failures.attempt(place.store, "bob", NOW, 5) for _ in range(5)] == [0] * 5


def test_a_clock_that_was_ahead_locks_nobody_out(place):
    for _ in range(5):
        login_failures.attempt(place.store, "bob", NOW + 1e6, 5)
    assert login_failures.attempt(place.store, "bob", NOW, 5) <= 1


def test_wrong_passwords_are_forgotten_after_a_day(place):
    for _ in range(5):
        login_failures.attempt(place.store, "bob", NOW, 5)
    assert login_failures.purge(place.store, NOW + 24 * 3600 + 1) == 1
    with place.store.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(web_failure)) == 0


@pytest.mark.parametrize("mailbox", ["", "*", "../x", " bob"])
def test_no_account_has_a_mailbox_that_can_be_none(place, mailbox):
    """An empty one would be everybody's."""
    with pytest.raises(BadAccount):
        accounts.add(place.store, Account("dora", Role.USER, HASHED, (mailbox,)), NOW)


@pytest.mark.parametrize("field", ["name", "password"])
def test_a_form_in_a_charset_with_lone_surrogates_is_a_wrong_login(place, field):
    part = b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n\\ud800\r\n--x--\r\n' % field.encode()
    kind = "multipart/form-data; boundary=x; charset=unicode_escape"
    assert place.client().post("/login", content=part, headers={"Content-Type": kind}).status_code == 403
