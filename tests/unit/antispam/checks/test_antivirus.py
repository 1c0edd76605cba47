"""The check of viruses: what is asked, and what follows from an answer and from none."""

from __future__ import annotations

import dataclasses
import re

import pytest

from antispam.checks import antivirus
from antispam.checks.antivirus import Finding, Settings, applies, decide
from antispam.mail.access_map import EMPTY
from antispam.mail.evidence import OwnMailFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Body
from antispam.mail.remedies import Remedy
from antispam.mail.verdicts import Action
from antispam.settings import SettingsError, load_text
from support.checking import judge, message
from support.clamd import EICAR, FakeClamd


@pytest.fixture
def clamd(tmp_path):
    with FakeClamd(tmp_path / "clamd") as made:
        yield made


def config(clamd, more=""):
    return f"[antivirus]\nclamd = local:{clamd.socket}\n{more}"


def infected(**how):
    return message("Subject: hi", "Content-Type: application/octet-stream", body=EICAR, **how)


def test_it_is_off_as_shipped():
    assert not applies(Settings())


def test_a_virus_is_refused_under_its_name(clamd):
    finding, verdict = judge(antivirus, infected(), config(clamd))
    assert finding == Finding(signature="Eicar-Test-Signature.UNOFFICIAL")
    assert (verdict.action, verdict.code, verdict.enhanced) == (Action.REJECT, 550, "5.7.1")
    assert "Eicar-Test-Signature" in verdict.reply_lines()[0]


def test_what_is_clean_goes_on_and_is_noted_as_examined(clamd):
    finding, verdict = judge(antivirus, message("Subject: hi"), config(clamd))
    assert finding == Finding()
    assert verdict.action is Action.CONTINUE


def test_clamd_gets_the_message_as_it_came(clamd):
    it = message("Subject: hi", "To: b@example.com", body=b"a\r\nb\r\n")
    judge(antivirus, it, config(clamd))
    assert clamd.scanned == [b"From bms\n" + it.raw()]


def test_without_an_answer_on_error_decides(tmp_path):
    finding, _ = judge(antivirus, infected(), f"[antivirus]\nclamd = local:{tmp_path}/nobody")
    assert "can't be reached" in finding.error


@pytest.mark.parametrize(
    ("more", "whole", "told"),
    [
        ("max_size = 100", True, r"\d+ octets, \[antivirus\] max_size is 100"),
        ("", False, r"\d+ octets, of which \[milter\] max_message keeps 10"),
    ],
)
def test_what_is_too_large_is_said_to_be(clamd, more, whole, told):
    it = infected()
    if not whole:
        body, it.body = it.body, Body(10)
        it.body.write(body.content())
    finding, verdict = judge(antivirus, it, config(clamd, more))
    assert (verdict.action, verdict.code, verdict.enhanced) == (Action.REJECT, 552, "5.3.4")
    assert re.fullmatch(told, finding.too_large)
    assert finding.too_large in verdict.reason
    assert clamd.scanned == []


def test_what_is_too_large_for_clamd_is_said_to_be(tmp_path):
    with FakeClamd(tmp_path / "clamd", lambda message: b"INSTREAM size limit exceeded. ERROR\0") as clamd:
        finding, verdict = judge(antivirus, infected(), config(clamd, "too_large = ignore"))
    assert "StreamMaxLength" in finding.too_large
    assert verdict.action is Action.CONTINUE
    assert "not scanned for viruses" in verdict.reason


@pytest.mark.parametrize(
    ("answer", "action", "enhanced"),
    [
        (Remedy.REJECT, Action.REJECT, "5.7.1"),
        (Remedy.TEMPFAIL, Action.TEMPFAIL, "4.7.1"),
        (Remedy.QUARANTINE, Action.QUARANTINE, ""),
        (Remedy.IGNORE, Action.CONTINUE, ""),
    ],
)
def test_the_remedy_decides(answer, action, enhanced):
    verdict = decide(Finding(signature="X"), Findings(), dataclasses.replace(Settings(), remedy=answer), EMPTY)
    assert (verdict.action, verdict.enhanced) == (action, enhanced)
    assert verdict.reason == "virus: X"


def test_what_is_released_from_the_quarantine_is_not_kept_once_more():
    released = Findings(None, [OwnMailFinding(outbox_id=1, kind="release")])
    settings = dataclasses.replace(Settings(), remedy=Remedy.QUARANTINE)
    assert decide(Finding(signature="X"), released, settings, EMPTY).action is Action.REJECT


def test_what_an_administrator_releases_as_it_is_is_not_asked_about(clamd):
    it = infected(found=[OwnMailFinding(outbox_id=1, kind="original", unmodified=True)])
    assert judge(antivirus, it, config(clamd)) == (None, None)


@pytest.mark.parametrize("line", ["clamd = 127.0.0.1", "timeout = 0", "max_size = 0", "remedy = replace"])
def test_a_setting_that_makes_no_sense_is_an_error(line):
    with pytest.raises(SettingsError):
        load_text(f"[antivirus]\n{line}", [Settings])
