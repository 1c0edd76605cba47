"""An SPF fail at the end of the message: is it forged, or was it forwarded?

A forwarder that keeps the envelope sender makes SPF fail, but a DKIM signature survives. So a fail is refused only if
no signature passes whose domain is aligned with From or MAIL FROM, and no trusted sealer (checks/arc.py) reported the
sender as proved. Evidence and settings are those of checks/spf.py.
"""

from __future__ import annotations

from antispam.checks._shared.spf.judging import judge
from antispam.checks._shared.spf.settings import SpfSettings
from antispam.deadline import Deadline
from antispam.journey.services import Services
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.authors import authors
from antispam.mail.connection import Connection
from antispam.mail.evidence import ArcFinding, DkimFinding, SpfFailFinding, SpfFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.verdicts import CONTINUE, Action, Verdict
from antispam.net.addresses import is_hostname, normalize_domain, parents
from antispam.net.resolver import DNSTemporaryError
from antispam.protocols.dkim import DkimResult
from antispam.protocols.dmarc import same_organization
from antispam.text import for_log

NAME = "spf_fail"
OTHERWISE = (
    "An access map entry such as `SPF-Fail:example.org OK` decides for one domain; `[spf] trusted_forwarder` names "
    "servers that forward without rewriting the sender."
)
Settings = SpfSettings
Finding = SpfFailFinding
LOOKS_UP = True


def ready(connection: Connection, message: Message, services: Services) -> bool:
    """Whether no refusal waits, or every answer needed is in the cache: with no time left, the resolver uses only that."""
    return not _waits(message, services) or not _found(message, services, Deadline.after(0)).error


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> SpfFailFinding | None:
    """None if no refusal is waiting."""
    if message is None or not _waits(message, services):
        return None
    return _found(message, services, services.deadline)


def _waits(message: Message, services: Services) -> bool:
    spf = message.findings.get(SpfFinding)
    if spf is None or spf.error:
        return False
    return judge(spf, services.settings[Settings], services.access).waiting is not None


def _found(message: Message, services: Services, deadline: Deadline) -> SpfFailFinding:
    """The evidence in favour. If a key or an alignment cannot be looked up now, the signature may count later: that is
    an error.
    """
    dkim = message.findings.get(DkimFinding)
    signatures = dkim.signatures if dkim is not None else ()
    if signatures and not message.body.complete:
        return SpfFailFinding(vouched="the message is signed, but too large to be verified")
    arc = message.findings.get(ArcFinding)
    if arc is not None and (arc.authors or arc.sender):
        return SpfFailFinding(vouched=f"ARC seal of {arc.trusted}, which saw {arc.sender or arc.authors[0]} proved")
    undecided = ""
    for one in signatures:
        if not one.domain or one.result not in (DkimResult.PASS, DkimResult.TEMPERROR):
            continue
        try:
            identity = _identity_of(one.domain, message, services, deadline)
        except DNSTemporaryError as error:
            undecided = undecided or for_log(str(error), 200)
            continue
        if identity and one.result is DkimResult.PASS:
            return SpfFailFinding(vouched=f"DKIM signature of {one.domain}, which matches {identity}")
        if identity:
            undecided = undecided or f"DKIM of {one.domain}: {one.reason}"
    return SpfFailFinding(error=undecided)


def _identity_of(signer: str, message: Message, services: Services, deadline: Deadline) -> str:
    """The identity of the message that the signing domain vouches for, "" for none: one of its own organization (RFC
    9989 section 4.10.2) or below it. Raises DNSTemporaryError.
    """
    found = authors(message)
    candidates = {"From": found[0].domain if len(found) == 1 else "", "MAIL FROM": _sender_domain(message)}
    named = {name: domain for name, domain in candidates.items() if is_hostname(domain)}
    for name, domain in named.items():
        if signer in parents(domain) and "." in signer:
            return name
    for name, domain in named.items():
        if same_organization(signer, domain, services.resolver, deadline):
            return name
    return ""


def _sender_domain(message: Message) -> str:
    return normalize_domain(message.mail_from.rpartition("@")[2])


def decide(
    finding: SpfFailFinding, findings: Findings, settings: SpfSettings, policy: AccessMap | AccessTable
) -> Verdict:
    spf = findings.get(SpfFinding)
    waiting = judge(spf, settings, policy).waiting if spf is not None else None
    if waiting is None:
        return CONTINUE
    if finding.vouched:
        return Verdict(Action.CONTINUE, reason=f"{waiting.reason}, not refused: {finding.vouched}")
    return waiting._replace(reason=f"{waiting.reason}, and nothing vouches for it")
