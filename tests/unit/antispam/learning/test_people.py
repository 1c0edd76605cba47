"""Whose mail it is, and what that user wants."""

from __future__ import annotations

import math

import pytest

from antispam.learning.people import REMEMBERED, Addresses, AddressList, People
from antispam.learning.preferences import read_preference
from antispam.learning.settings import SignaturePlace, TrainingMode
from antispam.mail.remedies import Remedy
from antispam.settings import SettingsError
from antispam.store import preferences
from antispam.store.preferences import Preference, Scope
from support.learning import dspam_settings

pytestmark = pytest.mark.every_database

USERS = "dspam_users = Ann, bob\nann = Ann.Smith@example.com, ann@example.com\nbob = @bob.example\n"


@pytest.mark.parametrize(
    ("address", "user"),
    [
        ("ann@example.com", "ann"),
        ("ANN.smith@EXAMPLE.com", "ann"),
        ("ann+lists@example.com", "ann"),
        ("anybody@bob.example", "bob"),
        ("anybody@sub.bob.example", None),
        ("carol@example.com", None),
        ("", None),
        ("postmaster", None),
        ('"a b"@example.com', None),
    ],
)
def test_an_address_is_a_user_s_by_itself_without_detail_or_by_its_domain(address, user):
    assert People(dspam_settings(USERS), None).user_of(address) == user


@pytest.mark.parametrize(("login", "user"), [("ann", "ann"), ("Bob", "bob"), ("ann@example.com", "ann"), ("eve", None)])
def test_a_login_is_a_user_s_name_or_one_of_his_addresses(login, user):
    assert People(dspam_settings(USERS), None).addresses.user_of_login(login) == user


def test_users_may_stand_in_a_file(tmp_path):
    (tmp_path / "users").write_text("# ours\nann: ann@example.com, a.smith@example.com\nbob:\n")
    settings = dspam_settings(f"dspam_users = file:{tmp_path}/users, carol\ncarol = carol@example.com\n")
    assert settings.users == {
        "ann": ("ann@example.com", "a.smith@example.com"),
        "bob": (),
        "carol": ("carol@example.com",),
    }


def test_a_line_of_that_file_that_can_not_be_read_is_a_mistake(tmp_path):
    (tmp_path / "users").write_text("ann ann@example.com\n")
    with pytest.raises(SettingsError, match="expected 'user: address, address'"):
        dspam_settings(f"dspam_users = file:{tmp_path}/users\n")


def test_an_address_of_two_users_is_a_mistake():
    with pytest.raises(ValueError, match=r"X@example\.com belongs to both ann and bob"):
        dspam_settings("dspam_users = ann, bob\nann = x@example.com\nbob = X@example.com\n")


def test_a_list_has_addresses_and_domains():
    listed = AddressList(["Ann@Example.com", "@example.net", "example.org"])
    assert all(one in listed for one in ("ann@example.com", "x@example.net", "x@example.org"))
    assert not any(one in listed for one in ("x@example.com", "x@sub.example.org", ""))


def test_a_user_s_preference_wins_over_his_group_s_and_that_over_the_site_s(store):
    people = People(dspam_settings(USERS), store, clock=iter(range(0, 1000, 10)).__next__)
    assert people.settings_for("ann").spam_action is Remedy.TAG
    for scope, owner, value in (("site", "", "deliver"), ("group", "sales", "reject"), ("user", "ann", "quarantine")):
        preferences.put(store, Preference(Scope(scope), owner, "spamAction", value))
        if scope == "group":
            assert people.settings_for("ann").spam_action is Remedy.DELIVER
            preferences.join(store, "ann", "sales")
            assert people.settings_for("ann").spam_action is Remedy.REJECT
    assert people.settings_for("ann").spam_action is Remedy.QUARANTINE
    assert people.settings_for("bob").spam_action is Remedy.DELIVER
    assert people.settings_for(None).spam_action is Remedy.DELIVER
    assert preferences.remove(store, Scope.USER, "ann", "spamAction")
    preferences.join(store, "ann", None)
    assert people.settings_for("ann").spam_action is Remedy.DELIVER


def test_what_is_set_is_heeded_within_seconds_and_not_asked_for_with_each_message(store):
    now = [0.0]
    people = People(dspam_settings(USERS), store, clock=lambda: now[0])
    assert people.settings_for("ann").spam_subject == ""
    preferences.put(store, Preference(Scope.USER, "ann", "spamSubject", "[SPAM]"))
    assert people.settings_for("ann").spam_subject == ""
    now[0] = REMEMBERED
    assert people.settings_for("ann").spam_subject == "[SPAM]"


