"""The runner gathers the tests of the score: from which rows, when, and what a defect costs."""

from __future__ import annotations

import dataclasses
import types
from pathlib import Path
from typing import ClassVar

import pytest
from bms import JOURNEY

from antispam.checks import score
from antispam.deadline import Deadline
from antispam.journey.plan import known_tests
from antispam.journey.runner import Runner
from antispam.journey.services import Services
from antispam.journey.session import Session
from antispam.journey.table import Journey, Row, Scope, Stage
from antispam.mail import score as sums
from antispam.mail.access_map import EMPTY
from antispam.mail.evidence import ScoreFinding
from antispam.mail.findings import Finding
from antispam.mail.score import Hit
from antispam.mail.verdicts import CONTINUE, Action, reject
from antispam.service.application import Program
from antispam.settings import CheckSettings, Mode, OnError, SettingsError, default_settings, section
from antispam.settings.program import PROGRAM_SETTINGS
from support.dns import ScriptedResolver


def check(name, *, points, error="", mode=Mode.ENFORCE, on_error=OnError.ACCEPT, verdict=CONTINUE):
    """A check that always finds something."""

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Found(Finding):
        check: ClassVar[str] = name

    @section(name)
    class Settings(CheckSettings):
        pass

    module = types.SimpleNamespace(
        NAME=name,
        Settings=Settings,
        Finding=Found,
        collect=lambda connection, message, recipient, services: Found(error=error),
        decide=lambda finding, findings, settings, policy: verdict,
        points=points,
    )
    return module, Settings(mode=mode, on_error=on_error)


def played(*checks, rows=None, score_mode=Mode.ENFORCE):
    """The session after a message through these checks, which stand at the end unless `rows` says otherwise."""
    modules = [module for module, _ in checks]
    journey = Journey(
        [*(rows or [Row(Stage.END, Scope.MESSAGE, one) for one in modules]), Row(Stage.END, Scope.RECIPIENT, score)]
    )
    settings = default_settings([*PROGRAM_SETTINGS, *journey.settings_classes()])
    services = Services(
        settings=settings.replaced(score.Settings(mode=score_mode), *(one for _, one in checks)),
        resolver=ScriptedResolver({}),
        store=None,
        access=EMPTY,
        clock=lambda: 0.0,
        deadline=Deadline.after(60),
        tests={name: sums.Test(name, 2.0, "x", "why") for name in ("A", "B")},
    )
    session = Session(Runner(journey), services)
    session.connect("203.0.113.7")
    session.helo("mail.example.org")
    session.mail("a@example.org")
    session.rcpt("b@example.com")
    message = session.message
    outcome = session.end()
    return message, outcome.verdict


def met_by(message):
    found = message.recipients[0].findings.get(ScoreFinding)
    return [one.test for one in found.tests]


def hits(*names):
    return lambda finding, findings, settings: tuple(Hit(name, "seen") for name in names)


def broken(finding, findings, settings):
    raise ZeroDivisionError


def test_rows_above_the_score_give_theirs():
    message, _ = played(check("one", points=hits("A")), check("two", points=hits("B")))
    assert met_by(message) == ["A", "B"]


@pytest.mark.parametrize(
    ("stage", "scope"),
    [
        (Stage.CONNECT, Scope.CONNECTION),
        (Stage.HELO, Scope.CONNECTION),
        (Stage.MAIL, Scope.MESSAGE),
        (Stage.RCPT, Scope.RECIPIENT),
    ],
)
def test_rows_of_earlier_stages_are_asked_once_the_message_is_here(stage, scope):
    one = check("one", points=hits("A"))
    message, _ = played(one, rows=[Row(stage, scope, one[0])])
    assert met_by(message) == ["A"]


def test_what_a_recipient_meets_is_not_what_the_message_meets():
    one = check("one", points=hits("A"))
    message, _ = played(one, rows=[Row(Stage.END, Scope.RECIPIENT, one[0])])
    assert [hit.test for hit in message.findings.hits()] == []
    assert [hit.test for hit in message.recipients[0].findings.hits()] == ["A"]


def test_a_row_in_mode_log_gives_none():
    message, _ = played(check("one", points=hits("A"), mode=Mode.LOG))
    assert met_by(message) == []


def test_a_score_that_is_only_said_counts_what_rows_in_mode_log_find():
    """Who only observes wants to see what the score would be."""
    message, _ = played(check("one", points=hits("A"), mode=Mode.LOG), score_mode=Mode.LOG)
    assert met_by(message) == ["A"]


def test_evidence_that_could_not_be_had_gives_none():
    message, _ = played(check("one", points=hits("A"), error="time-out"))
    assert met_by(message) == []


def test_a_defect_costs_what_on_error_says():
    message, verdict = played(check("one", points=broken), check("two", points=hits("B")))
    assert verdict.action is Action.CONTINUE
    assert met_by(message) == ["B"]
    _, verdict = played(check("one", points=broken, on_error=OnError.TEMPFAIL))
    assert (verdict.action, verdict.enhanced) == (Action.TEMPFAIL, "4.3.0")


def test_a_defect_in_the_points_of_a_row_above_costs_the_same():
    one = check("one", points=broken, on_error=OnError.TEMPFAIL)
    _, verdict = played(one, rows=[Row(Stage.MAIL, Scope.MESSAGE, one[0])])
    assert (verdict.action, verdict.enhanced) == (Action.TEMPFAIL, "4.3.0")


def test_a_defect_in_the_points_does_not_undo_a_refusal():
    _, verdict = played(check("one", points=broken, verdict=reject("No.", "no")))
    assert verdict.action is Action.REJECT


def test_tests_that_the_configuration_declares_are_known():
    one, settings = check("one", points=hits("ZONE"))
    one.declares = lambda settings: (sums.Test("ZONE", 3.0, "one", "A zone of the administrator's."),)
    journey = Journey([Row(Stage.END, Scope.MESSAGE, one)])
    known = known_tests(journey, default_settings([type(settings)]))
    assert known["ZONE"].points == 3.0
    assert known["SPF_FAIL"].check == "spf"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("SPF_FIAL = 1", r"milter\.cfg:2: \[score\] has no test SPF_FIAL; did you mean SPF_FAIL\?"),
        ("spf_softfial = 1", "did you mean SPF_SOFTFAIL"),
        ("modee = 1", "did you mean mode"),
    ],
)
def test_points_for_a_test_that_does_not_exist_are_an_error(line, told, tmp_path: Path):
    config = tmp_path / "milter.cfg"
    config.write_text(f"[score]\n{line}\n")
    with pytest.raises(SettingsError, match=told):
        Program("bms", JOURNEY, config).read_settings(config)


def test_points_for_a_test_are_read_whatever_its_case(tmp_path: Path):
    config = tmp_path / "milter.cfg"
    config.write_text(f"[milter]\ndatadir = {tmp_path}\n[score]\nSPF_FAIL = 3\nrdns_none = 0\n")
    settings = Program("bms", JOURNEY, config).read_settings(config)
    assert settings[score.Settings].points == {"spf_fail": 3.0, "rdns_none": 0.0}
