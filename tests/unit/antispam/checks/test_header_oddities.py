"""Odd headers: each found by itself, and nothing done about any of them unless the site says so."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antispam.checks import header_oddities
from antispam.checks.header_oddities import Oddity, Settings
from antispam.mail.remedies import Remedy
from antispam.mail.verdicts import Action
from support.checking import judge, message
from support.effort import in_proportion

# The message is received on 2023-11-14 22:13:20.
SOUND = ("From: a@example.org", "Date: Tue, 14 Nov 2023 22:00:00 +0000", "Message-ID: <1@example.org>")


LOG = "[header_oddities]\nmode = log\n"


def odd(*fields, sound=SOUND, config=LOG):
    finding, _ = judge(header_oddities, message(*sound, *fields), config)
    return set(finding.odd) if finding else set()


def test_a_sound_header_is_not_odd():
    assert odd("Subject: hello", "To: b@example.com", "Received: a", "Received: b", "X-Mailer: mutt") == set()


@pytest.mark.parametrize(
    ("fields", "oddity"),
    [
        (SOUND[1:], Oddity.MISSING_FROM),
        ((SOUND[0], SOUND[2]), Oddity.MISSING_DATE),
        (SOUND[:2], Oddity.MISSING_MESSAGE_ID),
        ((*SOUND, "From: c@example.org"), Oddity.REPEATED),
        ((*SOUND, "From : c@example.org"), Oddity.REPEATED),
        ((*SOUND, "Subject: a", "subject: b"), Oddity.REPEATED),
        ((*SOUND, "To: a@b.example", "To: b@b.example"), Oddity.REPEATED),
        ((*SOUND, "X Y: z"), Oddity.INVALID_NAME),
        ((*SOUND, "X\x01: z"), Oddity.INVALID_NAME),
        ((*SOUND, b"X\xe9: z"), Oddity.INVALID_NAME),
        ((*SOUND, b"Subject: caf\xe9"), Oddity.EIGHT_BIT),
        ((SOUND[0], SOUND[2], "Date: yesterday"), Oddity.INVALID_DATE),
        ((SOUND[0], SOUND[2], "Date: Tue, 99 Nov 2023 22:00:00 +0000"), Oddity.INVALID_DATE),
        ((SOUND[0], SOUND[2], "Date: "), Oddity.INVALID_DATE),
        ((SOUND[0], SOUND[2], "Date: Tue, 14 Nov 99999 22:00:00 +0000"), Oddity.INVALID_DATE),
        ((SOUND[0], SOUND[2], "Date: Tue, 19 Jan 2038 03:14:07 +0000"), Oddity.FUTURE_DATE),
        ((SOUND[0], SOUND[2], "Date: Tue, 14 Nov 2000 22:00:00 +0000"), Oddity.OLD_DATE),
        ((*SOUND[:2], "Message-ID: x"), Oddity.INVALID_MESSAGE_ID),
        ((*SOUND[:2], "Message-ID: <@>"), Oddity.INVALID_MESSAGE_ID),
        ((*SOUND, "Subject: ADV: buy"), Oddity.ADVERTISING),
        ((*SOUND, "Subject: buy [adv]"), Oddity.ADVERTISING),
        ((*SOUND, "X-Mailer: Mail Bomber"), Oddity.BULK_MAILER),
        ((*SOUND, "X-Mailer: SuperOptIn 3"), Oddity.BULK_MAILER),
    ],
)
def test_each_oddity_is_found_and_follows_its_option(fields, oddity):
    assert oddity in odd(sound=fields)
    _, verdict = judge(header_oddities, message(*fields))
    assert verdict.action is Action.CONTINUE
    assert oddity in verdict.reason
    _, verdict = judge(header_oddities, message(*fields), f"[header_oddities]\n{oddity} = reject\n")
    assert (verdict.action, verdict.code) == (Action.REJECT, 550)
    assert "RFC 5322" in verdict.text


def test_each_oddity_is_an_option_which_ignores_it_at_first():
    options = {field.name: field.default for field in dataclasses.fields(Settings)}
    assert {options[oddity] for oddity in Oddity} == {Remedy.IGNORE}


def test_the_strictest_answer_counts():
    config = "[header_oddities]\nmissing_date = quarantine\nmissing_from = reject\nmissing_message_id = tempfail\n"
    _, verdict = judge(header_oddities, message("Subject: x"), config)
    assert verdict.action is Action.REJECT
    assert "no From" in verdict.text
    _, verdict = judge(header_oddities, message(SOUND[0]), config)
    assert verdict.action is Action.TEMPFAIL


def test_utf_8_in_a_header_and_a_date_without_a_zone_are_not_odd():
    assert odd("Subject: café") == set()
    assert odd(sound=(SOUND[0], SOUND[2], "Date: Tue, 14 Nov 2023 22:00:00")) == set()


def test_our_own_users_programs_write_what_they_like():
    assert judge(header_oddities, message("X Y: z", login="bob"), LOG) == (None, None)


@given(
    st.lists(st.tuples(st.sampled_from(["Date", "Message-ID", "Subject", "X-Mailer", "From"]), st.binary(max_size=80)))
)
def test_nothing_raises(fields):
    judge(header_oddities, message(*[name.encode() + b":" + value for name, value in fields]), LOG)


@pytest.mark.parametrize("unit", ["<a@", "a ", "(", "Tue, ", "=?"])
def test_hostile_values_take_no_time(unit):
    names = ("Date", "Message-ID", "Subject", "X-Mailer")

    def look(value):
        judge(header_oddities, message(*(f"{name}: {value}" for name in names)), LOG)

    assert in_proportion(look, lambda count: unit * count, 150_000 // len(unit))
