"""What nobody here can read: by script, by charset, in part."""

from __future__ import annotations

import base64

import pytest

from antispam.checks import languages
from antispam.mail.verdicts import Action
from antispam.settings import SettingsError, load_text
from support.checking import judge, message
from support.effort import in_proportion

CHINESE = "[defang]\nblock_chinese = yes\n"


def word(text, charset):
    return f"=?{charset}?b?{base64.b64encode(text.encode(charset)).decode()}?="


def action(*fields, config=CHINESE, **more):
    _, verdict = judge(languages, message(*fields, **more), config)
    return verdict and verdict.action


@pytest.mark.parametrize(
    "field",
    [
        f"Subject: {word('我', 'big5')}",
        f"Subject: hello {word('我们的新产品', 'utf-8')}",
        f"Subject: {word('hello', 'iso-2022-jp')}",
        f"From: {word('王', 'gb2312')} <x@example.org>",
        "Subject: 我们的新产品",
        "Subject: =?UTF-8?Q?=ED=95=9C=EA=B5=AD?=",
        "Subject: こんにちは",
    ],
)
def test_what_nobody_can_read_is_refused(field):
    assert action(field) is Action.REJECT


@pytest.mark.parametrize(
    "field",
    ["Subject: hello", "Subject: Привет", "Subject: café", "Subject: a letter of 我 to you", "Subject: ",
     "From: 我 <x@example.org>\nSubject: x", "X: 我们", "Subject: 123"],
)  # fmt: skip
def test_what_somebody_can_read_is_not(field):
    assert action(*field.split("\n")) in (None, Action.CONTINUE)


def test_a_name_counts_where_the_subject_has_no_letters():
    assert action("Subject: 123", "From: 王小明 <x@example.org>") is Action.REJECT
    assert action("Subject: lunch", "From: 王小明 <x@example.org>") is None


def test_the_worst_of_several_subjects_counts():
    assert action("Subject: hello", "Subject: 我们的新产品") is Action.REJECT


def test_any_script_and_any_share():
    config = "[languages]\nblock_scripts = Cyrillic\nshare = 50\n"
    assert action("Subject: Привет, world", config=config) is Action.REJECT
    assert action("Subject: привет, wonderful world", config=config) is Action.CONTINUE
    assert action("Subject: 我们", config=config) is None
    assert (
        action("Subject: hello", config="[languages]\nblock_scripts = latin\nanswer = quarantine") is Action.QUARANTINE
    )


def test_any_charset_by_any_of_its_names():
    config = "[languages]\nblock_charsets = ks_c_5601-1987, x-strange\n"
    assert action("Subject: =?CP950?q?hello?=", config=config) is None
    assert action("Subject: =?CP949?q?hello?=", config=config) is Action.REJECT
    assert action("Subject: =?euc-kr?q?hello?=", config=config) is Action.REJECT
    assert action("Subject: =?X-Strange?q?hello?=", config=config) is Action.REJECT


def test_letters_that_only_look_like_others():
    config = "[languages]\nlookalikes = reject\n"
    assert action("Subject: your p\u0430ypal account", config=config) is Action.REJECT
    assert action("Subject: Привет world", config=config) is None
    assert action("Subject: your p\u0430ypal account", config="") is None


def test_our_own_users_write_in_any_language():
    assert action("Subject: 我们", login="bob") is None


@pytest.mark.parametrize("config", ["block_scripts = klingon", "share = 0", "share = 101"])
def test_what_makes_no_sense_is_an_error(config):
    with pytest.raises(SettingsError, match=r"is not a known script|1 to 100"):
        load_text(f"[languages]\n{config}\n", [languages.Settings])


@pytest.mark.parametrize(
    ("unit", "count"), [("我a", 5000), ("\u0315", 10_000), ("=?big5?b?", 1500), ("=?utf-8?q?=E6=88=91?= ", 500)]
)
def test_hostile_subjects_take_no_time(unit, count):
    def look(subject):
        judge(languages, message(*[f"Subject: {subject}"] * 20), CHINESE + "[languages]\nlookalikes = reject\n")

    assert in_proportion(look, lambda count: unit * count, count)
