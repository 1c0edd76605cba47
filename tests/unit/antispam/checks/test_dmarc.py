"""The DMARC check: what counts as proof, which author decides, this site's own rules, and what follows."""

from __future__ import annotations

from typing import Any

import pytest

from antispam.checks import dmarc
from antispam.deadline import Deadline
from antispam.mail.connection import Connection
from antispam.mail.evidence import (
    ArcFinding,
    AuthFinding,
    ClientClass,
    ConnectionFinding,
    DkimFinding,
    DmarcFinding,
    Override,
    SpfFinding,
)
from antispam.mail.message import Body
from antispam.mail.verdicts import Action, Verdict
from antispam.protocols.arc import ArcResult
from antispam.protocols.dkim import DkimResult, SignatureResult
from antispam.protocols.dmarc import Disposition, DmarcResult
from antispam.protocols.spf import Result, SpfResult
from support import checking
from support.dns import TIMEOUT, ScriptedResolver

ZONES = {
    "_dmarc.bank.example": {"TXT": ["v=DMARC1; p=reject"]},
    "_dmarc.shop.example": {"TXT": ["v=DMARC1; p=quarantine"]},
    "_dmarc.watch.example": {"TXT": ["v=DMARC1; p=none"]},
    "_dmarc.broken.example": TIMEOUT,
}


def spf_of(domain: str, result: str = "pass", **more: Any) -> SpfFinding:
    one = SpfResult(Result(result), "mailfrom", domain, "192.0.2.1", f"a@{domain}", "helo.example", **more)
    return SpfFinding(mailfrom=one)


def dkim_of(*domains: str, result: str = "pass") -> DkimFinding:
    return DkimFinding(signatures=tuple(SignatureResult(result=DkimResult(result), domain=name) for name in domains))


NO_SPF = spf_of("elsewhere.example", "none")
UNSIGNED = DkimFinding()


def judged(
    *froms: str,
    spf: Any = NO_SPF,
    dkim: Any = UNSIGNED,
    found: Any = (),
    config: str = "",
    zones: Any = ZONES,
    **more: Any,
) -> tuple[DmarcFinding, Verdict]:
    evidence = [one for one in (spf, dkim, *found) if one is not None]
    it = checking.message(*(f"From: {one}" for one in froms), found=evidence, **more)
    finding, verdict = checking.judge(dmarc, it, config and f"[dmarc]\n{config}", resolver=ScriptedResolver(zones))
    assert finding is not None
    assert verdict is not None
    return finding, verdict


def test_a_forged_author_whose_domain_says_reject_is_refused_in_words_that_help() -> None:
    finding, verdict = judged("ceo@bank.example")
    assert finding.result is DmarcResult.FAIL
    assert (verdict.action, verdict.code, verdict.enhanced) == (Action.REJECT, 550, "5.7.26")
    assert (
        "bank.example asks receivers not to accept mail that uses the name bank.example without proof" in verdict.text
    )
    assert "sign all mail with DKIM as d=bank.example" in verdict.text
    assert verdict.reason == "DMARC fail of bank.example (p of bank.example asks for reject)"


def test_a_forged_author_whose_domain_says_quarantine_is_kept() -> None:
    _, verdict = judged("ceo@shop.example")
    assert verdict.action is Action.QUARANTINE


def test_a_domain_that_only_watches_is_recorded_and_let_through() -> None:
    finding, verdict = judged("ceo@watch.example")
    assert (finding.result, verdict.action) == (DmarcResult.FAIL, Action.CONTINUE)


@pytest.mark.parametrize(
    ("config", "author", "expected"),
    [
        ("reject = quarantine", "a@bank.example", (Action.QUARANTINE, "")),
        ("reject = ignore", "a@bank.example", (Action.CONTINUE, "")),
        ("reject = tempfail", "a@bank.example", (Action.TEMPFAIL, "4.7.26")),
        ("quarantine = reject", "a@shop.example", (Action.REJECT, "5.7.26")),
        ("quarantine = ignore", "a@shop.example", (Action.CONTINUE, "")),
    ],
)
def test_the_administrator_says_what_the_policies_do(config: str, author: str, expected: tuple[Action, str]) -> None:
    _, verdict = judged(author, config=config)
    assert (verdict.action, verdict.enhanced) == expected


