"""The verdict on an SPF result: from the access map if it has an entry, otherwise from [spf]."""

from __future__ import annotations

from typing import NamedTuple

from antispam.checks._shared.spf.replies import found, refusal
from antispam.checks._shared.spf.settings import DoubtfulAction, Refuse, SpfSettings
from antispam.mail.access_map import AccessMap, AccessTable, Policy, apply_entry
from antispam.mail.evidence import SpfFinding
from antispam.mail.verdicts import Action, Callback, Verdict
from antispam.net.addresses import Mailbox, host_list, parse_mailbox
from antispam.protocols.spf import Result, SpfResult


class Judgement(NamedTuple):
    """The decision on an SPF result.

    verdict  at MAIL FROM
    waiting  the refusal at the end of the message unless something vouches for it; None for none
    """

    verdict: Verdict
    waiting: Verdict | None = None


def judge(finding: SpfFinding, settings: SpfSettings, policy: AccessMap | AccessTable) -> Judgement:
    """Judge the HELO name, then MAIL FROM; the first that leads to a decision counts. Pure, like decide() of a check."""
    if finding.mailfrom is None:
        return Judgement(_go_on(f"trusted forwarder {finding.forwarder}"))
    helo = Judgement(_go_on("")) if finding.helo is None else _of_helo(finding.helo, settings, policy)
    if helo.verdict.action is not Action.CONTINUE:
        return helo
    mailfrom = _of_mailfrom(finding, finding.mailfrom, settings, policy)
    verdict, callback = mailfrom.verdict, helo.verdict.callback
    if callback and verdict.action is Action.CONTINUE and verdict.callback is None:
        verdict = verdict._replace(callback=callback)
    return Judgement(verdict, helo.waiting or mailfrom.waiting)


def _of_helo(outcome: SpfResult, settings: SpfSettings, policy: AccessMap | AccessTable) -> Judgement:
    entry = policy.policy(f"helo-{outcome.result}", outcome.domain or outcome.helo)
    if entry is not None:
        return Judgement(_apply_entry(entry, outcome, outcome.result))
    return _refused(outcome, outcome.result, settings) if outcome.result is Result.FAIL else _going_on(outcome)


def _of_mailfrom(
    finding: SpfFinding, outcome: SpfResult, settings: SpfSettings, policy: AccessMap | AccessTable
) -> Judgement:
    result = outcome.effective
    entry = policy.policy(f"spf-{result}", _sender(outcome))
    if entry is not None:
        return Judgement(_apply_entry(entry, outcome, result))
    domain = outcome.domain
    if result is Result.FAIL and finding.helo_valid and domain in host_list(settings.accept_fail):
        result = Result.SOFTFAIL
    unknown = result is Result.NONE and not finding.named and not finding.helo_valid
    if result in (Result.SOFTFAIL, Result.NEUTRAL) and domain in host_list(settings.reject_neutral):
        refused = result is Result.NEUTRAL or domain not in host_list(settings.accept_softfail)
    elif result is Result.NONE:
        refused = settings.reject_noptr and unknown
    else:
        refused = result in (Result.FAIL, Result.TEMPERROR)
        refused |= result is Result.PERMERROR and settings.reject_permerror
    if refused:
        return _refused(outcome, result, settings)
    soft = result is Result.SOFTFAIL and domain not in host_list(settings.accept_softfail)
    verdict = _go_on(found(outcome))
    if settings.doubtful is not DoubtfulAction.NOTHING and (unknown or soft):
        callback = Callback(settings.doubtful.upper(), f"spf-{outcome.effective}")
        verdict = verdict._replace(callback=callback)
    return Judgement(verdict)


def _refused(outcome: SpfResult, result: Result, settings: SpfSettings) -> Judgement:
    """A refusal at once, or at the end of the message, because forwarding breaks SPF but not the signature. A domain
    that never sends mail is refused at once: it has no honest mail to forward.
    """
    refused = refusal(outcome, result)
    if result is Result.FAIL and settings.refuse is Refuse.END and not outcome.sends_nothing:
        return Judgement(_go_on(f"{found(outcome)}, to be refused unless the message is vouched for"), refused)
    return Judgement(refused)


def _sender(outcome: SpfResult) -> Mailbox:
    local = parse_mailbox(outcome.mailfrom).local if outcome.mailfrom else "postmaster"
    return Mailbox(local, outcome.domain)


def _going_on(outcome: SpfResult) -> Judgement:
    return Judgement(_go_on(found(outcome)))


def _go_on(reason: str) -> Verdict:
    return Verdict(Action.CONTINUE, reason=reason)


def _apply_entry(entry: Policy, outcome: SpfResult, result: Result) -> Verdict:
    """The verdict that an access map entry asks for."""
    reason = f"{found(outcome)}, access map {entry.key} {entry.action}"
    return apply_entry(entry, refusal(outcome, result)._replace(reason=reason))
