"""The reply that the client hears, and the log line that goes with it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from antispam.journey.table import Journey
from antispam.mail.decisions import Decision, accepted_by
from antispam.mail.explanations import link
from antispam.mail.message import Recipient
from antispam.mail.subject import Subject, all_decisions
from antispam.mail.verdicts import Verdict
from antispam.settings import Settings
from antispam.settings.program import ProgramSettings
from antispam.text import for_log

log = logging.getLogger(__name__)

_MAX_LOGGED = 20  # recipients


def errors_url(decision: Decision, journey: Journey, settings: Settings) -> str:
    """The address of the pages that explain refusals: that of the check if it has one, else that of [milter]."""
    row = journey.named(decision.check)
    own = getattr(settings[row.check.Settings], "errors_url", "") if row is not None else ""
    return str(own) or settings[ProgramSettings].errors_url


def say(decision: Decision, subject: Subject, errors_url: str) -> Verdict:
    """Log a decision that the client is told now. Returns it as worded()."""
    log_decision(decision, subject)
    return worded(decision, subject, errors_url)


def log_decision(decision: Decision, subject: Subject) -> None:
    """Log a decision about the whole subject."""
    verdict = decision.verdict
    log.info(
        "[%s] %s %s: %s;%s %s",
        subject.ref,
        verdict.action.upper(),
        decision.check,
        for_log(verdict.reason),
        _to(_concerned(subject)),
        _who(subject),
    )


def worded(decision: Decision, subject: Subject, errors_url: str) -> Verdict:
    """The verdict with the reference for the sender and, if there are such pages, a link to the page that explains it."""
    verdict = decision.verdict
    if more := link(decision, errors_url):
        verdict = verdict._replace(text=f"{verdict.text or verdict.reason}\n{more}")
    return verdict._replace(text="\n".join(verdict.reply_lines(subject.ref)))


def log_quarantined(decision: Decision, subject: Subject) -> None:
    """Log that the message is kept from one recipient while others get it."""
    log.info(
        "[%s] QUARANTINE %s: %s;%s %s",
        subject.ref,
        decision.check,
        for_log(decision.verdict.reason),
        _to(_concerned(subject)),
        _who(subject),
    )


def log_delivery(subject: Subject, recipients: Sequence[Recipient]) -> None:
    """Log one line with the most important facts: sender, recipients, and what each check found."""
    if not log.isEnabledFor(logging.INFO):
        return
    message = subject.message
    assert message is not None
    decisions = all_decisions(subject)
    by = accepted_by(decisions)
    why = f" {by.check}: {for_log(by.verdict.reason)};" if by else ""
    decisions += [decision for recipient in recipients for decision in recipient.decisions]
    reasons = "; ".join(
        dict.fromkeys(f"{d.check}: {d.verdict.reason}" for d in decisions if d.verdict.reason and d is not by)
    )
    log.info(
        "[%s] ACCEPT%s%s %s size=%d id=%s; %s",
        message.ref,
        why,
        _to(recipients),
        _who(subject),
        message.body.size,
        for_log(message.queue_id),
        for_log(reasons, 1000),
    )


def _concerned(subject: Subject) -> Sequence[Recipient]:
    if subject.recipient is not None:
        return [subject.recipient]
    return subject.message.accepted_recipients if subject.message is not None else []


def _who(subject: Subject) -> str:
    sender = f"from=<{for_log(subject.message.mail_from)}> " if subject.message is not None else ""
    connection = subject.connection
    return f"{sender}ip={connection.ip} name={for_log(connection.name)} helo={for_log(connection.helo)}"


def _to(recipients: Sequence[Recipient]) -> str:
    """The recipients known so far, shortened: a list of thousands would hide the rest of the line."""
    if not recipients:
        return ""
    more = len(recipients) - _MAX_LOGGED
    named = ",".join(f"<{for_log(recipient.address)}>" for recipient in recipients[:_MAX_LOGGED])
    return f" to={named}" + (f" and {more} more" if more > 0 else "")
