"""Call-back verification: does the sender's own mail server accept bounces?

It runs at the end of the message, if the access map says CBV or DSN for another check's result. By then greylist and
whitelist have decided, so that as few strangers as possible are bothered. Results are stored for all nodes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging

from antispam.checks._shared.callback.calls import make_caller
from antispam.checks._shared.callback.settings import CallbackSettings
from antispam.checks._shared.taught_by_refusal import learn_refused
from antispam.journey.services import Services
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.authors import is_whitelisted
from antispam.mail.connection import Connection
from antispam.mail.evidence import CallbackFinding, DkimFinding, SpfFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.remedies import verdict_for
from antispam.mail.verdicts import Action, Callback, Verdict, reject
from antispam.net.addresses import normalize_domain
from antispam.protocols.callback_dialogue import Outcome, Verification
from antispam.protocols.dkim import DkimResult
from antispam.protocols.spf import Result
from antispam.settings import Mode
from antispam.store import Store, StoreError, callbacks, lists, rates
from antispam.text import for_log, from_wire

NAME = "callback"
OTHERWISE = (
    "The access map's CBV and DSN entries say who is called back; `[callback] temporary` and `unknown` say what an "
    "unclear answer leads to."
)
Settings = CallbackSettings
Finding = CallbackFinding
LOOKS_UP = True

HOUR = 3600.0

log = logging.getLogger(__name__)


def ready(connection: Connection, message: Message, services: Services) -> bool:
    """Whether no call is requested."""
    return _wanted(message) is None


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> CallbackFinding | None:
    """None if no call is requested, for the null sender, which cannot be called, and for a proved whitelisted sender."""
    assert message is not None
    wanted = _wanted(message)
    if wanted is None or not message.mail_from or is_whitelisted(message):
        return None
    finding = Finding(word=wanted.word, tag=wanted.tag, sender=from_wire(message.mail_from, 320))
    settings = services.settings[Settings]
    failed = _failed(message, wanted.tag)
    if failed and not settings.forged:
        return dataclasses.replace(finding, skipped=failed)
    try:
        found = _known(connection, message, services)
    except StoreError as error:
        return dataclasses.replace(finding, error=f"callback: {error}")
    return dataclasses.replace(
        finding, outcome=found.outcome, detail=found.detail, host=from_wire(found.host, 255), null_mx=found.null_mx
    )


def _wanted(message: Message) -> Callback | None:
    """The callback that decisions so far request; DSN takes precedence over CBV."""
    found = [
        dataclasses.replace(decision.verdict.callback, tag=decision.verdict.callback.tag or decision.check)
        for decision in message.decisions
        if decision.counts and decision.verdict.callback is not None
    ]
    return next((one for one in found if one.word == "DSN"), next(iter(found), None))


def _failed(message: Message, tag: str) -> str:
    """The failed authentication that shows a forged sender; "" for none, or if SPF proved the sender."""
    spf, dkim = message.findings.get(SpfFinding), message.findings.get(DkimFinding)
    result = spf.mailfrom.effective if spf is not None and spf.mailfrom is not None else None
    if result is Result.PASS:
        return ""
    if result in (Result.FAIL, Result.SOFTFAIL):
        return f"SPF {result}"
    if spf is not None and spf.helo is not None and spf.helo.result in (Result.FAIL, Result.SOFTFAIL):
        return f"HELO SPF {spf.helo.result}"
    if dkim is not None and tag.startswith("dkim") and any(one.result is DkimResult.FAIL for one in dkim.signatures):
        return "DKIM fail"
    return ""


def _known(connection: Connection, message: Message, services: Services) -> Verification:
    """The stored result, or the answer of the sender's servers now. Raises StoreError."""
    settings, now = services.settings[Settings], services.clock()
    store, sender = services.store, message.mail_from
    if store is not None:
        known = callbacks.recall(store, sender, now, services.deadline)
        if known is not None:
            return known
    if services.read_only:
        return Verification(Outcome.UNKNOWN, "no callback is made for a message that is only being tried")
    if store is not None and settings.per_domain:
        domain = normalize_domain(sender.rpartition("@")[2])
        name = f"callback:{hashlib.sha256(domain.encode('utf-8', 'surrogatepass')).hexdigest()}"
        if rates.use(store, name, 1, now, HOUR, services.deadline) > settings.per_domain:
            return Verification(Outcome.TEMPORARY, f"{for_log(domain, 100)} was asked too often in the last hour")
    caller = make_caller(services.resolver, services.settings, settings, connection.receiver)
    found = caller.verify(sender, services.deadline)
    if store is not None:
        _remember(store, message, found, services)
    return found


def _remember(store: Store, message: Message, found: Verification, services: Services) -> None:
    """Store a result for all nodes. A non-existent sender is blacklisted for a time. A result that cannot be stored
    will be asked for again.
    """
    settings, now, sender = services.settings[Settings], services.clock(), message.mail_from
    keep = {Outcome.OK: settings.keep_ok, Outcome.FAILED: settings.keep_failed}.get(
        found.outcome, settings.keep_temporary
    )
    try:
        callbacks.remember(store, sender, found, now, keep, services.deadline)
        if found.outcome is Outcome.FAILED and settings.blacklist and settings.mode is Mode.ENFORCE:
            lists.add(
                store,
                lists.Kind.BLACKLIST,
                sender,
                reason=f"the address does not accept bounces: {found.detail}",
                by=NAME,
                now=now,
                expires_at=now + settings.blacklist,
                deadline=services.deadline,
            )
    except lists.BadName:
        pass  # nothing to list: the domain is not one that could send again
    except StoreError as error:
        log.warning("[%s] the result of the callback cannot be stored: %s", message.ref, for_log(str(error)))


def concluded(
    finding: CallbackFinding, connection: Connection, message: Message | None, verdict: Verdict, services: Services
) -> None:
    """Train the screener with mail of a non-existent sender. Raises StoreError."""
    if message is not None and finding.outcome is Outcome.FAILED and verdict.action.refuses:
        learn_refused(connection, message, services)


def tidy(services: Services) -> bool:
    """Delete a slice of the expired results. True if more may be left."""
    return services.store is not None and callbacks.purge(services.store, services.clock()) > 0


def decide(
    finding: CallbackFinding, findings: Findings, settings: CallbackSettings, policy: AccessMap | AccessTable
) -> Verdict:
    wanted = f"{finding.word} for {finding.tag}"
    if finding.skipped:
        return Verdict(Action.CONTINUE, reason=f"{wanted}: not called back: {finding.skipped}")
    said = f"{finding.host}: {finding.detail}" if finding.host else finding.detail
    reason = f"{wanted}: {finding.sender} {finding.outcome} ({said})"
    match finding.outcome:
        case Outcome.FAILED:
            text = (
                f"Your address {finding.sender} does not accept bounces, so we could not tell you about a failed delivery:\n"
                f"{said}\n"
                "Mail is only accepted from addresses that can receive a reply. Please ask the administrator of your "
                "mail server."
            )
            refusal = reject(text, reason, enhanced="5.7.27" if finding.null_mx else "5.1.8")
            return refusal._replace(demerits=1)
        case Outcome.TEMPORARY:
            text = (
                f"We could not verify that your address {finding.sender} accepts bounces:\n"
                f"{said}\n"
                "Your server will try again by itself."
            )
            return verdict_for(settings.temporary, text, reason)
        case Outcome.UNKNOWN:
            text = f"Your address {finding.sender} cannot be verified here:\n{said}"
            return verdict_for(settings.unknown, text, reason)
    return Verdict(Action.CONTINUE, reason=reason)
