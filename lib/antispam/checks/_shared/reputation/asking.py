"""Queries for the reputation of a domain."""

from __future__ import annotations

import dataclasses
import functools
import logging
import weakref
from typing import TypeVar

import sqlalchemy as sa

from antispam.checks._shared.reputation.settings import GossipSettings
from antispam.deadline import Deadline
from antispam.journey.services import Services
from antispam.mail.evidence import ReputationFinding
from antispam.mail.message import Message
from antispam.settings import Mode
from antispam.store import Store, StoreError
from antispam.store.engine import SLICE
from antispam.text import for_log
from gossip import Records, split_address, umis
from gossip.client import Client, NoAnswer
from gossip.node import Answer, Gossip
from gossip.records import PEER
from gossip.schema import reputation, reputation_vote

log = logging.getLogger(__name__)

TELL = 86400.0  # seconds after which a message's outcome is no longer sent to a server
RARE = 5  # below this number of messages a domain is hardly known: spammers use a new one for every message
PROVED = frozenset({"SPF", "GUESS", "HELO", "DKIM"})
"""Ways to authenticate a domain. With any other, the claimed domain is blamed."""

F = TypeVar("F", bound=ReputationFinding)


_nodes: weakref.WeakKeyDictionary[Store, Gossip] = weakref.WeakKeyDictionary()


def ask(kind: type[F], domain: str, how: str, message: Message, services: Services) -> F:
    """The reputation of a domain that was authenticated in this way."""
    settings, name = services.settings[GossipSettings], umis(domain + how, message.ref)
    if services.store is None:
        return kind(domain=domain, how=how, error="there is no store")
    try:
        found = _answer(name, domain, how, services)
    except StoreError as error:
        return kind(domain=domain, how=how, error=f"reputation: {error}")
    score, confidence = found.opinion
    return kind(
        domain=domain,
        how=how,
        umis=name,
        reputation=round(score, 3),
        confidence=round(confidence, 6),
        spam=found.own.spam_count,
        ham=found.own.ham_count,
        peers=found.peers,
        trusted=_is_trusted(how, score, confidence, settings),
    )


def _answer(name: str, domain: str, how: str, services: Services) -> Answer:
    """The answer from our own records and peers, or from the configured server; from our records if that is silent."""
    settings = services.settings[GossipSettings]
    patience = services.deadline.remaining() / 2  # the rest is for later checks
    node = node_of(services)
    if settings.server:
        own = node.query(name, domain, how, 0, deadline=services.deadline)
        said = node.ask([server_of(settings)], name, domain, how, settings.ttl, patience)
        return dataclasses.replace(own, opinion=said[0][1], peers=1) if said else own
    return node.query(name, domain, how, settings.ttl, patience=patience, deadline=services.deadline)


def asks_others(settings: GossipSettings) -> bool:
    """Whether an answer may have to come over the network."""
    return bool(settings.server or (settings.peers and settings.ttl))


def node_of(services: Services) -> Gossip:
    """The worker's own node, made once because it remembers silent peers."""
    store = services.store
    assert store is not None
    node = _nodes.get(store)
    if node is None:
        settings = services.settings[GossipSettings]
        write = None if services.read_only else functools.partial(services.write_later, reputation_vote)
        node = Gossip(
            Records(weakref.proxy(store)),  # weak, because the node is cached for as long as the store lives
            peers_of(settings),
            timeout=settings.timeout,
            clock=services.clock,
            write=write or _nothing,
        )
        _nodes[store] = node
    return node


def _nothing(row: dict[str, object]) -> None:
    pass


def reported(store: Store, ref: str, vote: int, now: float, deadline: Deadline | None = None) -> None:
    """Record a user's report on the message of this reference. Raises StoreError."""
    Records(store).report(ref, vote, now, deadline)
    if (node := _nodes.get(store)) is not None:
        node.forget()


def peers_of(settings: GossipSettings) -> list[Client]:
    return [Client(*split_address(name), key=settings.key) for name in settings.peers]


@functools.lru_cache(maxsize=4)
def server_of(settings: GossipSettings) -> Client:
    """The configured server's client, made once because it remembers when the server is silent."""
    return Client(*split_address(settings.server), key=settings.key)


def _is_trusted(how: str, score: float, confidence: float, settings: GossipSettings) -> bool:
    """Whether the domain is trusted. It must be authenticated: anybody can write a domain of good reputation into MAIL
    FROM.
    """
    if settings.trust_above is None or how not in PROVED or settings.mode is not Mode.ENFORCE:
        return False
    return score > settings.trust_above and confidence > settings.trust_confidence


def upkeep(services: Services) -> bool:
    """Fold the log into the rings and delete what is too old. True while more is left."""
    if services.store is None:
        return False
    settings, now = services.settings[GossipSettings], services.clock()
    more = Records(services.store).fold(now)
    if settings.server and settings.learn:
        _tell(services.store, server_of(settings), now)
    return more or _forget(services.store, settings, now)  # a vote must be folded before it is deleted


def _tell(store: Store, server: Client, now: float) -> None:
    """Send the outcomes of messages to the server, and again if a report corrected one. What cannot be sent now waits."""
    table = reputation_vote
    query = sa.select(table.c.umis, table.c.vote).where(
        table.c.told.is_(None),
        table.c.vote.is_not(None),
        table.c.asked_at > now - TELL,
        ~table.c.identity.endswith(f":{PEER}"),
    )
    with store.read() as connection:
        rows = connection.execute(query.order_by(table.c.asked_at).limit(SLICE)).all()
    for name, vote in rows:
        try:
            server.feedback(name, vote)
        except NoAnswer as error:
            log.warning("gossip: %s", for_log(str(error), 200))
            return
        with store.write() as transaction:
            transaction.execute(sa.update(table).where(table.c.umis == name).values(told=vote))


def _forget(store: Store, settings: GossipSettings, now: float) -> bool:
    """Delete a slice of what is too old. True while more is left."""
    # One query for each number of messages, because no index serves two ranges.
    rare = sa.and_(reputation.c.total.in_(range(RARE)), reputation.c.last_seen < now - settings.retain_rare)
    messages = store.delete_slice(reputation_vote, reputation_vote.c.asked_at < now - settings.retain_messages)
    old = store.delete_slice(reputation, reputation.c.last_seen < now - settings.retain)
    return messages + old + store.delete_slice(reputation, rare) > 0
