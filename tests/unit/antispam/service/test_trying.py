"""Trying a configuration on stored messages, and the process that does it."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from bms import JOURNEY

from antispam.mail.access_map import AccessSettings
from antispam.service import trying
from antispam.service.application import settings_classes
from antispam.service.trying import Question, tried
from antispam.settings import load_text
from support.dns import ScriptedResolver
from support.lists import without_lists
from support.patience import PATIENCE
from support.places import REPOSITORY
from support.whole_journey import STRANGER, application, connected, send

ZONES = {
    "_dmarc.bank.example": {"TXT": ["v=DMARC1; p=reject"]},
    "example.org": {"TXT": [f"v=spf1 ip4:{STRANGER} -all"]},
}
CONFIG = "[greylist]\nmode = off\n[helo]\nmode = off\n"
HONEST = [(b"From", b" ann@example.org"), (b"Subject", b" lunch"), (b"Date", b" Mon, 2 Nov 2026 12:00:00 +0000")]
FORGED = [(b"From", b" ceo@bank.example"), (b"Subject", b" urgent")]


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """Of a filter to which two messages came: one that is delivered, one that DMARC refuses."""
    folder = tmp_path_factory.mktemp("trying")
    with application(folder, ScriptedResolver(ZONES), CONFIG) as app:
        send(connected(app), HONEST, sender="ann@example.org")
        send(connected(app), FORGED, sender="x@example.org")
    text = f"[milter]\ndatadir = {folder}\ninternal_connect = 10.0.0.0/8\n{without_lists(CONFIG)}"
    return load_text(text, settings_classes(JOURNEY))


def ask(settings, text, clock=time.monotonic, access=""):
    now = time.time()
    return tried(JOURNEY, settings, Question(text, now - 3600, now, access), clock)


def test_what_would_change_is_told_for_whom_and_why(settings):
    trial = ask(settings, "[dmarc]\nmode = log")
    assert (trial.messages, trial.deliveries, trial.changes, trial.complete) == (2, 2, 1, True)
    assert trial.kinds == [("refused", "delivered", 1)]
    assert trial.people == [("bob@example.com", 1)]
    (one,) = trial.examples
    assert (one.subject, one.stops, one.why.partition(":")[0]) == ("urgent", False, "dmarc")


def test_the_same_configuration_changes_nothing(settings):
    trial = ask(settings, "")
    assert (trial.changes, trial.kinds, trial.notes, trial.problem) == (0, [], [], "")


def test_entries_of_the_access_map_are_tried(settings):
    trial = ask(settings, "", access="SPF-Pass:example.org REJECT\n")
    assert trial.kinds == [("delivered", "refused", 1)]


def test_entries_go_before_those_of_the_present_map(settings, tmp_path):
    (tmp_path / "access").write_text("SPF-Pass:example.org OK\n")
    site = settings.replaced(AccessSettings(access_file=str(tmp_path / "access")))
    assert ask(site, "", access="SPF-Pass:example.org REJECT").kinds == [("delivered", "refused", 1)]


@pytest.mark.parametrize(
    "entries", ["SPF-Softfial:example.com REJECT", "SPF-Fail:example.com JUMP", "/etc/passwd", "hash:/etc/mail/access"]
)
def test_entries_that_are_none_are_a_problem_and_no_result(settings, entries):
    trial = ask(settings, "", access=entries)
    assert (trial.problem.startswith("your entries"), trial.messages) == (True, 0)


def test_other_users_are_tried(settings):
    trial = ask(settings, "[dspam]\ndspam_users = bob\nbob = bob@example.com")
    assert (trial.problem, trial.messages) == ("", 2)
    assert any("[dspam] dspam_users" in note for note in trial.notes)


def test_what_the_evidence_lacks_is_told(settings):
    assert any("[dkim] max_signatures" in note for note in ask(settings, "[dkim]\nmax_signatures = 3").notes)


@pytest.mark.parametrize("text", ["[score]\nSPF_FIAL = 1", "[srs]\nsecret_file = /etc/shadow", "nothing"])
def test_what_can_not_be_tried_is_a_problem_and_no_result(settings, text):
    trial = ask(settings, text)
    assert (bool(trial.problem), trial.messages) == (True, 0)


def test_time_and_number_have_an_end(settings, monkeypatch):
    late = iter([0.0, 1.0, trying.SECONDS])
    trial = ask(settings, "", lambda: next(late))
    assert (trial.messages, trial.complete) == (1, False)
    monkeypatch.setattr(trying, "MESSAGES", 1)
    trial = ask(settings, "")
    assert (trial.messages, trial.complete) == (1, False)


PLAY = """
import threading, time
from antispam.service.trials import Busy, Failed, forked
from antispam.service.trying import Question, Trial

def work(question):
    if question.text == "hang":
        time.sleep(600)
    if question.text == "grow":
        len(bytearray(2 << 30))
    if question.text == "break":
        raise SystemExit(3)
    return Trial(messages=7, problem=question.text)

def ask(trials, text):
    try:
        return trials.ask(Question(text, 0.0, 0.0)).messages
    except (Busy, Failed) as error:
        return type(error).__name__

with forked(work, 2.0) as trials:
    print(ask(trials, "fine"), ask(trials, "break"), ask(trials, "grow"))
    slow = threading.Thread(target=lambda: print(ask(trials, "hang"), ask(trials, "fine")))
    slow.start()
    while not trials._one.locked():
        pass
    print(ask(trials, "second"))
    slow.join()
"""


def test_a_trial_that_breaks_grows_or_hangs_ends_alone():
    """In a process without threads, as the console is when it forks."""
    done = subprocess.run(
        [sys.executable, "-c", PLAY], cwd=REPOSITORY, env={"PYTHONPATH": "lib"}, capture_output=True, text=True,
        timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.stdout.split() == ["7", "Failed", "Failed", "Busy", "Failed", "7"], done.stderr
