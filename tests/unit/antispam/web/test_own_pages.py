"""What users set for themselves: lists and preferences; and what their filter has learned, with a plot of their mail."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antispam.learning.people import People
from antispam.learning.preferences import PREFERENCES, read_preference
from antispam.learning.settings import DspamSettings
from antispam.store import accounts, own_lists, preferences
from antispam.store.accounts import Account, Role
from antispam.store.own_lists import Kind
from antispam.store.preferences import Preference, Scope
from antispam.web.learning_pages import DAYS, days
from antispam.web.preferences_pages import QUESTIONS
from support.console import HASHED, NOW, Place, token
from support.learning import teach

USERS = "[dspam]\ndspam_users = bob, carol\nbob = bob@example.com\ncarol = carol@example.com\n"
DIGEST = "[digest]\nsend = yes\nsender = postmaster@example.com\n"


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path, more=USERS + DIGEST)
    yield made
    made.store.close()


def send(place, who, path, /, **form):
    client = place.client(who)
    return client.post(path, data={"token": token(client), **form})


def listed(place, user="bob"):
    return [(one.name, one.kind) for one in own_lists.of_user(place.store, user)]


def own(place, user="bob"):
    return {one.name: one.value for one in preferences.of_user(place.store, user) if one.scope is Scope.USER}


# Lists


@pytest.mark.parametrize(("do", "kind"), [("allow", Kind.ALLOW), ("block", Kind.BLOCK)])
def test_a_user_lists_a_sender(place, do, kind):
    send(place, "bob", "/own-lists", do=do, name=" Eve@Example.org ")
    assert (listed(place), listed(place, "carol")) == ([("eve@example.org", kind)], [])
    assert "eve@example.org" in place.client("bob").get("/own-lists").text


def test_a_user_removes_what_they_listed(place):
    for name in ("a.example", "b.example"):
        own_lists.put(place.store, "bob", Kind.BLOCK, name, NOW)
    send(place, "bob", "/own-lists", do="remove", entry="a.example")
    assert listed(place) == [("b.example", Kind.BLOCK)]


def test_what_can_be_no_sender_stays_in_the_form_with_a_word_about_it(place):
    answer = send(place, "bob", "/own-lists", do="allow", name='"><script>')
    assert (answer.status_code, listed(place)) == (422, [])
    assert "Give an address such as" in answer.text
    assert "<script>" not in answer.text


@pytest.mark.parametrize("path", ["/own-lists", "/preferences", "/learning"])
def test_nobody_opens_the_settings_of_another(place, path):
    own_lists.put(place.store, "carol", Kind.BLOCK, "secret.example", NOW)
    answer = place.client("bob").get(f"{path}?user=carol")
    assert (answer.status_code, "secret.example" in answer.text) == (403, False)


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/own-lists", {"do": "allow", "name": "eve@example.org"}),
        ("/own-lists", {"do": "remove", "entry": "secret.example"}),
        ("/preferences", {"spamAction": "reject"}),
    ],
)
def test_nobody_changes_the_settings_of_another(place, path, form):
    own_lists.put(place.store, "carol", Kind.BLOCK, "secret.example", NOW)
    assert send(place, "bob", path, user="carol", **form).status_code == 403
    assert (listed(place, "carol"), own(place, "carol")) == ([("secret.example", Kind.BLOCK)], {})


@pytest.mark.parametrize("path", ["/own-lists", "/preferences"])
def test_a_form_without_the_token_changes_nothing(place, path):
    answer = place.client("bob").post(path, data={"do": "allow", "name": "eve@example.org", "spamAction": "reject"})
    assert (answer.status_code, listed(place), own(place)) == (403, [], {})


def test_an_account_with_several_mailboxes_has_lists_of_each(place):
    accounts.add(place.store, Account("both", Role.USER, HASHED, ("bob", "carol")), NOW)
    send(place, "both", "/own-lists", user="carol", do="block", name="shop.example")
    assert (listed(place), listed(place, "carol")) == ([], [("shop.example", Kind.BLOCK)])


# Preferences


def test_a_preference_that_is_set_holds_for_the_user_alone(place):
    send(place, "bob", "/preferences", spamAction="quarantine", scoreMark="4.5", digest="weekly", spamSubject="[SPAM]")
    assert own(place) == {"spamAction": "quarantine", "scoreMark": "4.5", "digest": "weekly", "spamSubject": "[SPAM]"}
    settings = place.console.settings[DspamSettings]
    of = People(settings, place.store).settings_for
    assert (of("bob").mark, of("carol").mark) == (4.5, settings.mark)


def test_what_is_usual_holds_again_where_nothing_is_chosen(place):
    preferences.put(place.store, Preference(Scope.USER, "bob", "spamAction", "reject"))
    preferences.put(place.store, Preference(Scope.SITE, "", "spamAction", "quarantine"))
    page = place.client("bob").get("/preferences").text
    assert "as usual here (keep it in the quarantine)" in page
    assert '<option value="reject" selected>' in page
    send(place, "bob", "/preferences", spamAction="")
    assert own(place) == {}


def test_what_an_administrator_set_for_the_user_is_kept(place):
    preferences.put(place.store, Preference(Scope.USER, "bob", "scoreMark", "5.25"))
    page = place.client("bob").get("/preferences").text
    assert '<option value="5.25" selected>' in page
    send(place, "bob", "/preferences", scoreMark="5.25", spamAction="reject")
    assert own(place) == {"scoreMark": "5.25", "spamAction": "reject"}


@pytest.mark.parametrize(
    "form",
    [{"spamAction": "hold"}, {"scoreMark": "0.001"}, {"digest": "hourly"}, {"optOut": "maybe"}],
)
def test_what_is_not_offered_is_refused(place, form):
    assert send(place, "bob", "/preferences", **form).status_code == 403
    assert own(place) == {}


def test_a_form_with_a_mistake_changes_nothing(place):
    answer = send(place, "bob", "/preferences", spamAction="reject", spamSubject="x" * 200)
    assert (answer.status_code, own(place)) == (422, {})
    assert "That is too long" in answer.text


@pytest.mark.parametrize("name", ["quarantineKeep", "quarantineSize", "quarantineMessages", "nonsense"])
def test_users_do_not_choose_what_costs_the_site(place, name):
    send(place, "bob", "/preferences", **{name: "0"})
    assert own(place) == {}


def test_every_choice_is_a_value_of_its_preference():
    for question in QUESTIONS:
        assert question.name in PREFERENCES
        for value, _ in question.choices:
            read_preference(question.name, value)


def test_who_has_no_profile_chooses_how_we_write_to_them_alone(place):
    accounts.add(place.store, Account("dora@example.com", Role.USER, HASHED, ("dora@example.com",)), NOW)
    page = place.client("dora@example.com").get("/preferences").text
    offered = [name for name in PREFERENCES if f'name="{name}"' in page]
    assert offered == ["digest", "language"]


def test_where_no_digests_are_sent_nobody_is_asked_about_them(tmp_path):
    made = Place(tmp_path, more=USERS)
    page = made.client("bob").get("/preferences").text
    made.store.close()
    assert ('name="digest"' in page, 'name="spamAction"' in page) == (False, True)


def test_who_chooses_a_language_gets_mail_and_pages_in_it(place):
    client = place.client("bob")
    form = {"token": token(client), "user": "bob", "language": "de"}
    client.post("/preferences", data=form)
    assert own(place) == {"language": "de"}
    assert '<html lang="de">' in client.get("/preferences", headers={"Accept-Language": "en"}).text


@pytest.mark.parametrize(("accepted", "language"), [("fr", "de"), ("en", "en"), ("", "de")])
def test_pages_are_in_the_usual_language_where_the_browser_asks_for_none_of_ours(tmp_path, accepted, language):
    made = Place(tmp_path, more="language = de\n")
    text = made.client().get("/login", headers={"Accept-Language": accepted}).text
    made.store.close()
    assert f'<html lang="{language}">' in text


# Learning


def test_a_user_sees_how_much_their_filter_has_learned(place):
    teach(place.store, "bob", 7)
    page = place.client("bob").get("/learning").text
    assert "Your filter has learned 14 of 200 messages." in page
    assert "Until then" in page
    assert "has learned 0 of 200 messages" in place.client("carol").get("/learning").text


def test_a_filter_that_knows_enough_says_so(tmp_path):
    made = Place(tmp_path, more=f"{USERS}least = 3\n")
    teach(made.store, "bob", 3)
    page = made.client("bob").get("/learning").text
    made.store.close()
    assert "has learned 3 spam and 3 honest messages" in page


def test_the_plot_counts_ones_own_mail_by_what_became_of_it(place):
    place.deliver("aaa", "bob", "carol", kept_from="carol")
    place.deliver("bbb", "bob")
    page = place.client("bob").get("/learning").text
    assert "delivered: 2, marked as spam: 0, kept: 0, refused or dropped: 0" in page
    assert page.count("<svg") == 1
    assert "delivered: 0, marked as spam: 0, kept: 1" in place.client("carol").get("/learning").text


def test_without_mail_there_is_no_plot(place):
    assert "<svg" not in place.client("bob").get("/learning").text


@given(st.floats(min_value=0, max_value=4e9))
def test_the_days_end_after_now(now):
    bounds = days(now)
    assert (len(bounds), bounds == sorted(set(bounds))) == (DAYS + 1, True)
    assert bounds[-2] <= now < bounds[-1]


def test_menus_lead_to_these_pages(place):
    page = place.client("bob").get("/").text
    assert {"/own-lists", "/preferences", "/learning", "/mail"} <= set(re.findall(r'<a href="([^"]+)"', page))


def test_lists_that_are_switched_off_are_said_to_be(tmp_path):
    off = Place(tmp_path, more="[own_lists]\nmode = off\n")
    assert "nothing follows from them" in off.client("bob").get("/own-lists").text
    off.store.close()


def test_lists_in_force_are_not(place):
    assert "nothing follows from them" not in place.client("bob").get("/own-lists").text


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/own-lists", {"do": "block", "name": "eve@example.org"}),
        ("/preferences", {"spamAction": "quarantine"}),
        ("/mail", {"do": "spam", "ref": "abc"}),
    ],
)
def test_an_account_without_a_mailbox_changes_what_is_nobodys(place, path, form):
    """All such accounts shared one list."""
    accounts.add(place.store, Account("frank", Role.HELPDESK, HASHED, ()), NOW)
    frank = place.client("frank")
    assert frank.post(path, data={"token": token(frank, "/account"), **form}).status_code == 403
    assert own_lists.of_user(place.store, "") == []
