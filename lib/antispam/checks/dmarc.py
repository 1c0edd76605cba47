"""DMARC (RFC 9989): does the message prove its author domain, and what does that domain request if not?

The published policy (`p=reject`, `p=quarantine`) is applied unless a rule of this site in [dmarc] overrides it. A
message can fail only if both SPF and DKIM were checked: behind a trusted relay SPF is unknown.
"""

from __future__ import annotations

import dataclasses

from antispam.checks._shared.dmarc_reports import DmarcReportSettings
from antispam.checks._shared.dmarc_row import note_for_report
from antispam.checks._shared.dmarc_settings import DmarcSettings
from antispam.deadline import Deadline
from antispam.journey.services import Services
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.authors import every_author, from_our_users, is_overlong, proved_domains
from antispam.mail.connection import Connection
from antispam.mail.evidence import ArcFinding, AuthorPolicy, DkimFinding, DmarcFinding, Override, SpfFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.remedies import verdict_for
from antispam.mail.score import Hit
from antispam.mail.verdicts import Action, Verdict
from antispam.net.addresses import host_list, is_hostname
from antispam.protocols.dkim import DkimResult
from antispam.protocols.dmarc import Disposition, DmarcResult, Evaluation, Identifier, evaluate
from antispam.protocols.spf import Result
from antispam.store.dmarc_results import DAY, purge

NAME = "dmarc"
ALSO_READS = (DmarcReportSettings,)
OTHERWISE = (
    "`[dmarc] never` exempts an author domain, `mailing_lists` a list that breaks signatures, and `[spf] "
    "trusted_forwarder` a forwarder."
)
Settings = DmarcSettings
Finding = DmarcFinding
LOOKS_UP = True

KEEP_DAYS = 7  # days that results wait for `bms dmarc report`
_MEMO = "dmarc evaluations"
MAX_DOMAINS = 10  # of authors; people write one, and each costs up to eight look-ups


def ready(connection: Connection, message: Message, services: Services) -> bool:
    """Whether every answer needed is in the resolver's cache: with no time left, the resolver answers from the cache
    only.
    """
    evaluations = _evaluations(message, services, Deadline.after(0))
    if any(one.result is DmarcResult.TEMPERROR for one in evaluations):
        return False
    message.memo[_MEMO] = evaluations
    return True


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> DmarcFinding | None:
    """None for internal clients, authenticated senders, and messages without From."""
    if message is None or from_our_users(message) or not message.fields(b"from"):
        return None
    settings = services.settings[Settings]
    evaluations = message.memo.pop(_MEMO, None) or _evaluations(message, services, services.deadline)
    found = tuple(_under_rules(one, message, settings) for one in evaluations)
    finding = DmarcFinding(
        authors=found,
        ambiguous=len(message.fields(b"from")) > 1,
        unreadable=is_overlong(message) or (len(found) >= MAX_DOMAINS and len(_domains(message)) > MAX_DOMAINS),
    )
    lost = [one.found for one in found if one.found.result is DmarcResult.TEMPERROR]
    # A domain whose look-up fails must not save a message that another of its author domains wants refused.
    if lost and not finding.unreadable and all(one.applied is Disposition.NONE for one in found):
        return dataclasses.replace(finding, error=f"DMARC of {lost[0].domain}: {lost[0].problem}")
    return finding


def _domains(message: Message) -> list[str]:
    """The domains of every author that a reader could find in From."""
    return [domain for domain in dict.fromkeys(one.domain for one in every_author(message)) if is_hostname(domain)]


def _evaluations(message: Message, services: Services, deadline: Deadline) -> list[Evaluation]:
    always = host_list(services.settings[Settings].always)
    identifiers = _identifiers(message)
    evaluations = [
        evaluate(domain, identifiers, services.resolver, deadline, unpublished=domain in always)
        for domain in _domains(message)[:MAX_DOMAINS]
    ]
    unknown = _unknown(message)
    if not unknown:
        return evaluations
    return [
        Evaluation(domain=one.domain, publisher=one.publisher, problem=unknown)
        if one.result is DmarcResult.FAIL
        else one
        for one in evaluations
    ]


def _identifiers(message: Message) -> list[Identifier]:
    """The identifiers that passed or might have: SPF of MAIL FROM and every DKIM signature. The HELO name counts for
    the null sender only (RFC 7208 section 2.4): its pass proves nothing about another MAIL FROM (CVE-2019-20790).
    Guesses do not count.
    """
    spf, dkim = message.findings.get(SpfFinding), message.findings.get(DkimFinding)
    found = []
    if spf is not None and spf.mailfrom is not None and spf.mailfrom.result in (Result.PASS, Result.TEMPERROR):
        found.append(Identifier("spf", spf.mailfrom.domain, spf.mailfrom.result is Result.PASS))
    found += [
        Identifier("dkim", one.domain, one.result is DkimResult.PASS)
        for one in (dkim.signatures if dkim is not None else ())
        if one.result in (DkimResult.PASS, DkimResult.TEMPERROR)
    ]
    return list(dict.fromkeys(one for one in found if one.domain))


