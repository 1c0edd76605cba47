"""docs/dovecot.md and docs/examples/dovecot: what stands there is understood, and both versions do the same."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pytest

from antispam.commands import start
from antispam.commands.learn_client import understood
from antispam.learning.lessons import Outcome
from antispam.settings import load_text
from antispam.settings.imap import ImapSettings
from antispam.settings.learn import LearnSettings

DOCS = Path(__file__).resolve().parents[4] / "docs"
TEXT = (DOCS / "dovecot.md").read_text()
EXAMPLES = DOCS / "examples" / "dovecot"


def test_every_example_of_a_configuration_is_understood():
    blocks = re.findall(r"^    \[(?:learn|imap)\]\n(?:    .*\n|\n)+", TEXT, re.MULTILINE)
    assert len(blocks) == 3
    for block in blocks:
        load_text(re.sub(r"^    ", "", block, flags=re.MULTILINE), [LearnSettings, ImapSettings])


@pytest.mark.parametrize("outcome", Outcome)
def test_every_exit_status_is_explained(outcome):
    assert f"| {outcome.value} |" in TEXT


@pytest.mark.parametrize("verdict", ["spam", "ham"])
def test_the_hook_says_what_bms_learn_understands(monkeypatch, verdict):
    """Whatever the login name looks like."""
    given = []
    monkeypatch.setattr(start, "main", lambda: given.append(understood(sys.argv[1:])))
    monkeypatch.setattr(sys, "argv", ["bms-learn", verdict, "--spam"])
    runpy.run_path(str(EXAMPLES / "bms-learn"), run_name="__main__")
    (lesson,) = given
    assert (lesson.is_spam, lesson.user, lesson.file) == (verdict == "spam", "--spam", "-")


@pytest.mark.parametrize("version", ["2.3", "2.4"])
def test_each_version_names_the_same_files(version):
    config = (EXAMPLES / f"90-bms-{version}.conf").read_text()
    named = set(re.findall(r"/etc/dovecot/bms/(\S+)", config))
    assert named == {"report-spam.sieve", "report-ham.sieve"}
    assert all((EXAMPLES / name).is_file() for name in named)
    assert f"90-bms-{version}.conf" in TEXT
    for extension in ("vnd.dovecot.pipe", "vnd.dovecot.environment", "special-use"):
        assert extension in config


def test_the_scripts_call_the_hook_that_is_there():
    for name in ("report-spam.sieve", "report-ham.sieve"):
        assert '"bms-learn" ["' in (EXAMPLES / name).read_text()
    assert (EXAMPLES / "bms-learn").stat().st_mode & 0o111
