"""Who is called back, what follows from what his server says, and who is left alone."""

from __future__ import annotations

import contextlib

import pytest

from antispam.checks._shared.callback.settings import CallbackSettings
from antispam.checks.callback import Finding, collect, decide, ready, tidy
from antispam.deadline import Deadline
from antispam.journey.services import Services
from antispam.mail.access_map import EMPTY, parse_text
from antispam.mail.connection import Connection
from antispam.mail.decisions import Decision
from antispam.mail.evidence import DkimFinding, SenderListFinding, SpfFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Body, Message
from antispam.mail.remedies import Remedy
from antispam.mail.verdicts import Action, Callback, Verdict
from antispam.protocols.callback_dialogue import Outcome, Verification
from antispam.protocols.dkim import DkimResult, SignatureResult
from antispam.protocols.spf import Result, SpfResult
from antispam.settings import Mode, default_settings
from antispam.store import callbacks, lists
from support.dns import ScriptedResolver
from support.mail_exchanger import MailExchanger
from support.network import Network

NOW = 1_700_000_000.0
CBV = Verdict(Action.CONTINUE, callback=Callback("CBV", "spf-neutral"))
DSN = Verdict(Action.CONTINUE, callback=Callback("DSN", "spf-permerror"))


def spf(result="neutral", helo=None):
    def outcome(identity, word):
        return SpfResult(
            result=Result(word),
            identity=identity,
            domain="example.org",
            mailfrom="ann@example.org",
            helo="h",
            ip="192.0.2.1",
        )

    return SpfFinding(mailfrom=outcome("mailfrom", result), helo=outcome("helo", helo) if helo else None)


def message(*verdicts, sender="ann@example.org", findings=(), mode=Mode.ENFORCE):
    it = Message("ref", sender, NOW, Body(1 << 20), findings=Findings(own=findings or (spf(),)))
    it.decisions += [Decision("spf", verdict, mode) for verdict in verdicts]
    return it


class World:
    """The domain example.org with one mail server, and a filter that may call it."""

    def __init__(self, store, answers, **more):
        self.network = Network()
        self.port = self.network.free_port()
        self.exchanger = MailExchanger(self.network, "127.0.0.1", self.port, answers)
        self.resolver = ScriptedResolver(
            {"example.org": {"MX": [(10, "mx.example.org")]}, "mx.example.org": {"A": ["127.0.0.1"]}}
        )
        settings = default_settings([CallbackSettings])
        own = CallbackSettings(also_call=("127.0.0.0/8",), port=self.port, helo="mx.example.com", **more)
        self.services = Services(
            settings=settings.replaced(own),
            resolver=self.resolver,
            store=store,
            access=EMPTY,
            clock=lambda: NOW,
            deadline=Deadline.after(60),
        )

    def collect(self, it):
        return collect(Connection("c", receiver="mx.example.com"), it, None, self.services)


@pytest.fixture
def world(store):
    with contextlib.ExitStack() as stack:

        def make(*answers, **more):
            made = World(more.pop("store", store), answers, **more)
            stack.enter_context(made.exchanger)
            return made

        yield make


def decided(finding, settings=None):
    return decide(finding, Findings(), settings or CallbackSettings(), EMPTY)


def test_a_server_that_takes_the_address_lets_the_message_go_on(world):
    place = world(("ann@example.org", "250 2.1.5 ok"))
    finding = place.collect(message(CBV))
    assert (finding.outcome, finding.host) == (Outcome.OK, "mx.example.org")
    assert decided(finding).action is Action.CONTINUE
    assert place.exchanger.commands == ["EHLO mx.example.com", "MAIL FROM:<>", "RCPT TO:<ann@example.org>", "QUIT"]


def test_a_refused_address_refuses_the_message_with_the_servers_words_and_a_demerit(world):
    finding = world(("*", "550 5.1.1 No such user")).collect(message(CBV))
    verdict = decided(finding)
    assert (verdict.action, verdict.code, verdict.enhanced, verdict.demerits) == (Action.REJECT, 550, "5.1.8", 1)
    assert "550 5.1.1 No such user" in verdict.text


def test_a_refused_address_is_blacklisted_for_a_time(world, store):
    world(("*", "550 5.1.1 No such user"), blacklist=100.0).collect(message(CBV))
    wanted = [(lists.Kind.BLACKLIST, "ann@example.org")]
    (entry,) = lists.find(store, wanted, NOW + 99)
    assert "No such user" in entry.reason
    assert lists.find(store, wanted, NOW + 101) == []


def test_nobody_is_blacklisted_in_mode_log(world, store):
    world(("*", "550 no"), mode=Mode.LOG).collect(message(CBV))
    assert lists.everything(store) == []


def test_what_was_found_is_remembered(world):
    place = world(("*", "250 ok"))
    first, second = place.collect(message(CBV)), place.collect(message(CBV))
    assert first == second
    assert place.exchanger.commands.count("MAIL FROM:<>") == 1


