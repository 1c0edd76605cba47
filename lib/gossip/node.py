"""A node: it answers from its own records and from the answers of its peers."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from gossip.client import Client, NoAnswer
from gossip.names import umis as name_of
from gossip.observations import Observations, Opinion, aggregate, agreement, weighed
from gossip.protocol import MAX_TTL
from gossip.records import PEER, Records, identity, vote_row

LEAST = 0.01  # seconds; with less time no peer can answer, and its silence would count as a failure
# Seconds for which an answer of the database is reused, as with the lists. A busy domain is looked up all the time, and as
# long as its votes are in the log each look-up reads all of them.
REMEMBERED = 5.0
_RECENT = 10_000  # messages that are remembered as asked about


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """A node's opinion of an identity.

    own      the node's own observations
    peers    how many peers contributed
    """

    opinion: Opinion
    own: Observations
    peers: int = 0


class Gossip:
    """The node of this process. Thread-safe. Errors of the database are raised as they are.

    peers    nodes that are asked for their opinion
    timeout  seconds in which all of them together have to answer
    write    takes a row of the log; by default it is inserted at once
    """

    def __init__(
        self,
        records: Records,
        peers: Sequence[Client] = (),
        *,
        timeout: float = 2.0,
        clock: Callable[[], float] = time.time,
        write: Callable[[dict[str, object]], None] | None = None,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._records = records
        self._peers = tuple(peers)
        self._timeout = timeout
        self._clock = clock
        self._write = write or records.note
        self._ticks = ticks
        self._recent: OrderedDict[str, str] = OrderedDict()
        self._known: OrderedDict[str, tuple[float, Observations]] = OrderedDict()
        self._lock = threading.Lock()
        self._pool: concurrent.futures.ThreadPoolExecutor | None = None

    def query(
        self, umis: str, id: str, qual: str, ttl: int = 1, *, asker: str = "", patience: float | None = None,
        deadline: Any = None,
    ) -> Answer:  # fmt: skip
        """What is known about an identity. Peers are asked for `ttl` more hops, but only once for each message, whoever asks:
        this stops loops among peers, and no opinion is counted twice.

        asker     the address of the node that asks; "" for our own program
        patience  seconds that the peers may take, if that is less than `timeout`
        """
        own = self._observed(identity(id, qual), deadline)
        opinion = own.reputation, own.confidence(self._clock())
        first = self._first_asker(umis, asker)
        if first is not None:
            return Answer(opinion if first == asker else (0.0, 0.0), own)
        peers = [one for one in self._peers if not _is(one, asker)] if ttl > 0 else []
        said = self.ask(peers, umis, id, qual, min(ttl, MAX_TTL) - 1, patience) if peers else []
        if not said:
            return Answer(opinion, own)
        heard = [weighed(theirs, self._standing(peer, deadline)) for peer, theirs in said]
        for peer, theirs in said:
            self._remember(peer, umis, agreement(opinion, theirs))
        return Answer(aggregate([opinion, *heard]), own, len(said))

    def _observed(self, name: str, deadline: Any) -> Observations:
        """The observations of an identity, at most REMEMBERED seconds old. Votes of this process are included at once."""
        with self._lock:
            until, known = self._known.get(name, (0.0, None))
            if known is not None and self._ticks() < until:
                return dataclasses.replace(known)
        found = self._records.get(name, deadline) or Observations()
        with self._lock:
            self._known[name] = self._ticks() + REMEMBERED, dataclasses.replace(found)
            if len(self._known) > _RECENT:
                self._known.popitem(last=False)
        return found

    def voted(self, name: str, vote: int, asked_at: float | None = None) -> None:
        """Count the verdict on a message that was asked about at that time; it is being written to the database."""
        with self._lock:
            if name in self._known:
                _, known = self._known[name]
                if not known.total and asked_at is not None:
                    known.first_seen = asked_at
                known.add(vote, self._clock())

    def forget(self) -> None:
        """Drop what is cached: the database was corrected."""
        with self._lock:
            self._known.clear()

    def _first_asker(self, umis: str, asker: str) -> str | None:
        """The first node that asked about the message, or None."""
        with self._lock:
            first = self._recent.get(umis)
            if first is None:
                self._recent[umis] = asker
                if len(self._recent) > _RECENT:
                    self._recent.popitem(last=False)
            return first

    def ask(
        self, peers: Iterable[Client], umis: str, id: str, qual: str, ttl: int, patience: float | None
    ) -> list[tuple[Client, Opinion]]:
        """The opinions of these nodes, which are asked in parallel. A node that does not answer is left out. A name server that
        never answers blocks a thread of the pool, not the caller."""
        seconds = self._timeout if patience is None else min(self._timeout, patience)
        awake = [peer for peer in peers if not peer.resting]
        if not awake or seconds < LEAST:
            return []
        asked = {self._workers().submit(one.query, umis, id, qual, ttl, timeout=seconds): one for one in awake}
        done, late = concurrent.futures.wait(asked, timeout=seconds)
        for one in late:
            one.cancel()
        said = []
        for future in (one for one in asked if one in done):
            try:
                said.append((asked[future], future.result()))
            except NoAnswer:
                continue
        return said

    def _workers(self) -> concurrent.futures.ThreadPoolExecutor:
        """The pool, made on first use: most nodes have no peers, and no fork may follow its creation."""
        with self._lock:
            if self._pool is None:
                self._pool = concurrent.futures.ThreadPoolExecutor(4 * max(1, len(self._peers)), "gossip")
            return self._pool

    def _standing(self, peer: Client, deadline: Any) -> float:
        return self._observed(identity(peer.name, PEER), deadline).reputation

    def _remember(self, peer: Client, umis: str, vote: int) -> None:
        name = identity(peer.name, PEER)
        self._write(vote_row(name_of(umis, peer.name), name, self._clock(), vote=vote))
        self.voted(name, vote)

    def note(self, umis: str, id: str, qual: str) -> None:
        """Remember the identity of a message, for a later vote."""
        self._write(vote_row(umis, identity(id, qual), self._clock()))

    def feedback(self, umis: str, vote: int) -> bool:
        """Record a verdict. Returns whether the message is known."""
        known = self._records.feedback(umis, vote, self._clock())
        self.forget()
        return known

    def reset(self, id: str, qual: str) -> bool:
        """Forget an identity. Returns whether anything was known."""
        known = self._records.reset(identity(id, qual))
        self.forget()
        return known

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)


def _is(peer: Client, address: str) -> bool:
    """Whether the peer is at that address. Programs on this machine cannot be told apart by address."""
    if not address or ipaddress.ip_address(address).is_loopback:
        return False
    return address == peer.host or address in peer.addresses