def _unknown(message: Message) -> str:
    """The reason why the lack of a pass proves nothing; "" if it is a failure."""
    spf, dkim = message.findings.get(SpfFinding), message.findings.get(DkimFinding)
    if spf is None or spf.error:
        return "SPF was not asked"
    if dkim is None or dkim.error:
        return "DKIM was not asked"
    if dkim.signatures and not message.body.complete:
        return "message too large to be verified"
    return ""


def _under_rules(found: Evaluation, message: Message, settings: DmarcSettings) -> AuthorPolicy:
    """The author domain with this site's rule that overrides its policy. A rule for the domain takes precedence over
    one for the message's path.
    """
    if found.domain in host_list(settings.never):
        return AuthorPolicy(found=found, override=Override.NEVER)
    if found.domain in host_list(settings.always):
        return AuthorPolicy(found=found, override=Override.ALWAYS)
    spf = message.findings.get(SpfFinding)
    if spf is not None and spf.forwarder:
        return AuthorPolicy(found=found, override=Override.FORWARDER, because=spf.forwarder)
    lists = host_list(settings.mailing_lists)
    by = next((domain for domain in sorted(proved_domains(message)) if domain in lists), "")
    if by:
        return AuthorPolicy(found=found, override=Override.MAILING_LIST, because=by)
    arc = message.findings.get(ArcFinding)
    if arc is not None and found.domain in arc.authors:
        return AuthorPolicy(found=found, override=Override.ARC, because=arc.trusted)
    return AuthorPolicy(found=found)


def decide(
    finding: DmarcFinding, findings: Findings, settings: DmarcSettings, policy: AccessMap | AccessTable
) -> Verdict:
    """The author domain with the severest disposition decides."""
    worst = finding.worst
    if worst is not None:
        reason = _reason(worst)
        if worst.applied is Disposition.REJECT:
            return verdict_for(settings.reject, _refusal(worst), reason, status="7.26")
        if worst.applied is Disposition.QUARANTINE:
            return verdict_for(settings.quarantine, _refusal(worst), reason, status="7.26")
    if finding.unreadable:
        text = (
            "The From field has more authors than can be checked, or is longer than mail programs can show.\n"
            "Please send the message again with a single address in From."
        )
        return verdict_for(settings.reject, text, "From cannot be examined")
    return Verdict(Action.CONTINUE, reason="" if worst is None else _reason(worst))


def _reason(one: AuthorPolicy) -> str:
    """The result in words for the log."""
    found = one.found
    notes = [found.aligned] if found.aligned else []
    if found.tag:
        notes.append(f"{found.tag} of {found.publisher} asks for {found.asked}" + (" by t=y" if found.testing else ""))
    notes += [text for text in (one.overridden, found.problem) if text]
    return f"DMARC {found.result} of {found.domain}" + (f" ({', '.join(notes)})" if notes else "")


def _refusal(one: AuthorPolicy) -> str:
    """What was found and what can be done about it, for the human who reads the bounce."""
    domain = one.found.domain
    if one.override is Override.ALWAYS:
        why = f"Mail from {domain} is only accepted with proof that it comes from {domain}"
    else:
        why = (
            f"{one.found.publisher} asks receivers not to accept mail that uses the name {domain} without proof (DMARC)"
        )
    return (
        f"{why}, and neither SPF nor DKIM proves this message.\n"
        "If you sent it, use the mail server of the provider of that address.\n"
        f"If it came through a mailing list or a forwarder, write to the recipient directly. Administrators of {domain}:\n"
        f"please sign all mail with DKIM as d={one.found.organizational or domain}, and list all your servers in SPF."
    )


_TESTS = {
    Disposition.REJECT: "DMARC_REJECT",
    Disposition.QUARANTINE: "DMARC_QUAR",
    Disposition.NONE: "DMARC_NONE",
}


def concluded(
    finding: DmarcFinding, connection: Connection, message: Message | None, verdict: Verdict, services: Services
) -> None:
    """Store the row for the aggregate report, whatever the outcome."""
    if message is not None:
        note_for_report(finding, connection, message, verdict, services)


def tidy(services: Services) -> bool:
    """Delete a slice of the rows that were not reported for a week. True if more may be left."""
    if services.store is None:
        return False
    return purge(services.store, int(services.clock()) // DAY - KEEP_DAYS) > 0


def points(finding: DmarcFinding, findings: Findings, settings: DmarcSettings) -> tuple[Hit, ...]:
    """No points if a rule of this site overrides a domain's policy."""
    hits = []
    worst = finding.worst
    if worst is not None and worst.found.result is DmarcResult.FAIL and not worst.overridden:
        hits.append(Hit(_TESTS[worst.applied], f"{_reason(worst)}."))
    if worst is not None and worst.found.result is DmarcResult.NONE and worst.override is None:
        hits.append(Hit("DMARC_MISSING", f"{_reason(worst)}."))
    if finding.ambiguous or finding.unreadable:
        reason = "There are several From fields" if finding.ambiguous else "The From field cannot be examined"
        hits.append(Hit("FROM_AMBIGUOUS", f"{reason}."))
    return tuple(hits)
