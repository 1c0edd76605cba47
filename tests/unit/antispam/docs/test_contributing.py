"""CONTRIBUTING.md's "adding a check" works as written."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import pytest

from antispam.deadline import Deadline
from antispam.journey.runner import Runner
from antispam.journey.services import Services
from antispam.journey.session import Session
from antispam.journey.table import Journey, Row, Scope, Stage
from antispam.mail.access_map import AccessMap
from antispam.mail.verdicts import Action
from antispam.settings import load_text
from antispam.settings.program import PROGRAM_SETTINGS
from support.dns import ScriptedResolver

GUIDE = (Path(__file__).parents[4] / "CONTRIBUTING.md").read_text()


@pytest.fixture
def journey(monkeypatch):
    module, row = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    shouting = types.ModuleType("shouting")
    monkeypatch.setitem(sys.modules, "shouting", shouting)  # dataclasses look their module up there
    exec(compile(module, "CONTRIBUTING.md", "exec"), shouting.__dict__)
    the_row = eval(row, {"Row": Row, "Stage": Stage, "Scope": Scope, "shouting": shouting})
    return Journey([the_row])


def outcome(journey, config, subject):
    services = Services(
        settings=load_text(config, [*PROGRAM_SETTINGS, *journey.settings_classes()]),
        resolver=ScriptedResolver({}),
        store=None,
        access=AccessMap(),
        clock=lambda: 0.0,
        deadline=Deadline.after(60),
    )
    session = Session(Runner(journey), services)
    session.mail("a@example.org")
    session.rcpt("b@example.com")
    session.header(b"Subject", subject)
    return session.end().verdict.action


def test_the_check_of_the_guide_refuses_what_it_is_meant_to(journey):
    assert outcome(journey, "[shouting]\nmode = enforce\n", b" BUY NOW") is Action.REJECT


def test_it_lets_others_pass(journey):
    assert outcome(journey, "[shouting]\nmode = enforce\n", b" Lunch?") is Action.CONTINUE


def test_it_starts_in_mode_log_as_the_guide_advises(journey):
    assert outcome(journey, "", b" BUY NOW") is Action.CONTINUE
