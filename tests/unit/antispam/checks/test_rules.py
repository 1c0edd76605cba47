"""The site's rules on real messages: what they are shown, and what is told of it."""

from __future__ import annotations

import base64

import pytest
from bms import JOURNEY

from antispam.checks import rules
from antispam.deadline import Deadline
from antispam.journey.plan import known_tests
from antispam.mail.score import Hit, counted
from antispam.mail.verdicts import Action
from antispam.service.application import settings_classes
from antispam.settings import SettingsError, load_text
from support.checking import judge, message, services


@pytest.fixture
def config(tmp_path):
    def write(text):
        (tmp_path / "rules").write_text(text)
        return f"[rules]\nfile = {tmp_path / 'rules'}\n"

    return write


def html(text):
    return message("Subject: hi", "Content-Type: text/html; charset=utf-8", body=text.encode())


@pytest.mark.parametrize(
    ("line", "letter"),
    [
        ("text = /^save money/i", message("Subject: Save\n money")),
        ("text = /free money/", message("Subject: hi", body=b"It is free\r\nmoney\r\n")),
        ("text = /viagra/", html("<p>Vi<b>ag</b>ra</p>".lower())),
        ("text = /paypal/i", html("<p>p\u0430yp\u0430l</p>")),
        ("text = /viagra/", message("Subject: v1agra")),
        ("text = /p\u0430yp\u0430l/i", html("<p>p\u0430yp\u0430l</p>")),
        ("text = /перевод/i", html("<p>Перевод</p>")),
        (r"link = /^https?:\/\/bank\.example\/login$/", html('<a href="http://bank.example/login">here</a>')),
        (r"link = /evil\.example/", message("Subject: hi", body=b"see http://evil.example/x now\r\n")),
        ("header Subject = /^Geld/", message("Subject: =?utf-8?b?R2VsZA==?=")),
        ("header From = /White/", message("From: =?utf-8?q?White_Teeth?= <a@b.example>")),
        (
            r"attachment = /\.iso$/i",
            message("Content-Type: application/octet-stream; name*=utf-8''Invoice%2EISO", body=b"x"),
        ),
    ],
)
def test_a_rule_sees_what_the_reader_sees(config, line, letter):
    finding, verdict = judge(rules, letter, config(f"[RULE]\npoints = 1.5\n{line}\n"))
    assert [one.name for one in finding.met] == ["RULE"]
    assert verdict.action is Action.CONTINUE
    assert verdict.reason.startswith("RULE +1.5 (")


def test_a_rule_counts_in_the_score_and_its_points_can_be_changed_there(config):
    finding, _ = judge(
        rules, message("Subject: a"), text := config("[RULE]\npoints = 1.5\ndescribe = has an a\ntext = /a/\n")
    )
    own = services(rules, text).settings[rules.Settings]
    (test,) = rules.declares(own)
    assert (test.name, test.points, test.why) == ("RULE", 1.5, "has an a")
    hits = rules.points(finding, {}, own)
    assert hits == (Hit("RULE", "Has an a: 'a'."),)
    assert counted(hits, {"RULE": test}, {"RULE": 4.0})[0].points == 4.0


def test_a_rule_can_not_take_the_name_of_a_test_of_the_program(config):
    with pytest.raises(SettingsError, match=r"rules:1: \[SPF_FAIL\] is the name of a built-in test"):
        services(rules, config("[SPF_FAIL]\npoints = 1\ntext = /a/\n"))


def test_a_rule_can_not_take_the_name_of_a_test_of_a_list_either(config):
    settings = load_text(config("[RCVD_IN_PBL]\npoints = 1\ntext = /a/\n"), settings_classes(JOURNEY))
    with pytest.raises(SettingsError, match="both have a test RCVD_IN_PBL"):
        known_tests(JOURNEY, settings)


def test_what_is_hidden_is_no_text(config):
    hidden = html('<p>hello</p><p style="display:none">lottery</p>')
    assert judge(rules, hidden, config("[RULE]\npoints = 1\ntext = /lottery/\n")) == (None, None)


def test_a_link_behind_hundreds_of_others_is_seen(config):
    many = "".join(f'<a href="http://honest{n}.example/">x</a>' for n in range(300))
    found, _ = judge(rules, html(many + '<a href="http://evil.example/">'), config("[RULE]\npoints=1\nlink=/evil/\n"))
    assert found is not None


def test_mail_of_our_own_users_is_not_asked_about(config):
    letter = message("Subject: lottery", login="bob")
    assert judge(rules, letter, config("[RULE]\npoints = 1\ntext = /lottery/\n")) == (None, None)


def test_without_a_file_nothing_is_asked():
    assert judge(rules, message("Subject: lottery")) == (None, None)


def test_a_file_with_a_mistake_is_refused_with_its_line(config):
    with pytest.raises(SettingsError, match=r"rules:2: .*between slashes.* \(and 1 more: `bms rules check"):
        services(rules, config("[ONE]\ntext = a\n[TWO]\ntext = b\n"))


def test_a_reload_reads_the_file_anew(config):
    before = services(rules, config("[RULE]\npoints = 1\ntext = /a/\n")).settings
    after = services(rules, config("[RULE]\npoints = 2\ntext = /a/\n")).settings
    assert [one[rules.Settings].file.by_name["RULE"].points for one in (before, after)] == [1, 2]
    assert before != after


def test_what_takes_too_long_is_an_error_of_the_check(config):
    over = Deadline(0.0, lambda: 1.0)
    finding, _ = judge(rules, message("Subject: a"), config("[RULE]\npoints = 1\ntext = /a/\n"), deadline=over)
    assert finding.error == "the site's own rules took too long"


def test_a_rule_that_the_file_has_no_more_counts_nothing_when_a_message_is_decided_again(config):
    finding, _ = judge(rules, message("Subject: a"), config("[OLD]\npoints = 1\ntext = /a/\n"))
    later = services(rules, config("[NEW]\npoints = 1\ntext = /a/\n")).settings[rules.Settings]
    assert rules.decide(finding, {}, later, None).reason == ""


def test_broken_mail_raises_nothing(config):
    config = config(
        "[RULE]\npoints = 1\ntext = /x/\n[LINK]\npoints = 1\nlink = /x/\n[NAME]\npoints=1\nattachment=/x/\n"
    )
    for body in (b"\xff\xfe\x00" * 999, b"--x\r\n" * 3000, base64.b64encode(b"\xff" * 5000), b'<a href="\xed\xa0\x80x'):
        for kind in ("text/html; charset=utf-16", "multipart/mixed; boundary=x", "text/plain; name*=utf-16''%d8%00"):
            judge(rules, message(f"Content-Type: {kind}", b"Subject: \xed\xa0\x80", body=body), config)