# What is proof


def test_an_aligned_signature_passes() -> None:
    finding, verdict = judged("a@bank.example", dkim=dkim_of("list.example", "bank.example"))
    assert (finding.result, verdict.action) == (DmarcResult.PASS, Action.CONTINUE)
    assert verdict.reason == "DMARC pass of bank.example (dkim bank.example)"


@pytest.mark.parametrize("result", ["fail", "policy", "neutral", "permerror"])
def test_a_signature_that_does_not_pass_is_no_proof(result: str) -> None:
    assert judged("a@bank.example", dkim=dkim_of("bank.example", result=result))[1].action is Action.REJECT


def test_mail_from_that_passes_spf_is_proof() -> None:
    assert judged("a@bank.example", spf=spf_of("mail.bank.example"))[0].result is DmarcResult.PASS


@pytest.mark.parametrize("result", ["none", "neutral", "softfail", "fail", "permerror"])
def test_any_other_result_of_spf_is_no_proof(result: str) -> None:
    assert judged("a@bank.example", spf=spf_of("bank.example", result))[1].action is Action.REJECT


@pytest.mark.parametrize("more", [{"guess": Result.PASS}, {"lax": Result.PASS}])
def test_neither_a_guess_nor_a_lax_reading_of_spf_is_proof(more: Any) -> None:
    assert judged("a@bank.example", spf=spf_of("bank.example", "none", **more))[1].action is Action.REJECT


def test_a_helo_name_that_passes_is_no_proof_beside_another_sender() -> None:
    """CVE-2019-20790."""
    helo = SpfResult(Result.PASS, "helo", "bank.example", "192.0.2.1", "", "bank.example")
    forged = SpfFinding(mailfrom=spf_of("evil.example", "fail").mailfrom, helo=helo)
    assert judged("a@bank.example", spf=forged)[1].action is Action.REJECT


def test_for_the_null_sender_spf_of_the_helo_name_is_proof() -> None:
    null = SpfResult(Result.PASS, "mailfrom", "mx.bank.example", "192.0.2.1", "", "mx.bank.example")
    assert judged("a@bank.example", spf=SpfFinding(mailfrom=null), mail_from="")[0].result is DmarcResult.PASS


# Several authors


@pytest.mark.parametrize(
    "author", ["a@evil.example, b@bank.example", "b@bank.example, a@evil.example", "a@evil.example <b@bank.example>"]
)
def test_every_author_domain_is_judged_and_the_worst_decides(author: str) -> None:
    finding, verdict = judged(author, spf=spf_of("evil.example"), dkim=dkim_of("evil.example"))
    assert {one.found.domain for one in finding.authors} == {"evil.example", "bank.example"}
    assert verdict.enhanced == "5.7.26"
    assert "bank.example" in verdict.text


def test_reject_goes_before_quarantine() -> None:
    assert judged("a@shop.example, b@bank.example")[1].action is Action.REJECT


def test_a_second_from_field_is_judged_too_and_makes_a_pass_impossible() -> None:
    assert judged("a@evil.example", "b@bank.example", dkim=dkim_of("evil.example"))[1].action is Action.REJECT
    finding, verdict = judged("a@bank.example", "b@bank.example", dkim=dkim_of("bank.example"))
    assert (finding.result, verdict.action) == (DmarcResult.PERMERROR, Action.CONTINUE)


def test_a_broken_domain_beside_the_forged_one_does_not_save_the_message() -> None:
    finding, verdict = judged("a@broken.example, b@bank.example")
    assert (finding.error, verdict.action) == ("", Action.REJECT)


def test_more_author_domains_than_anybody_needs_are_refused() -> None:
    finding, verdict = judged(", ".join(f"a@d{number}.example" for number in range(11)))
    assert (len(finding.authors), finding.unreadable) == (10, True)
    assert (verdict.action, verdict.enhanced) == (Action.REJECT, "5.7.1")
    assert judged(", ".join(f"a@d{number}.example" for number in range(10)))[1].action is Action.CONTINUE


