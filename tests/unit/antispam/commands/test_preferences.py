"""`bms preferences`: set, unset, list, show, join."""

from __future__ import annotations

import json

import pytest
from bms import main
from click.testing import CliRunner


@pytest.fixture
def bms(tmp_path):
    config = tmp_path / "milter.cfg"
    config.write_text(
        f"[milter]\ndatadir = {tmp_path}\n[dspam]\ndspam_users = ann, bob\nann = ann@example.com\nspam_action = reject\n"
    )

    def run(*words):
        result = CliRunner().invoke(main, ["-c", str(config), "preferences", *words], env={"COLUMNS": "200"})
        return result.exit_code, result.output

    return run


def test_what_is_set_is_listed_and_shown_with_where_it_comes_from(bms):
    assert bms("set", "SPAMACTION", "quarantine", "--user", "Ann") == (0, "")
    assert bms("set", "spamSubject", "[SPAM]", "--group", "sales") == (0, "")
    assert bms("set", "optOut", "no", "--site") == (0, "")
    assert bms("join", "ann", "sales") == (0, "")
    listed = [json.loads(line) for line in bms("list", "--json")[1].splitlines()]
    assert listed[-1] == {"scope": "user", "owner": "ann", "name": "spamAction", "value": "quarantine"}
    assert "is in group" in bms("list")[1]
    shown = bms("show", "ann")[1]
    assert "user ann" in shown
    assert "group sales" in shown
    assert "milter.cfg" in shown
    assert "reject" in bms("show", "bob")[1]


def test_what_is_unset_holds_no_more(bms):
    bms("set", "spamAction", "tag", "--user", "ann")
    assert bms("unset", "spamaction", "--user", "ann") == (0, "")
    assert "was not set there" in bms("unset", "spamAction", "--user", "ann")[1]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("set", "spamAction", "burn", "--user", "ann"), "expected one of deliver, tag, quarantine"),
        (("set", "language", "xx", "--user", "ann"), "there is no such language; there are en, de"),
        (("set", "spamColour", "red", "--site"), "there is no preference 'spamColour'"),
        (("set", "spamAction", "tag", "--user", "anm"), "has no user anm; did you mean ann?"),
        (("set", "spamAction", "tag"), "say whose"),
        (("set", "spamAction", "tag", "--site", "--user", "ann"), "say whose"),
        (("unset", "spamColour", "--site"), "there is no preference 'spamColour'"),
        (("set", "spamAction", "tag", "--group", "a\x1bb"), "cannot be the name of a group"),
        (("show", "nobody"), "has no user nobody"),
    ],
)
def test_a_mistake_is_said_and_changes_nothing(bms, words, told):
    code, output = bms(*words)
    assert code != 0
    assert told in output
    assert bms("list", "--json") == (0, "")


def test_help_teaches_what_can_be_set(bms):
    assert "whitelistThreshold" in bms("--help")[1]
