"""`bms rules check`: mistakes with their lines, doubts, and how many messages meet each rule."""

from __future__ import annotations

import click.testing
import pytest
from bms import main

RULES = "[LOTTERY]\ntext = /lottery/i\npoints = 2\n"
RULES += "[FROM_BOB]\nheader From = /bob@/\n[BOTH]\nwhen = LOTTERY and FROM_BOB\npoints = 1\n"


@pytest.fixture
def check(tmp_path):
    config, rules = tmp_path / "milter.cfg", tmp_path / "rules"

    def run(text, *arguments, named=True):
        rules.write_text(text)
        config.write_text(f"[milter]\ndatadir = {tmp_path}\n[rules]\nfile = {rules}\n")
        runner = click.testing.CliRunner(env={"COLUMNS": "200"})
        given = [str(rules)] if named else []
        return runner.invoke(main, ["--config", str(config), "rules", "check", *given, *map(str, arguments)])

    return run


@pytest.fixture
def mbox(tmp_path):
    path = tmp_path / "mail.mbox"
    texts = ["From: bob@example.org\nSubject: Lottery\n\nhi\n", "From: ann@example.org\nSubject: lottery\n\nhi\n"]
    texts.append("From: ann@example.org\nSubject: lunch\n\nhi\n")
    path.write_text("".join(f"From a@b Mon Jan  1 00:00:00 2026\n{text}\n" for text in texts))
    return path


def row(output, name):
    return next(line for line in output.splitlines() if name in line).split("│")


def test_it_counts_the_messages_that_meet_each_rule(check, mbox):
    result = check(RULES, mbox)
    assert result.exit_code == 0
    assert {name: row(result.output, name)[3].strip() for name in ("LOTTERY ", "FROM_BOB ", "BOTH ")} == {
        "LOTTERY ": "2",
        "FROM_BOB ": "1",
        "BOTH ": "1",
    }


def test_without_a_file_it_tries_the_configured_one(check, mbox, tmp_path):
    folder = tmp_path / "mail"
    folder.mkdir()
    mbox.rename(folder / "mail.mbox")
    result = check(RULES, folder, named=False)
    assert row(result.output, "LOTTERY ")[3].strip() == "2"


def test_every_mistake_is_told_with_file_and_line(check, tmp_path, mbox):
    result = check("[ONE]\ntext = a\n[TWO]\ntext = /a/\nwen = ONE\n", mbox)
    assert result.exit_code == 1
    assert f"{tmp_path}/rules:2: a pattern stands between slashes" in result.output
    assert f"{tmp_path}/rules:5: a rule has no option wen; did you mean when?" in result.output
    assert "2 mistakes" in result.output


@pytest.mark.parametrize(
    ("text", "told"),
    [("[ONE]\ntext = /a*/\npoints = 1\n", "fits every text"), ("[ONE]\ntext = /a/\n", "does nothing")],
)
def test_what_is_hardly_meant_is_told_and_no_mistake(check, text, told):
    result = check(text)
    assert result.exit_code == 0
    assert told in result.output


def test_a_mailbox_that_is_not_there_is_told(check, tmp_path):
    assert "no such file" in check(RULES, tmp_path / "none").output


def test_without_any_rules_it_says_what_to_do(check):
    assert "name a file" in check("# nothing\n").output
