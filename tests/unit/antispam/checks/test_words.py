"""Words that are not wanted: where they are looked for, and what becomes of the mail."""

from __future__ import annotations

import pytest

from antispam.checks import words
from antispam.checks._shared.bans import BanSettings
from antispam.mail.connection import Connection
from antispam.mail.evidence import ReputationFinding, SpfFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Body, Message
from antispam.mail.verdicts import CONTINUE, Action, reject
from antispam.protocols.spf import Result, SpfResult
from antispam.store.lists import everything
from support.checking import judge, message, services_of
from support.effort import in_proportion

CONFIG = "[defang]\nspam_words = $$$, HGH\nporn_words = cialis\nfrom_words = White Teeth\n"


@pytest.mark.parametrize(
    ("fields", "where", "word"),
    [
        (["Subject: save $$$"], "subject", "$$$"),
        (["Subject: CIALIS"], "subject", "cialis"),
        (["Subject: hi", "Subject: Cialis"], "subject", "cialis"),
        (["subject : Cialis"], "subject", "cialis"),
        (["Subject: =?utf-8?b?Y2lhbGlz?="], "subject", "cialis"),
        (["From: White Teeth <x@example.org>"], "author", "White Teeth"),
        (["From: =?utf-8?q?White_Teeth?= <x@example.org>"], "author", "White Teeth"),
        (["From: x@example.org (HGH)"], "author", "HGH"),
        (['From: "ci@lis, cialis" <x@example.org>'], "author", "cialis"),
    ],
)
def test_listed_words_are_found(fields, where, word):
    finding, verdict = judge(words, message(*fields), CONFIG)
    assert (finding.where, finding.word) == (where, word)
    assert (verdict.action, verdict.code) == (Action.REJECT, 550)
    assert verdict.demerits == (1 if where == "author" else 0)


@pytest.mark.parametrize(
    "field",
    ["Subject: hgh", "Subject: White Teeth", "From: white teeth <x@example.org>", "From: <cialis@example.org>",
     "From: cialis@example.org", "From: Bob <cialis@example.org>", "X-Subject: cialis", "Subject: \xff\xfe"],
)  # fmt: skip
def test_what_is_not_meant_is_not_found(field):
    assert judge(words, message(field), CONFIG) == (None, None)


def test_without_lists_nothing_is_asked():
    assert judge(words, message("Subject: cialis")) == (None, None)


def test_our_own_users_may_write_what_they_like():
    assert judge(words, message("Subject: cialis", login="bob"), CONFIG) == (None, None)


def test_whole_words_and_another_answer():
    config = CONFIG + "[words]\nwhole_words = yes\nanswer = quarantine\n"
    assert judge(words, message("Subject: specialist"), config) == (None, None)
    _, verdict = judge(words, message("Subject: cialis!"), config)
    assert verdict.action is Action.QUARANTINE


def test_lists_in_latin_1_are_read(tmp_path):
    from antispam.settings import load

    file = tmp_path / "milter.cfg"
    file.write_bytes("[defang]\nporn_words = frëe, xãnax\n".encode("latin-1"))
    assert load([file], [words.Settings])[words.Settings].porn_words == ("frëe", "xãnax")


def _conclude(
    store, config="[bans]\nthrowaway = yes\n", where="author", confidence=0.0, result=Result.PASS, verdict=None
):
    spf = SpfResult(result, "mailfrom", "new.example", "203.0.113.9", "x@new.example", "h.example")
    found = [SpfFinding(mailfrom=spf), ReputationFinding(confidence=confidence)]
    sent = Message("m", "x@new.example", 0.0, Body(1000), findings=Findings(None, found))
    services = services_of(BanSettings, config=config, store=store)
    refused = verdict or reject("No.", "no")
    words.concluded(words.Finding(where=where, word="Detox"), Connection("c"), sent, refused, services)
    return [entry.name for entry in everything(store)]


def test_a_throwaway_domain_is_banned_where_that_is_wanted(store):
    assert _conclude(store) == ["new.example"]


@pytest.mark.parametrize(
    "changes",
    [
        {"config": ""},
        {"where": "subject"},
        {"confidence": 1.5},
        {"result": Result.NEUTRAL},
        {"verdict": CONTINUE},
    ],
)
def test_other_domains_are_not_banned_for_a_word(store, changes):
    assert _conclude(store, **changes) == []


def test_the_last_of_thousands_of_subjects_may_be_the_one_that_is_shown():
    finding, _ = judge(words, message(*["Subject: hi"] * 4000, "Subject: Cialis"), CONFIG)
    assert finding.word == "cialis"


def test_thousands_of_subjects_take_no_time():
    config = "[defang]\nspam_words = " + ", ".join("x" * length for length in range(3, 40)) + "\n"

    def look(subjects):
        assert judge(words, message(*subjects), config) == (None, None)

    assert in_proportion(look, lambda count: [f"Subject: {'y' * 2000}"] * count, 500)
    assert in_proportion(look, lambda count: [f"Subject: {'y' * count}"] * 100, 10_000)
