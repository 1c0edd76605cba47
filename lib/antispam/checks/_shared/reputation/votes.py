"""Votes on a sender, from the outcome of a message."""

from __future__ import annotations

from antispam.checks._shared.reputation.asking import node_of
from antispam.checks._shared.reputation.settings import GossipSettings
from antispam.journey.services import Services
from antispam.mail.connection import Connection
from antispam.mail.evidence import ReputationFinding, ScoreFinding, SignedReputationFinding
from antispam.mail.learned_evidence import OpinionFinding, SpamFinding
from antispam.mail.message import Message, Recipient
from antispam.mail.subject import Subject, all_decisions
from antispam.mail.verdicts import Action, Verdict
from gossip import HAM, SPAM
from gossip.records import identity, vote_row
from gossip.schema import reputation_vote

REACHED_END = "reputation: the message came to its end"  # in memo

# Checks whose refusals say nothing about a message: the reputation check itself, because a refused domain could never
# recover; those that honest senders meet, for example by a typing error; and those that drop mail for reasons other
# than its content.
_SILENT = frozenset(
    {"reputation", "reputation_signed", "known_user", "private_relay", "dkim", "block_forward", "limits"}
    | {"training_address", "own_mail", "feedback", "dsn", "srs", "wiretap", "smart_alias", "scrub"}
)
_AWAY = frozenset({Action.REJECT, Action.DISCARD, Action.QUARANTINE})


def vote_of(connection: Connection, message: Message, verdict: Verdict) -> int | None:
    """The vote on a message: SPAM, HAM, or None if the outcome is neither: the message was greylisted, given up, held,
    or refused for no fault of its own.

    Spam is what any recipient's verdict calls spam, and what was refused or dropped for its content or for something
    that no honest client does. Everything else that was delivered is ham until somebody reports it.
    """
    if _called_spam(message):
        return SPAM
    if verdict.action in (Action.CONTINUE, Action.ACCEPT):
        return HAM if REACHED_END in message.memo else None
    if verdict.action not in _AWAY:
        return None
    decisions = all_decisions(Subject(connection, message))
    decisions += [
        decision
        for one in message.recipients
        for decision in one.decisions
        if decision.check != SpamFinding.check or not _by_reputation(one)
    ]
    for decision in decisions:
        seen = bool(message.headers) or decision.verdict.demerits > 0
        if decision.stops and decision.verdict.action in _AWAY and seen and decision.check not in _SILENT:
            return SPAM
    return None


def brought_trusted_mail(message: Message, verdict: Verdict) -> bool:
    """Whether this message reached its end, and SPF or DKIM proved a trusted domain."""
    if verdict.action not in (Action.CONTINUE, Action.ACCEPT) or REACHED_END not in message.memo:
        return False
    found = (message.findings.get(ReputationFinding), message.findings.get(SignedReputationFinding))
    return any(one is not None and one.trusted for one in found)


def _called_spam(message: Message) -> bool:
    opinion = message.findings.get(OpinionFinding)
    if opinion is not None and opinion.honeypot:
        return True
    found = [one.findings.get(SpamFinding) for one in message.recipients if not _by_reputation(one)]
    return any(one.is_spam for one in found if one is not None)


def _by_reputation(recipient: Recipient) -> bool:
    """Whether only the sender's reputation makes the message spam to this recipient: a reputation must not lower
    itself.
    """
    found, score = recipient.findings.get(SpamFinding), recipient.findings.get(ScoreFinding)
    if found is None or score is None or found.required is None or found.because:
        return False
    own = sum(one.points for one in score.tests if one.test == "REPUTATION_BAD")
    return own > 0 and round(score.total - own, 1) < found.required


def remember(
    finding: ReputationFinding, connection: Connection, message: Message | None, verdict: Verdict, services: Services
) -> None:
    """Store the vote, after the reply."""
    if message is None or not finding.umis or not services.settings[GossipSettings].learn:
        return
    vote = vote_of(connection, message, verdict)
    if vote is None:
        return
    name = identity(finding.domain, finding.how)
    row = vote_row(finding.umis, name, services.clock(), ref=message.ref, vote=vote, asked_at=message.received_at)
    services.write_later(reputation_vote, row)
    if services.store is not None:
        node_of(services).voted(name, vote, message.received_at)