@pytest.mark.parametrize("value", ["", "undisclosed", "<>", "\xff\x00 (", "a@", "@", "a@[192.0.2.1]"])
def test_a_from_without_a_domain_is_an_error_and_no_pass(value: str) -> None:
    finding, verdict = judged(value, dkim=dkim_of("evil.example"))
    assert (finding.result, verdict.action) == (DmarcResult.PERMERROR, Action.CONTINUE)


def test_a_message_without_from_is_not_asked() -> None:
    assert checking.judge(dmarc, checking.message("Subject: x", found=[NO_SPF, UNSIGNED])) == (None, None)


# Nothing to ask, nothing known


@pytest.mark.parametrize("known", [ConnectionFinding(client=ClientClass.INTERNAL), AuthFinding(login="ann")])
def test_mail_of_our_own_users_is_not_asked(known: Any) -> None:
    it = checking.message("From: a@bank.example", found=[NO_SPF, UNSIGNED, known])
    assert checking.judge(dmarc, it, resolver=ScriptedResolver(ZONES)) == (None, None)


def test_a_login_that_only_the_mta_knows_is_enough() -> None:
    it = checking.message("From: a@bank.example", found=[NO_SPF, UNSIGNED], login="ann")
    assert checking.judge(dmarc, it, resolver=ScriptedResolver(ZONES)) == (None, None)


@pytest.mark.parametrize(
    ("spf", "dkim", "problem"), [(None, UNSIGNED, "SPF was not asked"), (NO_SPF, None, "DKIM was not asked")]
)
def test_where_spf_or_dkim_was_not_asked_a_message_can_pass_but_not_fail(spf: Any, dkim: Any, problem: str) -> None:
    finding, verdict = judged("a@bank.example", spf=spf, dkim=dkim)
    assert (finding.result, verdict.action) == (DmarcResult.NONE, Action.CONTINUE)
    assert problem in verdict.reason
    passed = judged("a@bank.example", spf=spf and spf_of("bank.example"), dkim=dkim and dkim_of("bank.example"))[0]
    assert passed.result is DmarcResult.PASS


def test_a_signed_message_that_is_too_large_to_be_verified_does_not_fail() -> None:
    it = checking.message("From: a@bank.example", found=[NO_SPF, dkim_of("", result="neutral")])
    it.body = Body(1)
    it.body.write(b"more than that")
    finding, verdict = checking.judge(dmarc, it, resolver=ScriptedResolver(ZONES))
    assert verdict is not None
    assert (finding.result, verdict.action) == (DmarcResult.NONE, Action.CONTINUE)
    assert "too large" in verdict.reason


def test_what_cannot_be_looked_up_now_is_left_to_on_error_which_accepts() -> None:
    it = checking.message("From: a@broken.example", found=[NO_SPF, UNSIGNED])
    given = checking.services(dmarc, resolver=ScriptedResolver(ZONES))
    finding = dmarc.collect(None, it, None, given)  # type: ignore[arg-type]
    assert finding is not None
    assert finding.result is DmarcResult.TEMPERROR
    assert finding.error.startswith("DMARC of broken.example: time-out")
    assert given.settings[dmarc.Settings].on_error == "accept"


def test_the_deadline_of_the_message_is_kept() -> None:
    it = checking.message("From: a@bank.example", found=[NO_SPF, UNSIGNED])
    given = checking.services(dmarc, resolver=ScriptedResolver(ZONES), deadline=Deadline.after(-1))
    finding = dmarc.collect(None, it, None, given)  # type: ignore[arg-type]
    assert finding is not None
    assert finding.result is DmarcResult.TEMPERROR


class Cached(ScriptedResolver):
    """A resolver that has every answer already: it answers without time as well."""

    def lookup(self, name: str, rdtype: Any, deadline: Deadline) -> Any:
        return super().lookup(name, rdtype, Deadline.after(60))


@pytest.mark.parametrize(("resolver", "expected"), [(ScriptedResolver, False), (Cached, True)])
def test_the_runner_is_told_whether_the_network_is_needed(resolver: Any, expected: bool) -> None:
    it = checking.message("From: a@bank.example", found=[NO_SPF, UNSIGNED])
    assert dmarc.ready(Connection("c"), it, checking.services(dmarc, resolver=resolver(ZONES))) is expected


