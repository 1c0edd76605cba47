"""Who is asked to come again at the end of a message: whose message is suspicious, and who proves nothing."""

from __future__ import annotations

import dataclasses

import pytest

from antispam.checks import greylist, greylist_suspicious
from antispam.checks._shared.greylisting import GreylistSettings, When
from antispam.learning.people import People
from antispam.learning.settings import DspamSettings
from antispam.mail.connection import Connection
from antispam.mail.evidence import (
    AuthFinding,
    ClientClass,
    ConnectionFinding,
    DkimFinding,
    ReputationFinding,
    ScoreFinding,
    SignedReputationFinding,
    SpfFinding,
)
from antispam.mail.findings import Findings
from antispam.mail.learned_evidence import TrainingFinding
from antispam.mail.verdicts import Action
from antispam.protocols.dkim import DkimResult, SignatureResult
from antispam.protocols.spf import Result, SpfResult
from antispam.settings import load_text
from antispam.settings.program import ProgramSettings
from support.checking import NOW, message, services_of
from support.gone import Gone

UNPROVED = SpfFinding(
    mailfrom=SpfResult(Result.NONE, "mailfrom", "example.org", "192.0.2.1", "a@example.org", "pc.example.org")
)
PASSED = SpfFinding(
    mailfrom=SpfResult(Result.PASS, "mailfrom", "example.org", "192.0.2.1", "a@example.org", "pc.example.org")
)
NAMED = dataclasses.replace(UNPROVED, named=True)
SIGNED = DkimFinding(signatures=(SignatureResult(result=DkimResult.PASS, domain="example.org"),))


def asked(store, *found, points=0.0, config="", now=NOW, ip="192.0.2.1", mail_from="a@example.org", own=()):
    """The finding and the verdict for a message to one recipient."""
    settings = load_text(config, [ProgramSettings, DspamSettings, GreylistSettings])
    given = services_of(GreylistSettings, store=store, clock=lambda: now)
    people = People(settings[DspamSettings], None)
    given = dataclasses.replace(given, settings=settings, people=people)
    it = message(mail_from=mail_from, found=found)
    it.recipients[0].findings.add(ScoreFinding(total=points))
    for one in own:
        it.recipients[0].findings.add(one)
    finding = greylist_suspicious.collect(Connection("c", ip=ip), it, it.recipients[0], given)
    if finding is None or finding.error:
        return finding, None
    return finding, greylist_suspicious.decide(finding, Findings(), settings[GreylistSettings], None)


@pytest.mark.parametrize("found", [[PASSED], [UNPROVED, SIGNED], [NAMED]], ids=["SPF", "DKIM", "host name"])
def test_who_proves_anything_does_not_wait(store, found):
    assert asked(store, *found) == (None, None)


def test_who_proves_nothing_is_asked_to_come_again_and_let_in_then(store):
    _, verdict = asked(store, UNPROVED)
    assert (verdict.action, verdict.code, verdict.enhanced) == (Action.TEMPFAIL, 451, "4.7.1")
    assert "try again in 5 minutes" in verdict.text
    assert "nothing proves who the client is" in verdict.reason
    assert asked(store, UNPROVED, now=NOW + 300)[1].action is Action.CONTINUE


def test_a_suspicious_score_makes_whoever_it_is_wait(store):
    _, verdict = asked(store, PASSED, points=4.0)
    assert verdict.action is Action.TEMPFAIL
    assert verdict.reason.endswith("; score 4.0")
    assert asked(store, PASSED, points=3.9) == (None, None)
    assert asked(store, PASSED, points=99.0, config="[score]\ngreylist = never\n") == (None, None)


@pytest.mark.parametrize(
    ("found", "more"),
    [
        ([ConnectionFinding(client=ClientClass.INTERNAL)], {}),
        ([ConnectionFinding(client=ClientClass.TRUSTED_RELAY)], {}),
        ([AuthFinding(login="bob")], {}),
        ([], {"mail_from": ""}),
        ([], {"ip": ""}),
        ([], {"own": [TrainingFinding()]}),
        ([], {"config": "[greylist]\nexempt_clients = 192.0.2.0/24\n"}),
        ([], {"config": "[greylist]\nexempt_recipients = b@example.com\n"}),
    ],
    ids=["internal", "relay", "login", "bounce", "no address", "report", "exempt client", "exempt recipient"],
)
def test_some_never_wait(store, found, more):
    assert asked(store, *found, points=9.0, **more) == (None, None)


@pytest.mark.parametrize("known", [ReputationFinding(trusted=True), SignedReputationFinding(trusted=True)])
def test_a_domain_of_good_reputation_does_not_wait(store, known):
    finding, verdict = asked(store, UNPROVED, known)
    assert (finding.state, verdict.action) == ("trusted", Action.CONTINUE)


def test_a_dynamic_host_name_proves_nothing(store):
    client = ConnectionFinding(iprev="pass", dynamic=True, ip="192.0.2.1")
    assert asked(store, UNPROVED, client)[1].action is Action.TEMPFAIL


def test_where_spf_is_off_a_host_name_is_enough(store):
    assert asked(store, ConnectionFinding(iprev="pass", ip="192.0.2.1")) == (None, None)
    assert asked(store, ConnectionFinding(iprev="fail", ip="192.0.2.1"))[1].action is Action.TEMPFAIL


def test_a_store_that_is_gone_is_evidence():
    finding, _ = asked(Gone(), UNPROVED)
    assert "disk I/O error" in finding.error


@pytest.mark.parametrize(
    ("when", "rows"),
    [(When.SUSPICIOUS, {greylist_suspicious}), (When.ALWAYS, {greylist}), (When.NEVER, set())],
)
def test_one_of_the_two_greylists_at_most(when, rows):
    settings = GreylistSettings(when=when)
    assert {check for check in (greylist, greylist_suspicious) if check.applies(settings)} == rows