def test_what_another_version_wrote_does_not_hold_and_costs_no_mail(store, caplog):
    preferences.put(store, Preference(Scope.SITE, "", "spamAction", "incinerate"))
    preferences.put(store, Preference(Scope.SITE, "", "spamColour", "red"))
    assert People(dspam_settings(USERS), store).settings_for("ann").spam_action is Remedy.TAG
    assert "expected one of deliver, tag" in caplog.text


def test_dspam_train_names_users_who_learn_from_everything():
    people = People(dspam_settings(USERS + "dspam_train = bob\n"), None)
    assert people.settings_for("bob").training_mode is TrainingMode.TEFT
    assert people.settings_for("ann").training_mode is TrainingMode.TOE


def test_preferences_are_called_as_dspam_called_them():
    preferable, value = read_preference("SIGNATURELOCATION", "headers")
    assert (preferable.option.field, value) == ("signature_location", SignaturePlace.HEADERS)
    assert read_preference("optOut", "on")[1] is True
    with pytest.raises(ValueError, match="there is no preference 'colour'; there are spamAction,"):
        read_preference("colour", "red")
    with pytest.raises(ValueError, match="must not be negative"):
        read_preference("whitelistThreshold", "-1")


def test_groups_and_preferences_can_be_listed(store):
    preferences.put(store, Preference(Scope.USER, "ann", "spamAction", "tag"))
    preferences.put(store, Preference(Scope.SITE, "", "spamAction", "deliver"))
    preferences.put(store, Preference(Scope.SITE, "", "spamAction", "tag"))
    preferences.join(store, "ann", "sales")
    assert [tuple(one) for one in preferences.everything(store)] == [
        ("site", "", "spamAction", "tag"),
        ("user", "ann", "spamAction", "tag"),
    ]
    assert preferences.groups(store) == {"ann": "sales"}
    assert not preferences.remove(store, Scope.USER, "bob", "spamAction")


def test_an_internationalised_domain_is_the_same_in_the_configuration_and_on_the_wire():
    known = People(
        dspam_settings("dspam_users = bob, ann\nbob = Bob@B\u00fccher.example\nann = @m\u00fcller.example"), None
    )
    for address in ("bob@xn--bcher-kva.example", "bob@b\u00fccher.example", "BOB@B\u00dcCHER.example."):
        assert known.user_of(address) == "bob"
    assert known.user_of("x@xn--mller-kva.example") == "ann"
    assert "x@xn--mller-kva.example" in AddressList(["m\u00fcller.example"])


def test_many_users_are_asked_for_at_once_and_get_what_each_would_get(store):
    preferences.put(store, Preference(Scope.SITE, "", "spamSubject", "[S]"))
    preferences.put(store, Preference(Scope.GROUP, "staff", "spamSubject", "[G]"))
    preferences.put(store, Preference(Scope.USER, "u2", "spamSubject", "[U]"))
    preferences.join(store, "u1", "staff")
    preferences.join(store, "u2", "staff")
    users = [f"u{number}" for number in range(1200)]
    at_once, singly = People(dspam_settings(), store), People(dspam_settings(), store)
    at_once.ask_for(users)
    at_once._store = None  # nothing more is asked
    assert [at_once.settings_for(user).spam_subject for user in users[:4]] == ["[S]", "[G]", "[U]", "[S]"]
    assert all(at_once.settings_for(user) == singly.settings_for(user) for user in users[:10] + users[-10:])


def test_a_bare_login_is_the_user_who_has_that_address():
    users = "dspam_users = ann, bob\nann = ann@example.com, sales@example.com\nbob = jim@example.com\n"
    known = Addresses(dspam_settings(users))
    assert known.user_of_login("jim") == "bob"
    assert known.user_of_login("SALES") == "ann"


def test_a_bare_login_that_may_be_two_users_is_nobody():
    known = Addresses(dspam_settings("dspam_users = ann, bob\nann = jim@example.com\nbob = jim@example.net\n"))
    assert known.user_of_login("jim") is None


@pytest.mark.parametrize(("written", "points"), [("8.5", 8.5), ("never", math.inf), ("0", math.inf)])
def test_a_user_has_thresholds_of_the_score_of_their_own(store, written, points):
    preferences.put(store, Preference(Scope.USER, "ann", "scoreMark", written))
    people = People(dspam_settings(USERS), store)
    assert (people.settings_for("ann").mark, people.settings_for("bob").mark) == (points, 6.0)


@pytest.mark.parametrize("written", ["-1", "nan", "inf", "much", ""])
def test_a_threshold_that_makes_no_sense_is_refused(written):
    with pytest.raises(ValueError, match="expected a number"):
        read_preference("scoreRefuse", written)
