"""`bms replay`: what another configuration would have decided about the mail of the last days."""

from __future__ import annotations

import json

import click.testing
import pytest
from bms import main

from support.dns import ScriptedResolver
from support.lists import without_lists
from support.whole_journey import STRANGER, application, connected, send

ZONES = {
    "_dmarc.bank.example": {"TXT": ["v=DMARC1; p=reject"]},
    "example.org": {"TXT": [f"v=spf1 ip4:{STRANGER} -all"]},
    "parked.example": {"TXT": ["v=spf1 -all"]},
}
CONFIG = "[greylist]\nmode = off\n[helo]\nmode = off\n"
HONEST = [(b"From", b" ann@example.org"), (b"Subject", b" lunch"), (b"Date", b" Mon, 2 Nov 2026 12:00:00 +0000")]
FORGED = [(b"From", b" ceo@bank.example"), (b"Subject", b" urgent")]


@pytest.fixture
def place(tmp_path):
    """A day's mail: one that is delivered, one that DMARC refuses, one whose domain sends nothing."""
    with application(tmp_path, ScriptedResolver(ZONES), CONFIG) as app:
        send(connected(app), HONEST, sender="ann@example.org")
        send(connected(app), FORGED, sender="x@example.org")
        send(connected(app), HONEST, sender="ann@parked.example")
    (tmp_path / "milter.cfg").write_text(_config(tmp_path))
    return tmp_path


def _config(folder, more=""):
    return f"[milter]\ndatadir = {folder}\ninternal_connect = 10.0.0.0/8\n{without_lists(CONFIG)}{more}"


def replay(folder, more, *arguments):
    (folder / "new.cfg").write_text(_config(folder, more))
    result = click.testing.CliRunner().invoke(
        main, ["-c", str(folder / "milter.cfg"), "replay", "--config", str(folder / "new.cfg"), *arguments],
        catch_exceptions=False,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    return result.output


def sums(folder, more):
    *changes, last = map(json.loads, replay(folder, more, "--json").splitlines())
    return changes, last


def test_the_same_configuration_changes_nothing_and_decides_as_was_decided(place):
    changes, last = sums(place, "")
    assert changes == []
    assert (last["messages"], last["drifted"], last["notes"]) == (3, 0, [])


def test_what_is_switched_off_is_delivered(place):
    changes, _ = sums(place, "[dmarc]\nmode = log\n")
    (one,) = changes
    assert (one["before"]["became"], one["after"]["became"]) == ("refused", "delivered")
    assert (one["before"]["decided"], one["subject"]) == ("dmarc", "urgent")


def test_a_threshold_marks_what_has_so_many_points(place):
    changes, _ = sums(place, "[score]\nmark = 1.5\n")
    assert [(one["subject"], one["after"]["became"]) for one in changes] == [("lunch", "marked")]


def test_points_of_a_test_are_counted_anew(place):
    changes, _ = sums(place, "[score]\nMISSING_TO = 20\n")
    assert [(one["subject"], one["after"]["became"], one["after"]["decided"]) for one in changes] == [
        ("lunch", "refused", "spam_action")
    ]


def test_evidence_that_was_never_collected_is_told(place):
    _, last = sums(place, "[spf]\nmode = off\n")
    assert last["unknown"] == 1
    assert any("before their content came" in note for note in last["notes"])


def test_a_check_that_was_not_asked_then_is_named(place):
    _, last = sums(place, "[antivirus]\nclamd = local:/nowhere\n")
    assert any("antivirus" in note and "not asked" in note for note in last["notes"])


def test_an_option_without_a_say_is_named(place):
    _, last = sums(place, "[dkim]\nmax_signatures = 3\n")
    assert any("[dkim] max_signatures" in note for note in last["notes"])


def test_a_table_says_for_whom(place):
    output = replay(place, "[dmarc]\nmode = log\n")
    assert "3 messages, 3 deliveries; 1 would change." in output
    assert "bob@example.com" in output
    assert "no longer dmarc" in output


def test_nothing_is_recorded(place):
    replay(place, "[dmarc]\nmode = log\n")
    assert sums(place, "")[1]["messages"] == 3