@pytest.mark.parametrize(
    ("findings", "tag"),
    [
        ([spf("fail")], "SPF fail"),
        ([spf("softfail")], "SPF softfail"),
        ([spf("neutral", "fail")], "HELO SPF fail"),
    ],
)
def test_who_failed_is_not_called(world, findings, tag):
    place = world()
    finding = place.collect(message(CBV, findings=findings))
    assert finding.skipped == tag
    assert decided(finding).action is Action.CONTINUE
    assert place.exchanger.commands == place.resolver.asked == []


def test_a_broken_signature_alone_is_no_proof_of_anything(world):
    dkim = DkimFinding(signatures=(SignatureResult(result=DkimResult.FAIL, domain="example.org"),))
    wanted = Verdict(Action.CONTINUE, callback=Callback("CBV", "dkim-fail"))
    assert world().collect(message(wanted, findings=[dkim])).skipped == "DKIM fail"
    assert world().collect(message(wanted, findings=[dkim, spf("pass")])).skipped == ""
    assert world().collect(message(CBV, findings=[dkim, spf()])).skipped == ""


def test_who_failed_is_called_where_that_is_wanted(world):
    place = world(("*", "250 ok"), forged=True)
    assert place.collect(message(CBV, findings=[spf("softfail")])).outcome is Outcome.OK


@pytest.mark.parametrize(
    "it", [message(), message(Verdict(Action.CONTINUE)), message(CBV, mode=Mode.LOG), message(CBV, sender="")]
)
def test_nobody_is_called_without_a_wish_and_a_sender(world, it):
    place = world()
    assert place.collect(it) is None
    assert place.resolver.asked == []


def test_a_whitelisted_sender_is_not_called_where_he_is_proved(world):
    known = SenderListFinding(whitelisted="wrote to us")
    assert world().collect(message(CBV, findings=[known, spf("pass")])) is None
    assert world(("*", "250 ok")).collect(message(CBV, findings=[known, spf()])).outcome is Outcome.OK


def test_waiting_is_announced_only_where_somebody_wants_a_call():
    assert ready(Connection("c"), message(), None)
    assert not ready(Connection("c"), message(CBV), None)


def test_dsn_is_more_than_cbv(world):
    finding = world(("*", "250 ok")).collect(message(CBV, DSN))
    assert (finding.word, finding.tag) == ("DSN", "spf-permerror")


def test_a_domain_is_called_so_often_an_hour_only(world):
    place = world(("*", "250 ok"), per_domain=2)
    outcomes = [place.collect(message(CBV, sender=f"{name}@example.org")).outcome for name in "abc"]
    assert outcomes == [Outcome.OK, Outcome.OK, Outcome.TEMPORARY]


def test_a_store_that_is_gone_is_an_error_of_the_check(world, store):
    store.breaker.failed(), store.breaker.failed(), store.breaker.failed()
    assert world().collect(message(CBV)).error


def test_without_a_store_it_is_asked_each_time(world):
    place = world(("*", "250 ok"), store=None)
    assert place.collect(message(CBV)).outcome is place.collect(message(CBV)).outcome is Outcome.OK
    assert place.exchanger.commands.count("MAIL FROM:<>") == 2


@pytest.mark.parametrize(
    ("outcome", "settings", "action"),
    [
        (Outcome.OK, CallbackSettings(), Action.CONTINUE),
        (Outcome.TEMPORARY, CallbackSettings(), Action.TEMPFAIL),
        (Outcome.TEMPORARY, CallbackSettings(temporary=Remedy.IGNORE), Action.CONTINUE),
        (Outcome.UNKNOWN, CallbackSettings(), Action.CONTINUE),
        (Outcome.UNKNOWN, CallbackSettings(unknown=Remedy.QUARANTINE), Action.QUARANTINE),
        (Outcome.FAILED, CallbackSettings(), Action.REJECT),
    ],
)
def test_each_outcome_has_its_answer(outcome, settings, action):
    assert decided(Finding(word="CBV", tag="spf-none", sender="a@b.c", outcome=outcome), settings).action is action


def test_a_null_mx_has_a_code_of_its_own():
    assert decided(Finding(outcome=Outcome.FAILED, null_mx=True)).enhanced == "5.7.27"


def test_findings_can_be_read_back():
    finding = Finding(word="CBV", tag="spf-none", outcome=Outcome.FAILED, detail="550", null_mx=True)
    assert Finding.from_json(finding.to_json()) == finding


def test_tidying_forgets_what_is_over(world, store):
    callbacks.remember(store, "old@example.org", Verification(Outcome.OK), NOW - 10, 5)
    callbacks.remember(store, "new@example.org", Verification(Outcome.OK), NOW - 10, 50)
    services = world().services
    assert [tidy(services), tidy(services)] == [True, False]
    assert callbacks.recall(store, "old@example.org", NOW - 6) is None
    assert callbacks.recall(store, "new@example.org", NOW)


def test_an_entry_of_the_access_map_says_what_is_wanted():
    from antispam.mail.access_map import apply_entry
    from antispam.mail.verdicts import reject

    policy = parse_text("SPF-Neutral:example.org DSN").policy("spf-neutral", "ann@example.org")
    assert apply_entry(policy, reject("no", "why")).callback == Callback("DSN", "spf-neutral")
