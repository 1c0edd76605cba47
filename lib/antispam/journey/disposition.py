"""From decisions to the disposition of a message. A milter has one reply and one body for all recipients, but their verdicts
may differ."""

from __future__ import annotations

import dataclasses

from antispam.mail.decisions import Decision, ruling
from antispam.mail.message import Recipient
from antispam.mail.subject import Subject, all_decisions
from antispam.mail.verdicts import Action


@dataclasses.dataclass(frozen=True, slots=True)
class Disposition:
    """What becomes of a message.

    decision     what holds for the transaction as a whole, and is spoken: a refusal, HOLD, DISCARD, QUARANTINE (then all
                 recipients are in `quarantined` or their message is discarded); None delivers it to `delivered`
    delivered    who gets it now
    quarantined  who gets an entry in the quarantine instead, and why: it was decided so, or they refused what others get (a
                 bounce afterwards would hit the owner of a forged address)
    """

    decision: Decision | None
    delivered: tuple[Recipient, ...] = ()
    quarantined: tuple[tuple[Recipient, Decision], ...] = ()


def disposition_of(subject: Subject) -> Disposition:
    """The disposition of the subject's message after the last stage."""
    assert subject.message is not None
    recipients = subject.message.accepted_recipients
    whole = ruling(all_decisions(subject))
    if whole is not None:
        return _alike([(one, whole) for one in recipients], whole)
    ruled = [(one, ruling(all_decisions(Subject(subject.connection, subject.message, one)))) for one in recipients]
    delivered = tuple(one for one, decision in ruled if decision is None)
    stopped = [(one, decision) for one, decision in ruled if decision is not None]
    later = next((decision for _, decision in stopped if decision.verdict.action is Action.TEMPFAIL), None)
    if later is not None:  # the client keeps the message for all of them, and nobody gets it twice
        return Disposition(later)
    quarantined = [(one, decision) for one, decision in stopped if decision.verdict.action is not Action.DISCARD]
    if delivered or not stopped:
        return Disposition(None, delivered, tuple(quarantined))
    if not quarantined:
        return Disposition(stopped[0][1])
    if len({decision.verdict.action for _, decision in quarantined}) == 1:
        return _alike(quarantined, quarantined[0][1])
    return Disposition(quarantined[0][1], (), tuple(quarantined))


def _alike(stopped: list[tuple[Recipient, Decision]], decision: Decision) -> Disposition:
    """The disposition if all recipients agree."""
    match decision.verdict.action:
        case Action.QUARANTINE:
            return Disposition(decision, (), tuple(stopped))
        case Action.HOLD:
            return Disposition(decision, tuple(one for one, _ in stopped))
    return Disposition(decision)
