"""The row of an aggregate report for one message (RFC 9990 section 3.1)."""

from __future__ import annotations

import msgspec

from antispam.checks._shared.dmarc_reports import DmarcReportSettings
from antispam.journey.services import Services
from antispam.mail.connection import Connection
from antispam.mail.decisions import Decision
from antispam.mail.evidence import ArcFinding, AuthorPolicy, DkimFinding, DmarcFinding, Override, SpfFinding
from antispam.mail.message import Message
from antispam.mail.verdicts import Action, Verdict
from antispam.net.addresses import host_list, parse_ip, parse_mailbox
from antispam.net.resolver import DNSTemporaryError
from antispam.protocols.dkim import DkimResult
from antispam.protocols.dmarc import Disposition, DmarcResult, Found, Identifier, aligned_methods
from antispam.protocols.dmarc_reports import Published, Record
from antispam.protocols.dmarc_reports.mail import SUBJECT
from antispam.protocols.spf import Result
from antispam.store.dmarc_results import DAY
from antispam.store.schema import dmarc_result

_REASONS = {
    Override.ALWAYS: "local_policy",
    Override.NEVER: "local_policy",
    Override.FORWARDER: "trusted_forwarder",
    Override.MAILING_LIST: "mailing_list",
    Override.ARC: "local_policy",  # RFC 8617 section 7.2.2
}


def note_for_report(
    finding: DmarcFinding, connection: Connection, message: Message, verdict: Verdict, services: Services
) -> None:
    """Store the row for the next report, if the domain wants reports."""
    settings = services.settings[DmarcReportSettings]
    one = finding.worst
    if not settings.send or one is None or len(finding.authors) != 1 or finding.ambiguous or finding.unreadable:
        return
    if one.found.result not in (DmarcResult.PASS, DmarcResult.FAIL) or one.found.domain in host_list(settings.never):
        return
    if parse_ip(connection.ip) is None or _is_report(message):
        return
    try:
        policy, methods = aligned_methods(one.found.domain, _passed(message), services.resolver, services.deadline)
    except DNSTemporaryError:
        return
    if policy is None or not policy.record.rua or policy.domain in host_list(settings.never):
        return
    record = _record(one, policy, methods, connection, message, verdict)
    row = {
        "day": int(message.received_at) // DAY,
        "domain": policy.domain,
        "published": msgspec.json.encode(_published(policy)).decode(),
        "record": msgspec.json.encode(record).decode(),
    }
    services.write_later(dmarc_result, row)


def _is_report(message: Message) -> bool:
    """Whether the message is itself a report. Otherwise two sites would report about each other's reports for ever."""
    return any(header.text.strip().startswith(SUBJECT) for header in message.fields(b"subject"))


def _passed(message: Message) -> list[Identifier]:
    spf, dkim = message.findings.get(SpfFinding), message.findings.get(DkimFinding)
    found = []
    if spf is not None and spf.mailfrom is not None and spf.mailfrom.result is Result.PASS:
        found.append(Identifier("spf", spf.mailfrom.domain))
    signatures = dkim.signatures if dkim is not None else ()
    return found + [
        Identifier("dkim", one.domain) for one in signatures if one.result is DkimResult.PASS and one.domain
    ]


def _published(policy: Found) -> Published:
    record = policy.record
    return Published(
        domain=policy.domain,
        p=str(record.policy),
        sp=str(record.subdomains or ""),
        np=str(record.missing or ""),
        adkim="s" if record.strict_dkim else "r",
        aspf="s" if record.strict_spf else "r",
        testing="y" if record.testing else "n",
    )


def _record(
    one: AuthorPolicy,
    policy: Found,
    methods: frozenset[str],
    connection: Connection,
    message: Message,
    verdict: Verdict,
) -> Record:
    spf, dkim = message.findings.get(SpfFinding), message.findings.get(DkimFinding)
    disposition, reason, comment = _done(one, policy, message, verdict)
    asked = spf.mailfrom if spf is not None else None
    return Record(
        source_ip=str(parse_ip(connection.ip)),
        disposition=disposition,
        dkim="dkim" in methods,
        spf="spf" in methods,
        header_from=one.found.domain,
        envelope_from=parse_mailbox(message.mail_from).domain,
        reason=reason,
        comment=comment,
        signatures=tuple(
            (sig.domain, sig.selector, str(sig.result))
            for sig in (dkim.signatures if dkim is not None else ())
            if sig.domain and sig.selector
        ),
        spf_domain=asked.domain if asked is not None else "",
        spf_result=str(asked.result) if asked is not None else "",
    )


def _done(one: AuthorPolicy, policy: Found, message: Message, verdict: Verdict) -> tuple[str, str, str]:
    """The disposition, the reason for an override, and that reason in words."""
    if one.found.result is DmarcResult.PASS:
        return ("none" if policy.record.policy is Disposition.NONE else "pass"), "", ""
    decision = next((made for made in message.decisions if made.check == "dmarc"), None)
    disposition = _disposition(decision, verdict)
    if one.override is not None and one.overridden:
        arc = message.findings.get(ArcFinding)
        comment = _chain(arc) if one.override is Override.ARC and arc is not None else one.overridden
        return disposition, _REASONS[one.override], comment
    if one.found.testing:
        return disposition, "policy_test_mode", ""
    return disposition, "" if disposition == str(one.found.asked) else "local_policy", ""


def _disposition(decision: Decision | None, verdict: Verdict) -> str:
    if decision is None or not decision.counts:
        return "none"
    match decision.verdict.action:
        case Action.REJECT | Action.TEMPFAIL:
            return "reject"
        case Action.QUARANTINE | Action.HOLD:
            return "quarantine"
    return "reject" if verdict.action is Action.REJECT else "none"


def _chain(arc: ArcFinding) -> str:
    """The chain in the form of RFC 8617 section 7.2.2, newest seal first."""
    named = (f"as[{len(arc.sealers) - place}].d={domain}" for place, domain in enumerate(arc.sealers[:10]))
    return " ".join(("arc=pass", *named))
