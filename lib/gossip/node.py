"""A node: it answers from what it remembers and from what its peers say."""

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

LEAST = 0.01  # seconds: in less nobody answers, and silence would count against it
# Seconds for which what the database said is believed, as of the lists: a busy domain is asked about all the time, and of one
# whose votes are still in the log each answer reads them all.
REMEMBERED = 5.0
_RECENT = 10_000  # messages of which it is known that they were asked about


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What a node thinks of an identity.

    own      what it remembers itself
    peers    how many peers had a say
    """

    opinion: Opinion
    own: Observations
    peers: int = 0


class Gossip:
    """One a process, safe from any thread. What the database can't do raises its own exception.

    peers    nodes that are asked what they think
    timeout  seconds in which they have to answer, all of them together
    write    takes a row of the log; at once into the database unless told otherwise
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
        """What is known of an identity. Peers are asked for `ttl` more hops, but of each message once only, whoever asks: a
        circle of peers ends where it began, and the one who closes it hears no opinion a second time.

        asker     the address of the node that asks, "" for our own program
        patience  seconds that the peers may take, if less than `timeout`
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
        """What is remembered of an identity, REMEMBERED seconds old at most; votes of this process are in it at once."""
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
        """What became of a message, which was asked about at that time, is being written down: it counts from now on."""
        with self._lock:
            if name in self._known:
                _, known = self._known[name]
                if not known.total and asked_at is not None:
                    known.first_seen = asked_at
                known.add(vote, self._clock())

    def forget(self) -> None:
        """Something was corrected in the database: ask it anew."""
        with self._lock:
            self._known.clear()

    def _first_asker(self, umis: str, asker: str) -> str | None:
        """Who asked about that message before; None where nobody has."""
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
        """What these nodes say, asked at the same time; those that don't answer have no say. A name server that never answers
        costs a thread of the pool, not the caller."""
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
        """Made when it is needed: most nodes have no peers, and a fork must not come after it."""
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
        """Remember which identity a message is of, for whoever will vote on it."""
        self._write(vote_row(umis, identity(id, qual), self._clock()))

    def feedback(self, umis: str, vote: int) -> bool:
        """Whether the message is known."""
        known = self._records.feedback(umis, vote, self._clock())
        self.forget()
        return known

    def reset(self, id: str, qual: str) -> bool:
        """Whether anything was known."""
        known = self._records.reset(identity(id, qual))
        self.forget()
        return known

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)


def _is(peer: Client, address: str) -> bool:
    """Whether the peer is at that address. On this machine a program is not known by its address."""
    if not address or ipaddress.ip_address(address).is_loopback:
        return False
    return address == peer.host or address in peer.addresses
