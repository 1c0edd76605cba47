"""Verdicts that deliver later, or to somebody else, must not lose what a plain delivery would have done."""

from pathlib import Path

from antispam.journey.delivery import Outcome
from antispam.mail.verdicts import Action
from support.dns import ScriptedResolver
from support.whole_journey import application, connected, send

FORGED = (b"Authentication-Results", b" mx.example.test; spf=pass smtp.mailfrom=bank.example")
PROGRAM = (b"Content-Type", b" application/x-msdownload; name=game.exe")


def outcome_of(
    folder: Path, config: str, headers: list[tuple[bytes, bytes]], body: bytes = b"x\r\n", **more: str
) -> Outcome:
    config = f"{config}\n[greylist]\nmode = off\n"
    with application(folder, ScriptedResolver(), config) as app:
        outcome = send(connected(app, **more), headers, body)
        assert isinstance(outcome, Outcome)
        return outcome


def test_a_held_message_is_released_without_results_forged_in_our_name(tmp_path):
    """The administrator lets a message go from the queue as it is: nobody looks at it again."""
    outcome = outcome_of(tmp_path, "[defang]\nremedy = hold", [FORGED, PROGRAM])
    assert outcome.verdict.action is Action.HOLD
    changes = [(type(edit).__name__, edit[0]) for edit in outcome.edits]
    assert ("ChangeHeader", "Authentication-Results") in changes
    assert ("InsertHeader", "Authentication-Results") in changes


def test_a_message_of_which_only_a_part_was_kept_is_not_taken_into_quarantine(tmp_path):
    """The rest would be lost, and the sender told that all is well."""
    config = "max_message = 1000\n[helo]\nunqualified = quarantine\n[defang]\nmode = off"
    outcome = outcome_of(tmp_path, config, [], b"x" * 2000, helo="unqualified")
    assert outcome.verdict.action is Action.REJECT
    assert outcome.verdict.code == 552


def test_a_message_that_was_kept_whole_is_taken_into_quarantine(tmp_path):
    config = "[helo]\nunqualified = quarantine"
    assert outcome_of(tmp_path, config, [], helo="unqualified").verdict.action is Action.QUARANTINE


def test_a_full_disk_leaves_no_half_originals(tmp_path, monkeypatch):
    """The message is refused for now, and comes again and again."""

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("antispam.journey.saved.os.fsync", full)
    assert outcome_of(tmp_path, "", [PROGRAM]).verdict.action is Action.TEMPFAIL
    assert list((tmp_path / "save").iterdir()) == []