def test_what_was_found_out_on_the_way_is_not_asked_again() -> None:
    it, resolver = checking.message("From: a@bank.example", found=[NO_SPF, UNSIGNED]), Cached(ZONES)
    given = checking.services(dmarc, resolver=resolver)
    assert dmarc.ready(Connection("c"), it, given)
    asked = list(resolver.asked)
    finding = dmarc.collect(None, it, None, given)  # type: ignore[arg-type]
    assert finding == dmarc.collect(
        None, checking.message("From: a@bank.example", found=[NO_SPF, UNSIGNED]), None, given
    )  # type: ignore[arg-type]
    assert resolver.asked == asked * 2, "once for each of the messages"


# This site's rules


def only(finding: DmarcFinding) -> Any:
    (one,) = finding.authors
    return one


def test_a_domain_whose_policy_is_not_applied_here() -> None:
    finding, verdict = judged("a@bank.example", config="never = bank.example")
    one = only(finding)
    assert (one.override, one.found.asked, one.applied) == (Override.NEVER, Disposition.REJECT, Disposition.NONE)
    assert (verdict.action, "exempt here" in verdict.reason) == (Action.CONTINUE, True)


@pytest.mark.parametrize("domain", ["watch.example", "unpublished.example"])
def test_a_domain_that_must_pass_here_whatever_it_publishes(domain: str) -> None:
    config = f"always = {domain}"
    finding, verdict = judged(f"a@{domain}", config=config)
    assert only(finding).overridden == "must pass here"
    assert (verdict.action, verdict.enhanced) == (Action.REJECT, "5.7.26")
    assert f"Mail from {domain} is only accepted with proof" in verdict.text
    assert judged(f"a@{domain}", config=config, dkim=dkim_of(domain))[1].action is Action.CONTINUE


def test_a_broken_record_does_not_free_a_domain_that_must_pass_here() -> None:
    zones = {"_dmarc.bad.example": {"TXT": ["v=DMARC1; p=nonsense"]}}
    assert judged("a@bad.example", zones=zones)[1].action is Action.CONTINUE
    assert judged("a@bad.example", zones=zones, config="always = bad.example")[1].action is Action.REJECT


def test_what_a_trusted_forwarder_brings_is_not_refused() -> None:
    finding, verdict = judged("a@bank.example", spf=SpfFinding(forwarder="alumni.example"))
    assert only(finding).overridden == "trusted forwarder alumni.example"
    assert verdict.action is Action.CONTINUE


@pytest.mark.parametrize("proof", [{"spf": spf_of("lists.example")}, {"dkim": dkim_of("lists.example")}])
def test_a_mailing_list_that_is_proved_may_break_signatures(proof: Any) -> None:
    finding, verdict = judged("a@bank.example", config="mailing_lists = lists.example", **proof)
    assert only(finding).overridden == "mailing list lists.example"
    assert verdict.action is Action.CONTINUE


def test_a_mailing_list_that_is_only_claimed_opens_no_door() -> None:
    claimed = spf_of("lists.example", "softfail")
    assert judged("a@bank.example", spf=claimed, config="mailing_lists = lists.example")[1].action is Action.REJECT


def test_what_a_trusted_sealer_saw_proved_is_not_refused() -> None:
    seen = ArcFinding(result=ArcResult.PASS, trusted="lists.example", authors=("bank.example",))
    finding, verdict = judged("a@bank.example", found=[seen])
    assert (only(finding).overridden, verdict.action) == ("arc lists.example", Action.CONTINUE)
    other = ArcFinding(result=ArcResult.PASS, trusted="lists.example", authors=("other.example",))
    assert judged("a@bank.example", found=[other])[1].action is Action.REJECT
    assert judged("a@bank.example", found=[seen], config="always = bank.example")[1].action is Action.REJECT


def test_a_rule_for_the_author_goes_before_one_for_the_way() -> None:
    config = "always = bank.example\nmailing_lists = lists.example"
    assert judged("a@bank.example", spf=spf_of("lists.example"), config=config)[1].action is Action.REJECT


def test_a_rule_that_made_no_difference_is_not_named() -> None:
    finding, _ = judged("a@bank.example", config="never = bank.example", dkim=dkim_of("bank.example"))
    assert only(finding).overridden == ""
