"""The wiretap: whose mail is copied to whom, and whose is dropped."""

from __future__ import annotations

import pytest

from antispam.checks import wiretap
from antispam.mail.draft import AddRecipient, AppendHeader, DeleteRecipient, Draft
from antispam.mail.verdicts import Action
from antispam.settings import SettingsError, load_text
from support.checking import judge, message, services

CONFIG = "[wiretap]\nusers = big@example.com, @tapped.example\ndest = spy@example.com\n"


def edits(it, config=CONFIG):
    finding, verdict = judge(wiretap, it, config)
    draft = Draft(it)
    if finding is not None and verdict.action is Action.CONTINUE:
        wiretap.act(finding, verdict, draft, services(wiretap))
    return draft.edits()


@pytest.mark.parametrize("sender", ["big@example.com", "BIG@Example.com", "big+x@example.com", "any@tapped.example"])
def test_who_is_listed_is_copied_and_a_bounce_of_the_copy_tells_nobody(sender):
    assert edits(message(mail_from=sender)) == [AddRecipient("spy@example.com", "NOTIFY=NEVER")]


def test_a_login_is_listened_to_under_whatever_sender():
    assert edits(message(mail_from="x@example.net", login="big@example.com")) == [
        AddRecipient("spy@example.com", "NOTIFY=NEVER")
    ]


@pytest.mark.parametrize("sender", ["", "other@example.com", "big@example.org", "\xff@\xff", "big"])
def test_everybody_else_is_not(sender):
    assert judge(wiretap, message(mail_from=sender), CONFIG) == (None, None)


def test_without_somebody_who_gets_the_copies_there_are_none():
    assert judge(wiretap, message(mail_from="big@example.com"), "[wiretap]\nusers = big@example.com\n") == (None, None)


def test_who_gets_the_copies_is_not_listened_to_and_gets_no_second_one():
    config = "[wiretap]\nusers = @example.com\ndest = spy@example.com\n"
    assert judge(wiretap, message(mail_from="Spy@example.com"), config) == (None, None)
    assert edits(message(mail_from="a@example.com", to=["SPY@example.com"]), config) == []


def test_a_copy_that_is_not_blind_is_visible():
    assert edits(message(mail_from="big@example.com"), f"{CONFIG}blind = no\n") == [
        AppendHeader("Cc", "spy@example.com"),
        AddRecipient("spy@example.com", "NOTIFY=NEVER"),
    ]


def test_mail_of_some_is_dropped():
    finding, verdict = judge(wiretap, message(mail_from="big@example.com"), "[wiretap]\ndiscard = big@example.com\n")
    assert finding.discard
    assert verdict.action is Action.DISCARD


def test_dropped_mail_goes_to_who_listens():
    it = message(mail_from="big@example.com", to=["x@example.net", "spy@example.com", "y@example.net"])
    assert edits(it, f"{CONFIG}discard = big@example.com\n") == [
        DeleteRecipient("<x@example.net>"),
        DeleteRecipient("<y@example.net>"),
    ]


@pytest.mark.parametrize("dest", ["<spy@example.com>", "a b@example.com", "spy\u20ac@example.com"])
def test_what_is_no_address_is_an_error(dest):
    with pytest.raises(SettingsError, match="is not an address"):
        load_text(f"[wiretap]\ndest = {dest}\n", [wiretap.Settings])
