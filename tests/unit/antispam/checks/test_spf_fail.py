"""An SPF fail at the end of the message: what vouches for it, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from antispam.checks import spf_fail
from antispam.mail.connection import Connection
from antispam.mail.evidence import ArcFinding, DkimFinding, SpfFailFinding, SpfFinding
from antispam.mail.message import Body, Message
from antispam.mail.verdicts import Action, Verdict
from antispam.protocols.arc import ArcResult
from antispam.protocols.dkim import DkimResult, SignatureResult
from antispam.protocols.spf import Result, SpfResult
from support import checking
from support.dns import TIMEOUT, ScriptedResolver

ZONES = {
    "_dmarc.bank.example": {"TXT": ["v=DMARC1; p=reject"]},
    "_dmarc.slow.example": TIMEOUT,
}


def spf_of(domain: str = "bank.example", result: str = "fail", **more: Any) -> SpfFinding:
    one = SpfResult(Result(result), "mailfrom", domain, "192.0.2.1", f"a@{domain}", "helo.example", **more)
    return SpfFinding(mailfrom=one)


def signed(domain: str, result: str = "pass") -> DkimFinding:
    return DkimFinding(signatures=(SignatureResult(result=DkimResult(result), domain=domain, reason="why"),))


def letter(dkim: DkimFinding | None = None, author: str = "Ann <ann@bank.example>", **more: Any) -> Message:
    found = [more.pop("spf", spf_of()), *([dkim] if dkim is not None else [])]
    return checking.message(
        *(f"From: {one}" for one in [author] if one), found=found, **{"mail_from": "a@bank.example", **more}
    )


def judged(it: Message, config: str = "") -> Verdict | None:
    return checking.judge(spf_fail, it, config and f"[spf]\n{config}", resolver=ScriptedResolver(ZONES))[1]


def collected(it: Message) -> SpfFailFinding:
    found = spf_fail.collect(None, it, None, checking.services(spf_fail, resolver=ScriptedResolver(ZONES)))  # type: ignore[arg-type]
    assert found is not None
    return found


@pytest.mark.parametrize("dkim", [None, DkimFinding()])
def test_an_unsigned_forgery_is_refused_in_the_words_of_spf(dkim: DkimFinding | None) -> None:
    verdict = judged(letter(dkim))
    assert verdict is not None
    assert (verdict.action, verdict.code, verdict.enhanced) == (Action.REJECT, 550, "5.7.23")
    assert "The SPF record of bank.example does not permit 192.0.2.1" in verdict.text
    assert verdict.reason.endswith("and nothing vouches for it")


@pytest.mark.parametrize(
    ("signer", "author", "mail_from"),
    [
        ("bank.example", "ann@bank.example", "a@other.example"),
        ("bank.example", "ann@news.bank.example", "a@other.example"),
        ("mail.bank.example", "ann@bank.example", "a@other.example"),
        ("bank.example", "ann@other.example", "a@bank.example"),
        ("bank.example", "", "a@bank.example"),
        ("unpublished.example", "ann@unpublished.example", ""),
    ],
)
def test_a_signature_that_goes_with_from_or_mail_from_vouches(signer: str, author: str, mail_from: str) -> None:
    verdict = judged(letter(signed(signer), author, mail_from=mail_from))
    assert verdict is not None
    assert verdict.action is Action.CONTINUE
    assert f"DKIM signature of {signer}" in verdict.reason


@pytest.mark.parametrize("signer", ["evil.example", "example", "k.example", "below.other.example"])
def test_a_signature_of_somebody_else_does_not(signer: str) -> None:
    verdict = judged(letter(signed(signer), "ann@other.example"))
    assert verdict is not None
    assert verdict.action is Action.REJECT


@pytest.mark.parametrize("result", ["fail", "policy", "neutral", "permerror", "none"])
def test_a_signature_that_does_not_pass_vouches_for_nothing(result: str) -> None:
    verdict = judged(letter(signed("bank.example", result)))
    assert verdict is not None
    assert verdict.action is Action.REJECT


@pytest.mark.parametrize(
    ("arc", "action"),
    [
        (ArcFinding(result=ArcResult.PASS, trusted="lists.example", sender="bank.example"), Action.CONTINUE),
        (ArcFinding(result=ArcResult.PASS, trusted="lists.example", authors=("bank.example",)), Action.CONTINUE),
        (ArcFinding(result=ArcResult.PASS, trusted="lists.example"), Action.REJECT),
        (ArcFinding(result=ArcResult.PASS, sealers=("evil.example",)), Action.REJECT),
    ],
)
def test_a_trusted_sealer_vouches_for_what_it_saw_proved(arc: ArcFinding, action: Action) -> None:
    it = letter(DkimFinding())
    it.findings.add(arc)
    verdict = judged(it)
    assert verdict is not None
    assert verdict.action is action


def test_of_several_authors_a_signature_of_one_is_not_enough() -> None:
    verdict = judged(letter(signed("evil.example"), "a@evil.example, b@bank.example"))
    assert verdict is not None
    assert verdict.action is Action.REJECT


@pytest.mark.parametrize(
    ("dkim", "author"),
    [(signed("bank.example", "temperror"), "a@bank.example"), (signed("x.slow.example"), "a@slow.example")],
)
def test_what_may_vouch_once_dns_answers_is_an_error(dkim: DkimFinding, author: str) -> None:
    assert collected(letter(dkim, author)).error


def test_a_key_of_somebody_else_that_cannot_be_looked_up_delays_nothing() -> None:
    assert collected(letter(signed("evil.example", "temperror"))).error == ""


def test_a_signed_message_that_is_too_large_to_be_verified_is_not_refused() -> None:
    it = letter(signed("", "neutral"))
    it.body = Body(1)
    it.body.write(b"more than that")
    verdict = judged(it)
    assert verdict is not None
    assert verdict.action is Action.CONTINUE


@pytest.mark.parametrize(
    ("spf", "config"),
    [
        (spf_of(result="softfail"), ""),
        (spf_of(), "refuse = at_once"),
        (spf_of(sends_nothing=True), ""),
        (SpfFinding(forwarder="alumni.example"), ""),
        (SpfFinding(error="no time"), ""),
    ],
)
def test_there_is_nothing_to_decide_where_no_refusal_waits(spf: SpfFinding, config: str) -> None:
    assert judged(letter(spf=spf), config) is None


def test_the_runner_is_told_whether_the_network_is_needed() -> None:
    given = checking.services(spf_fail, resolver=ScriptedResolver(ZONES))
    assert spf_fail.ready(Connection("c"), letter(spf=spf_of(result="pass")), given)
    assert spf_fail.ready(Connection("c"), letter(signed("bank.example")), given)
    assert not spf_fail.ready(Connection("c"), letter(signed("mail.bank.example")), given)
