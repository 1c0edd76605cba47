"""`bms init`: five answers, typed or given as options, make a short configuration that loads."""

from __future__ import annotations

import re
from pathlib import Path

import click.testing
import pytest
from bms import JOURNEY, main

from antispam.commands import init
from antispam.commands.init import STRICT
from antispam.service.application import settings_classes
from antispam.settings import Settings, default_settings, load
from antispam.settings.program import ProgramSettings

GIVEN = {
    "domains": "example.com, example.org",
    "mta": "postfix",
    "quarantine": "mailbox",
    "postmaster": "pm@example.com",
    "strictness": "careful",
}


@pytest.fixture
def bms(tmp_path):
    file = tmp_path / "milter.cfg"

    def run(typed=None, options=("--no-dns",), **answers):
        given = [part for name, value in answers.items() for part in (f"--{name}", value)]
        runner = click.testing.CliRunner(env={"COLUMNS": "200"})
        return runner.invoke(main, ["init", "--output", str(file), *options, *given], input=typed)

    run.file = file
    return run


def settings(file) -> Settings:
    return load([file], settings_classes(JOURNEY))


def changed(file):
    return {(one.section, one.option): one.shown for one in settings(file).origins if one.where != "default"}


def test_only_what_differs_from_the_defaults_is_written(bms):
    assert bms(**GIVEN).exit_code == 0
    assert changed(bms.file) == {
        ("milter", "internal_domains"): "example.com, example.org",
        ("milter", "socket"): "local:/var/spool/postfix/bms/bms.sock",
        ("dsn", "sender"): "pm@example.com",
        ("impersonation", "domains"): "example.com, example.org",
        ("rates", "postmaster"): "pm@example.com",
    }
    assert len(bms.file.read_text().splitlines()) < 20


@pytest.mark.parametrize("strictness", ["observe", "careful", "strict"])
@pytest.mark.parametrize("quarantine", ["mailbox", "store", "sqlite:///x.sqlite"])
@pytest.mark.parametrize("mta", ["postfix", "sendmail"])
def test_whatever_is_answered_the_file_loads_and_says_nothing_that_is_default(bms, strictness, quarantine, mta):
    assert bms(**(GIVEN | {"strictness": strictness, "quarantine": quarantine, "mta": mta})).exit_code == 0
    usual = {(one.section, one.option): one.value for one in default_settings(settings_classes(JOURNEY)).origins}
    given = [one for one in settings(bms.file).origins if one.where != "default"]
    assert [one for one in given if one.value == usual[one.section, one.option]] == []


def test_observing_changes_nothing_of_the_mail(bms):
    bms(**(GIVEN | {"strictness": "observe"}))
    assert settings(bms.file)[ProgramSettings].observe


def test_strict_is_stricter_in_each_line_of_its_table(bms):
    bms(**(GIVEN | {"strictness": "strict"}))
    assert {(section, name) for section, name, *_ in STRICT} <= set(changed(bms.file))


def test_a_database_keeps_what_is_doubtful(bms):
    bms(**(GIVEN | {"quarantine": "sqlite:///x.sqlite"}))
    assert changed(bms.file)["dspam", "spam_action"] == "quarantine"
    assert changed(bms.file)["store", "url"] == "sqlite:///x.sqlite"


def test_what_is_not_given_is_asked_with_a_likely_answer(bms):
    result = bms("example.com\npostfix\n\n\n\n")
    assert result.exit_code == 0, result.output
    assert changed(bms.file)["dsn", "sender"] == "postmaster@example.com"
    assert settings(bms.file)[ProgramSettings].observe


def test_what_is_no_answer_is_asked_once_more(bms):
    result = bms("nonsense\nexample.com\nexim\nsendmail\nthere\nstore\nnobody\npm@example.com\nvery\ncareful\n")
    assert result.exit_code == 0, result.output
    for told in ("nonsense is no domain", "one of postfix, sendmail", "mailbox, store", "nobody is no address"):
        assert told in result.output
    assert changed(bms.file)["dspam", "spam_action"] == "quarantine"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"domains": "example"}, "no domain"),
        ({"domains": ","}, "at least one"),
        ({"domains": "a.example\n[x]"}, "no domain"),
        ({"postmaster": "pm@example.com\n[x]"}, "no address"),
        ({"quarantine": "nowhere"}, "expected mailbox, store"),
        ({"quarantine": "oracle://x/y"}, "expected"),
        ({"mta": "exim"}, "exim"),
    ],
)
def test_an_option_that_is_no_answer_is_told_and_nothing_is_written(bms, changes, told):
    result = bms(**(GIVEN | changes))
    assert result.exit_code != 0
    assert told in result.output
    assert not bms.file.exists()


def test_a_file_that_exists_is_left_alone_and_nothing_is_asked(bms):
    bms.file.write_text("mine\n")
    result = bms("")
    assert result.exit_code == 1
    assert "is not overwritten" in result.output
    assert bms.file.read_text() == "mine\n"


def test_others_can_not_read_the_file(bms):
    bms(**GIVEN)
    assert bms.file.stat().st_mode & 0o137 == 0


def test_the_lines_are_those_for_this_mta(bms):
    postfix = bms(**GIVEN).output
    bms.file.unlink()
    sendmail = bms(**(GIVEN | {"mta": "sendmail"})).output
    assert "smtpd_milters = unix:bms/bms.sock" in postfix
    assert "INPUT_MAIL_FILTER" not in postfix
    assert "INPUT_MAIL_FILTER(`bms', `S=local:/run/milter/bms.sock" in sendmail
    assert "smtpd_milters" not in sendmail


def test_without_dns_no_name_server_is_asked(bms, monkeypatch):
    monkeypatch.setattr(init, "examine", None)
    assert bms(**GIVEN).exit_code == 0


def test_the_look_at_the_dns_is_shown_with_advice(bms, monkeypatch):
    from antispam.commands.site_dns import Advice, State

    monkeypatch.setattr(init, "examine", lambda *_: [Advice(State.WRONG, "SPF of example.com", "none", "publish one")])
    result = bms(options=("--host", "mx.example.com", "--address", "192.0.2.1"), **GIVEN)
    assert re.search(r"WRONG +SPF of example.com: none\n +-> publish one", result.output)


def test_an_address_that_is_none_is_told(bms):
    assert "no IP address" in bms(options=("--host", "mx.example.com", "--address", "mx"), **GIVEN).output


def test_the_documentation_shows_what_strict_has_otherwise():
    rows = "".join(f"| `[{section}] {name}` | {value} | {why} |\n" for section, name, value, why in STRICT)
    assert rows in (Path(__file__).parents[4] / "docs" / "defaults.md").read_text()
