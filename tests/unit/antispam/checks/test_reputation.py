"""Reputation: whom it blames, what follows, and what a message's outcome says of its sender."""

from __future__ import annotations

from typing import Any

import pytest
from bms import JOURNEY

from antispam.checks._shared.reputation.settings import GossipSettings
from antispam.checks._shared.reputation.votes import _SILENT, REACHED_END, vote_of
from antispam.checks.reputation import act, collect, concluded, decide, identified
from antispam.mail.access_map import EMPTY
from antispam.mail.connection import Connection
from antispam.mail.decisions import Decision
from antispam.mail.draft import Draft
from antispam.mail.evidence import AuthFinding, ReputationFinding, ScoreFinding, SpfFinding
from antispam.mail.findings import Finding, Findings
from antispam.mail.learned_evidence import OpinionFinding, SpamFinding
from antispam.mail.message import Body, Header, Message, Recipient
from antispam.mail.score import Counted
from antispam.mail.verdicts import CONTINUE, Action, Verdict, discard, quarantine, reject, tempfail
from antispam.protocols.spf import Result, SpfResult
from antispam.settings import OnError, SettingsError
from antispam.store import Store
from gossip import HAM, SPAM, Records
from gossip.records import vote_row
from support.checking import services_of

NOW = 1_800_000_000.0


def services(store: Store | None, config: str = "", **more: Any) -> Any:
    return services_of(GossipSettings, "gossip", config, store=store, **more)


def spf(result: Result, mailfrom: str = "ann@example.org", identity: Any = "mailfrom", **more: Any) -> SpfResult:
    domain = more.pop("domain", mailfrom.rpartition("@")[2])
    return SpfResult(result, identity, domain, "192.0.2.1", mailfrom, "mail.example.org", **more)


def message(*findings: Finding) -> Message:
    return Message("abcdefghijkl", "ann@example.org", NOW, Body(1000), findings=Findings(None, findings))


PASSED = SpfFinding(mailfrom=spf(Result.PASS))
HELO = spf(Result.PASS, identity="helo", domain="mail.example.org")


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (PASSED, ("example.org", "SPF")),
        (SpfFinding(mailfrom=spf(Result.NONE, guess=Result.PASS)), ("example.org", "GUESS")),
        (SpfFinding(mailfrom=spf(Result.PERMERROR, lax=Result.PASS)), ("example.org", "GUESS")),
        (SpfFinding(mailfrom=spf(Result.NONE), helo=HELO), ("mail.example.org", "HELO")),
        (SpfFinding(mailfrom=spf(Result.PASS, "", domain="mail.example.org")), ("mail.example.org", "HELO")),
        (SpfFinding(mailfrom=spf(Result.NEUTRAL)), ("example.org", "neutral")),
        (SpfFinding(mailfrom=spf(Result.FAIL)), ("example.org", "fail")),
        (SpfFinding(mailfrom=spf(Result.NONE)), ("example.org", "none")),
        (SpfFinding(forwarder="list.example"), ("", "")),
    ],
)
def test_a_domain_is_known_apart_by_how_it_was_authenticated(found, expected):
    assert identified(found) == expected


def test_our_own_users_have_no_reputation(store):
    assert collect(Connection("c"), message(PASSED, AuthFinding(login="ann")), None, services(store)) is None


def test_without_spf_nobody_is_asked_about(store):
    assert collect(Connection("c"), message(), None, services(store)) is None


def test_a_store_that_cannot_answer_is_an_error_of_the_finding_and_the_mail_goes_on(tmp_path):
    broken = Store(f"sqlite:///{tmp_path / 'empty.db'}")  # it has no tables
    for store in (None, broken):
        finding = collect(Connection("c"), message(PASSED), None, services(store))
        assert finding is not None
        assert finding.error
        assert (finding.domain, finding.trusted) == ("example.org", False)
    broken.close()
    assert GossipSettings().on_error is OnError.ACCEPT


def remembered(store: Store, vote: int, number: int, name: str = "example.org:SPF") -> None:
    for at in range(number):
        Records(store).note(vote_row(f"u{at}{name}", name, NOW - 1000 + at, vote=vote))


def test_what_was_remembered_is_found(store):
    remembered(store, SPAM, 20)
    finding = collect(Connection("c"), message(PASSED), None, services(store))
    assert finding is not None
    assert (finding.domain, finding.how, finding.spam, finding.ham) == ("example.org", "SPF", 20, 0)
    assert finding.reputation == pytest.approx(-76.159, abs=0.001)
    assert finding.confidence == pytest.approx(100 * 20 / 1024 * 19 / 1000, abs=0.001)


BAD = ReputationFinding(domain="example.org", how="SPF", umis="u", reputation=-75.0, confidence=6.0, spam=60)


@pytest.mark.parametrize(
    ("config", "finding", "action"),
    [
        ({}, BAD, Action.CONTINUE),
        ({"reject_below": -70.0}, BAD, Action.REJECT),
        ({"reject_below": -75.0}, BAD, Action.CONTINUE),
        ({"reject_below": -70.0, "reject_confidence": 6.0}, BAD, Action.CONTINUE),
        ({"reject_below": -70.0}, ReputationFinding(domain="example.org", how="SPF"), Action.CONTINUE),
    ],
)
def test_a_bad_reputation_is_refused_where_the_thresholds_say_so(config, finding, action):
    verdict = decide(finding, Findings(), GossipSettings(**config), EMPTY)
    assert verdict.action is action


