"""Asks what a domain is known for."""

from __future__ import annotations

from typing import TypeVar

from antispam.evidence import ReputationFinding
from antispam.message import Message
from antispam.reputation.settings import GossipSettings
from antispam.services import Services
from antispam.settings import Mode
from antispam.store import Store, StoreError
from antispam.store.engine import SLICE
from gossip import Observations, Records, umis
from gossip.records import identity
from gossip.schema import reputation, reputation_vote

PROVED = frozenset({"SPF", "GUESS", "HELO", "DKIM"})
"""Ways in which a domain can be authenticated; all others blame whoever is named."""

F = TypeVar("F", bound=ReputationFinding)


def ask(kind: type[F], domain: str, how: str, message: Message, services: Services) -> F:
    """What is known of a domain that was authenticated in this way."""
    settings, name, now = services.settings[GossipSettings], identity(domain, how), services.clock()
    if services.store is None:
        return kind(domain=domain, how=how, error="there is no store")
    try:
        found = Records(services.store).get(name, services.deadline) or Observations()
    except StoreError as error:
        return kind(domain=domain, how=how, error=f"reputation: {error}")
    score, confidence = found.reputation, found.confidence(now)
    return kind(
        domain=domain,
        how=how,
        umis=umis(domain + how, message.ref),
        reputation=round(score, 3),
        confidence=round(confidence, 6),
        spam=found.spam_count,
        ham=found.ham_count,
        trusted=_is_trusted(how, score, confidence, settings),
    )


def _is_trusted(how: str, score: float, confidence: float, settings: GossipSettings) -> bool:
    """Anybody can write a domain of good reputation into MAIL FROM: it must be authenticated."""
    if settings.trust_above is None or how not in PROVED or settings.mode is not Mode.ENFORCE:
        return False
    return score > settings.trust_above and confidence > settings.trust_confidence


def upkeep(services: Services) -> bool:
    """Fold the log into the rings, and forget what is too old; true while more is left."""
    if services.store is None:
        return False
    settings, now = services.settings[GossipSettings], services.clock()
    more = Records(services.store).fold(now)
    return _forget(services.store, now - settings.retain, now - settings.retain_messages) or more


def _forget(store: Store, domains: float, messages: float) -> bool:
    gone = store.delete_slice(reputation_vote, reputation_vote.c.asked_at < messages, SLICE)
    return max(gone, store.delete_slice(reputation, reputation.c.last_seen < domains, SLICE)) == SLICE
