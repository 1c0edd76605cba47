"""Is the message a near copy of reported spam?"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from antispam.journey.services import Services
from antispam.learning.feedback import PERIOD
from antispam.learning.fingerprinting import (
    HONEYPOT,
    Fingerprinter,
    FingerprintSettings,
    filter_of,
    key_of,
    known_key,
    marks_of_message,
)
from antispam.learning.settings import DspamSettings
from antispam.mail import findings as base
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.authors import authors, from_our_users, is_proved
from antispam.mail.connection import Connection
from antispam.mail.findings import Findings
from antispam.mail.learned_evidence import OpinionFinding
from antispam.mail.message import Message, Recipient
from antispam.mail.score import Hit
from antispam.mail.score_table import TABLE
from antispam.mail.shown import shown
from antispam.mail.verdicts import Action, Verdict
from antispam.protocols.fingerprints import Kind, Marks, Near, name_mark, near
from antispam.protocols.mailboxes import identity
from antispam.store import StoreError, rates
from antispam.store import fingerprints as stored

NAME = "fingerprints"
Settings = FingerprintSettings
ALSO_READS = (DspamSettings,)
_FOUND = "fingerprints found"
_TESTS = {Kind.TEXT: "FINGERPRINT_TEXT", Kind.LINK: "FINGERPRINT_LINK", Kind.FILE: "FINGERPRINT_FILE"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding(base.Finding):
    """The resemblance of the message to reported spam.

    near      the kinds of near copies, each once
    partly    it shares some marks with reports, however few
    honeypot  it was sent to a honeypot address, so that it is itself a report
    """

    check: ClassVar[str] = NAME
    near: tuple[Near, ...] = ()
    partly: bool = False
    honeypot: bool = False


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> Finding | None:
    """None if there is nothing in common, and for mail of our own users."""
    assert message is not None
    if from_our_users(message) or services.store is None:
        return None
    opinion = message.findings.get(OpinionFinding)
    honeypot = opinion is not None and opinion.honeypot
    now, deadline = services.clock(), services.deadline
    try:
        reported = filter_of(services.store)
        key = None if reported.is_empty(deadline) else known_key(services.store, deadline)
        marks = marks_of_message(message, key) if key is not None else Marks()
        possible = reported.possible(marks.all, deadline)
        found = stored.matching(services.store, possible, now, services.settings[Settings].common, deadline)
    except StoreError as error:
        return Finding(error=f"fingerprints: {error}")
    message.memo[_FOUND] = [one.mark for one in found]
    return Finding(near=near(marks, found), partly=bool(found), honeypot=honeypot) if found or honeypot else None


def decide(finding: Finding, findings: Findings, settings: Settings, policy: AccessMap | AccessTable) -> Verdict:
    """Near copies only get points; checks/score.py adds up all tests of a message."""
    return Verdict(Action.CONTINUE, reason="; ".join(map(_told, finding.near)))


def points(finding: Finding, findings: Findings, settings: Settings) -> tuple[Hit, ...]:
    """The full points if three people reported it, a part of them otherwise."""
    hits = ((_TESTS[one.kind], one) for one in finding.near)
    return tuple(Hit(test, f"{_told(one)}.", round(TABLE[test].points * one.weight, 2)) for test, one in hits)


def _told(one: Near) -> str:
    said = "one person" if one.voices == 1 else f"{one.voices} people"
    match one.kind:
        case Kind.TEXT:
            where = ", in quoted lines" if one.quoted else ""
            return (
                f"{100 * one.similarity:.0f} % of a text that {said} reported are in this one, "
                f"as {100 * one.share:.0f} % of it{where}"
            )
        case Kind.LINK:
            return f"{100 * one.similarity:.0f} % of its links lead where {said} reported spam to lead"
    return f"An attachment is one that {said} reported"


def afterwards(finding: Finding, message: Message, services: Services) -> None:
    """Record mail to a honeypot as a report. From other delivered mail of a proved sender, learn which texts and links
    are common in all mail. Raises StoreError.
    """
    if services.store is None:
        return
    now, deadline = services.clock(), services.deadline
    key = key_of(services.store, now, deadline)
    if finding.honeypot:
        allowed = services.settings[DspamSettings].report_rate
        if rates.use(services.store, "fingerprints of a honeypot", 1, now, PERIOD, deadline) <= allowed:
            reporter = Fingerprinter(services.store, services.settings[Settings], HONEYPOT, now)
            reporter.spam_of(shown(message), identity(message.raw()), deadline)
        return
    if not finding.partly or any(one.kind is not Kind.LINK for one in finding.near) or _is_kept(message):
        return
    domains = {one.domain for one in authors(message)}
    if len(domains) == 1 and is_proved(message, domain := domains.pop()):
        stored.witness(services.store, message.memo[_FOUND], name_mark(f"domain {domain}", key), 1, now, deadline)


def _is_kept(message: Message) -> bool:
    """Whether a decision keeps the message from any recipient."""
    decisions = [*message.decisions, *(one for each in message.recipients for one in each.decisions)]
    return any(decision.stops for decision in decisions)


def tidy(services: Services) -> bool:
    """Delete a slice of what has expired. True if more may be left."""
    return services.store is not None and stored.purge(services.store, services.clock()) > 0