def test_the_refusal_tells_an_honest_sender_what_to_do():
    settings = GossipSettings(reject_below=-70.0)
    said = decide(BAD, Findings(), settings, EMPTY).text
    assert "mail from example.org" in said
    assert "SPF record permits your server" in said
    unproved = ReputationFinding(domain="example.org", how="none", reputation=-75.0, confidence=6.0)
    assert "publish an SPF record" in decide(unproved, Findings(), settings, EMPTY).text


@pytest.mark.parametrize(
    ("name", "found", "config", "trusted"),
    [
        ("example.org:SPF", PASSED, "trust_above = 40\ntrust_confidence = 0", True),
        ("example.org:SPF", PASSED, "trust_above = 40\ntrust_confidence = 50", False),
        ("example.org:SPF", PASSED, "trust_confidence = 0", True),
        ("example.org:SPF", PASSED, "trust_above =\ntrust_confidence = 0", False),
        ("example.org:SPF", PASSED, "trust_above = 40\ntrust_confidence = 0\nmode = log", False),
        ("example.org:none", SpfFinding(mailfrom=spf(Result.NONE)), "trust_above = 40\ntrust_confidence = 0", False),
    ],
)
def test_a_good_reputation_is_trusted_only_where_the_domain_is_authenticated(store, name, found, config, trusted):
    remembered(store, HAM, 20, name)
    finding = collect(Connection("c"), message(found), None, services(store, config))
    assert finding is not None
    assert finding.trusted is trusted


def test_what_was_found_is_written(store):
    draft = Draft(message(PASSED), [])
    act(BAD, CONTINUE, draft, services(store, "header = yes"))
    assert ("X-GOSSiP", "u,-75,6") in [(edit.name, edit.value) for edit in draft.edits() if hasattr(edit, "name")]


def outcome(
    verdict: Verdict, *, check: str = "spam_action", is_spam: bool = False, ended: bool = True, honeypot: bool = False
) -> int | None:
    mail = message(OpinionFinding(honeypot=honeypot))
    mail.recipients = [Recipient("bob@example.com", findings=Findings(mail.findings, [SpamFinding(is_spam=is_spam)]))]
    mail.decisions = [Decision(check, verdict)]
    if ended:
        mail.memo[REACHED_END] = True
        mail.headers = [Header(b"From", b" ann@example.org")]
    return vote_of(Connection("c"), mail, verdict)


def scored(verdict: Verdict, reputation: float, others: float) -> int | None:
    """The vote on a message that is spam by these points."""
    mail = message(OpinionFinding())
    tests = (Counted("REPUTATION_BAD", reputation), Counted("RDNS_NONE", others))
    found = [SpamFinding(is_spam=True, required=6.0), ScoreFinding(total=reputation + others, tests=tests)]
    mail.recipients = [Recipient("bob@example.com", findings=Findings(mail.findings, found))]
    mail.recipients[0].decisions.append(Decision("spam_action", verdict))
    mail.memo[REACHED_END] = True
    mail.headers = [Header(b"From", b" ann@example.org")]
    return vote_of(Connection("c"), mail, verdict)


def test_a_reputation_does_not_get_worse_by_its_own_word() -> None:
    assert scored(CONTINUE, 2.0, 4.0) == HAM
    assert scored(quarantine("spam"), 2.0, 4.0) is None
    assert scored(CONTINUE, 2.0, 6.0) == SPAM
    assert scored(quarantine("spam"), 2.0, 6.0) == SPAM


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (outcome(CONTINUE), HAM),
        (outcome(CONTINUE, is_spam=True), SPAM),
        (outcome(CONTINUE, honeypot=True), SPAM),
        (outcome(CONTINUE, ended=False), None),  # given up by the client
        (outcome(reject("No.", "spam")), SPAM),
        (outcome(quarantine("spam")), SPAM),
        (outcome(discard("honeypot")), SPAM),
        (outcome(reject("No.", "bad"), check="reputation"), None),
        (outcome(reject("No.", "altered"), check="dkim"), None),
        (outcome(discard("a report"), check="feedback"), None),
        (outcome(tempfail("Later.", "greylisted"), check="greylist", ended=False), None),
        (outcome(reject("No.", "no PTR"), check="spf", ended=False), None),
        (outcome(reject("No.", "no such user", demerits=1), check="known_user", ended=False), None),
        (outcome(reject("No.", "blacklisted", demerits=1), check="sender_lists", ended=False), SPAM),
        (outcome(discard("listed"), check="wiretap"), None),
    ],
)
def test_the_outcome_of_a_message_says_something_of_its_sender_or_nothing(said, expected):
    assert said == expected


def test_the_checks_that_say_nothing_are_checks_of_the_journey():
    assert _SILENT - {row.check.NAME for row in JOURNEY.rows} == {"limits"}


def test_a_vote_is_written_later_and_once(store):
    rows: list[Any] = []
    given = services(store, write_later=lambda table, row: rows.append(row))
    mail = message(PASSED)
    mail.memo[REACHED_END] = True
    concluded(BAD, Connection("c"), mail, CONTINUE, given)
    assert [(row["umis"], row["identity"], row["vote"], row["ref"]) for row in rows] == [
        ("u", "example.org:SPF", HAM, "abcdefghijkl")
    ]


def test_nothing_is_remembered_with_learn_off(store):
    rows: list[Any] = []
    given = services(store, "learn = no", write_later=lambda table, row: rows.append(row))
    mail = message(PASSED)
    mail.memo[REACHED_END] = True
    concluded(BAD, Connection("c"), mail, CONTINUE, given)
    assert rows == []


@pytest.mark.parametrize("line", ["reject_below = -101", "reject_below = low", "reject_confidence = 101", "learn = 7"])
def test_a_setting_that_makes_no_sense_is_refused(line):
    with pytest.raises(SettingsError):
        services(None, line)
