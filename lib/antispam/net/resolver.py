"""The resolver: all DNS queries of checks go through it.

It is a stub resolver: it asks recursive name servers, caches answers for as long as permitted, and lets threads with
the same question share one query. Names come from mail and are hostile: a look-up always returns an `Answer` or raises
`DNSTemporaryError`, nothing else.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import dns.exception
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdata
import dns.rdatatype

from antispam.deadline import Clock, Deadline
from antispam.memory import Memory
from antispam.net.addresses import ascii_domain
from antispam.net.all_at_once import exchange_all_over_network, one_after_another
from antispam.net.dns_answers import (
    Answer,
    DNSTemporaryError,
    Lookup,
    Question,
    RdType,
    Recorder,
    Status,
    explain,
    query,
    read,
)
from antispam.net.name_servers import (
    Exchange,
    NameServers,
    Server,
    exchange_over_network,
    parse_nameserver,
    system_nameservers,
)
from antispam.settings import option, section
from antispam.settings.values import duration, positive

__all__ = [
    "Answer",
    "DNSTemporaryError",
    "DnsSettings",
    "Lookup",
    "Question",
    "RdType",
    "Recorder",
    "Resolver",
    "Status",
    "parse_nameserver",
    "system_nameservers",
]

FAILURE_TTL = 5.0  # RFC 2308 section 7 allows five minutes; a broken zone should work again soon after its repair
FIRST_WAIT = 3  # the first query to a server gets the time-out divided by this
AHEAD = 32  # simultaneous queries made in advance
CACHE_UNIT = 512  # an answer counts as one more cache entry for each so many octets


@dataclass(frozen=True, slots=True)
class _Failure:
    reason: str


_Outcome = Answer | _Failure
_Key = Question


class _Cache:
    """Least recently used answers until they expire. Large answers count several times, so that memory is bounded too.
    Its caller holds the lock."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._weight = 0
        self._entries: OrderedDict[_Key, tuple[float, int, _Outcome]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: _Key, now: float) -> _Outcome | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry[0] <= now:
            self._remove(key)
            return None
        self._entries.move_to_end(key)
        return entry[2]

    def put(self, key: _Key, outcome: _Outcome, expires: float, octets: int) -> None:
        self._remove(key)
        weight = 1 + octets // CACHE_UNIT
        self._entries[key] = (expires, weight, outcome)
        self._weight += weight
        while self._weight > self._size:
            self._remove(next(iter(self._entries)))

    def _remove(self, key: _Key) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._weight -= entry[1]


class _Flight:
    """A query under way, and the threads waiting for its outcome. None: the asking thread ran out of its own time."""

    __slots__ = ("landed", "outcome")

    def __init__(self) -> None:
        self.landed = threading.Event()
        self.outcome: _Outcome | None = None


def _nameservers(servers: tuple[str, ...]) -> None:
    for server in servers:
        parse_nameserver(server)


@section("dns")
class DnsSettings:
    """[dns]: the resolver."""

    nameservers: tuple[str, ...] = option(
        (), "addresses of the name servers, with @port if it is not 53; empty uses /etc/resolv.conf"
    )
    timeout: float = option(3.0, "how long one query may take", parse=duration("s"), check=positive)
    cache: int = option(20_000, "how many answers one worker caches", check=positive)


class Resolver:
    """Looks names up, for all threads of a process.

    nameservers    recursive name servers in the order of preference, as address or address@port; if empty, those of
                   /etc/resolv.conf
    query_timeout  seconds to wait for one server before the next is asked
    rounds         number of passes through the servers while all are silent
    cache_size     entries kept; an answer counts once more for every 512 octets
    asked          called for each query with whether it was answered
    """

    def __init__(
        self,
        nameservers: Sequence[str] = (),
        port: int = 53,
        *,
        query_timeout: float = 3.0,
        rounds: int = 2,
        cache_size: int = 20_000,
        clock: Clock = time.monotonic,
        exchange: Exchange = exchange_over_network,
        asked: Callable[[bool], None] = lambda well: None,
    ) -> None:
        """Raises ValueError if a name server is not an IP address."""
        servers = [parse_nameserver(server, port) for server in nameservers or system_nameservers()]
        self._servers = NameServers(list(dict.fromkeys(servers)), exchange, clock)
        self._query_timeout = query_timeout
        self._rounds = rounds
        self._clock = clock
        self._exchange = exchange
        self._asked = asked
        together = exchange is exchange_over_network
        self._exchange_all = exchange_all_over_network if together else one_after_another(exchange)
        self._lock = threading.Lock()
        self._cache = _Cache(cache_size)
        self._flights: dict[_Key, _Flight] = {}
        self._ahead = concurrent.futures.ThreadPoolExecutor(AHEAD, thread_name_prefix="dns-ahead")
        self._room_ahead = threading.BoundedSemaphore(AHEAD)
        self.conclusions = Memory(cache_size)
        self.now = clock

    @classmethod
    def from_settings(cls, settings: DnsSettings, asked: Callable[[bool], None] = lambda well: None) -> Resolver:
        """A resolver with the settings of [dns]. Raises ValueError if a name server is not an IP address."""
        return cls(settings.nameservers, query_timeout=settings.timeout, cache_size=settings.cache, asked=asked)

    def lookup(self, name: str, rdtype: RdType, deadline: Deadline) -> Answer:
        """The answer for `name`, which may have U-labels and any hostile text.

        Raises DNSTemporaryError if that cannot be known now or before `deadline`."""
        key = (name, rdtype)
        with self._lock:
            outcome = self._cache.get(key, self._clock())
        if outcome is None:
            wire_name = ascii_domain(name)
            if wire_name is None:
                return Answer(name, rdtype, Status.INVALID_NAME, expires=math.inf)
            outcome = self._ask_once((wire_name, rdtype), deadline)
        if isinstance(outcome, _Failure):
            raise DNSTemporaryError(outcome.reason)
        return outcome

    def lookup_all(self, questions: Iterable[Question], deadline: Deadline) -> dict[Question, Answer]:
        """The answers to these questions, in the time of the slowest one. Those not known before `deadline` are left out; after
        the deadline, only cached answers are returned."""
        found: dict[Question, _Outcome] = {}
        asked: dict[_Key, list[Question]] = {}
        with self._lock:
            now = self._clock()
            for question in dict.fromkeys(questions):
                outcome = self._cache.get(question, now)
                if outcome is not None:
                    found[question] = outcome
                elif (name := ascii_domain(question[0])) is None:
                    found[question] = Answer(*question, Status.INVALID_NAME, expires=math.inf)
                else:
                    asked.setdefault((name, question[1]), []).append(question)
        for key, outcome in self._ask_all_once(list(asked), deadline).items() if asked else ():
            found |= dict.fromkeys(asked[key], outcome)
        return {question: outcome for question, outcome in found.items() if isinstance(outcome, Answer)}

    def ask_all_ahead(self, questions: Sequence[Question], deadline: Deadline) -> None:
        """Look the questions up in a thread of the resolver, so that the answers are cached, or under way, when they are
        needed. Does nothing if too many queries are running already."""
        with self._lock:
            now = self._clock()
            left = [question for question in questions if self._cache.get(question, now) is None]
        if left and self._room_ahead.acquire(blocking=False):
            done = self._ahead.submit(self.lookup_all, left, deadline)
            done.add_done_callback(lambda _: self._room_ahead.release())

    def ask_ahead(self, name: str, rdtype: RdType, deadline: Deadline, then: Callable[[Answer], None]) -> None:
        """Look a name up in a thread of the resolver, so that the answer is cached, or under way, when it is needed. `then` is
        called with the answer, if there is one. Does nothing if too many queries are running already."""
        with self._lock:
            outcome = self._cache.get((name, rdtype), self._clock())
        if isinstance(outcome, Answer):
            then(outcome)
        elif outcome is None and self._room_ahead.acquire(blocking=False):
            self._ahead.submit(self._look_ahead, name, rdtype, deadline, then)

    def _look_ahead(self, name: str, rdtype: RdType, deadline: Deadline, then: Callable[[Answer], None]) -> None:
        try:
            answer = self.lookup(name, rdtype, deadline)
        except DNSTemporaryError:
            return
        finally:
            self._room_ahead.release()
        then(answer)

    def _ask_once(self, key: _Key, deadline: Deadline) -> _Outcome:
        """The outcome from the cache, from another thread's query, or from our own query."""
        while not deadline.expired:
            with self._lock:
                outcome = self._cache.get(key, self._clock())
                if outcome is not None:
                    return outcome
                flight = self._flights.get(key)
                if flight is None:
                    own = self._flights[key] = _Flight()
                    break
            flight.landed.wait(deadline.remaining())
            if flight.outcome is not None:
                return flight.outcome
        else:
            return _Failure(f"no time left to ask for {key[1]} {key[0]}")
        try:
            own.outcome = self._ask(key, deadline)
            self._asked(isinstance(own.outcome, Answer))
        finally:
            with self._lock:
                del self._flights[key]
            own.landed.set()
        return own.outcome or _Failure(f"no answer in time for {key[1]} {key[0]}")

    def _ask_all_once(self, keys: list[_Key], deadline: Deadline) -> dict[_Key, _Outcome]:
        """The outcomes of many questions: those not under way are asked together, the others are awaited."""
        found: dict[_Key, _Outcome] = {}
        own: dict[_Key, _Flight] = {}
        others: dict[_Key, _Flight] = {}
        with self._lock:
            for key in keys:
                outcome = self._cache.get(key, self._clock())
                if outcome is not None:
                    found[key] = outcome
                elif key in self._flights:
                    others[key] = self._flights[key]
                elif not deadline.expired:  # otherwise others would wait for ever
                    own[key] = self._flights[key] = _Flight()
        try:
            for key, outcome in self._ask_all(list(own), deadline).items():
                found[key] = own[key].outcome = outcome
        finally:
            with self._lock:
                for key in own:
                    del self._flights[key]
            for flight in own.values():
                flight.landed.set()
                self._asked(isinstance(flight.outcome, Answer))
        for key, flight in others.items():
            flight.landed.wait(deadline.remaining())
            if flight.outcome is not None:
                found[key] = flight.outcome
        return found

    def _ask_all(self, keys: list[_Key], deadline: Deadline) -> dict[_Key, _Outcome]:
        """Ask the servers in turn, with all remaining questions at once. Those without an outcome met the deadline."""
        servers = self._servers.for_a_question(deadline.remaining()) if keys else []
        found: dict[_Key, _Outcome] = {}
        left, began = keys, self._clock()
        refused = dict.fromkeys(keys, 0)  # number of servers
        waits = [self._query_timeout / FIRST_WAIT] + [self._query_timeout] * (self._rounds - 1)
        for timeout, server in ((timeout, server) for timeout in waits for server in servers):
            if deadline.expired or not left:
                break
            responses = self._exchange_all([query(*key) for key in left], *server, min(timeout, deadline.remaining()))
            for key, response in zip(left, responses, strict=True):
                if response is not None:
                    found[key] = self._judged(key, response, server)
                    refused[key] += 1
            left = [key for key in left if not isinstance(found.get(key), Answer) and refused[key] < len(servers)]
        if servers and left and not found and self._clock() - began >= waits[0]:
            self._servers.lost(servers[0], deadline.remaining())
        for key in keys:
            if isinstance(found.get(key), Answer):
                continue
            if key in found or not deadline.expired:
                silent = _Failure(f"no answer for {key[1]} {key[0]}")
                found[key] = self._remember(key, found.get(key, silent), FAILURE_TTL)
        return found

    def _judged(self, key: _Key, response: dns.message.Message, server: Server) -> _Outcome:
        """The outcome of a response. An answer is cached."""
        outcome, _ = self._read(key, response, server)
        return self._remember(key, outcome, outcome.expires - self._clock()) if isinstance(outcome, Answer) else outcome

    def _ask(self, key: _Key, deadline: Deadline) -> _Outcome | None:
        """Ask the servers in turn and remember the outcome. None if the deadline, not the servers, was the limit."""
        servers = self._servers.for_a_question(deadline.remaining())
        if not servers:
            return _Failure(f"time-out for {key[1]} {key[0]}: the name servers are silent")
        waited = dict.fromkeys(servers, 0.0)  # for servers that have not responded yet
        # Packets get lost: after a short first wait the query is repeated.
        waits = [self._query_timeout / FIRST_WAIT] + [self._query_timeout] * (self._rounds - 1)
        for timeout, server in ((timeout, server) for timeout in waits for server in servers):
            if deadline.expired:
                break
            began = self._clock()
            outcome, silent = self._try(key, server, min(timeout, deadline.remaining()))
            if isinstance(outcome, Answer):
                return self._remember(key, outcome, outcome.expires - self._clock())
            if not silent:
                waited.pop(server, None)
            elif server in waited:
                waited[server] += self._clock() - began
            if server == servers[-1] and not waited:
                break  # all responded, without an answer
        for server in (server for server, seconds in waited.items() if seconds >= waits[0]):
            self._servers.lost(server, deadline.remaining())
        return None if deadline.expired else self._remember(key, outcome, FAILURE_TTL)

    def _try(self, key: _Key, server: Server, timeout: float) -> tuple[_Outcome, bool]:
        """The outcome from one server, and whether it was silent."""
        name, rdtype = key
        try:
            response = self._exchange(query(name, rdtype), *server, timeout)
        except (OSError, EOFError, dns.exception.DNSException) as error:
            return _Failure(f"{explain(error)} for {rdtype} {name}"), True
        return self._read(key, response, server)

    def _read(self, key: _Key, response: dns.message.Message, server: Server) -> tuple[_Outcome, bool]:
        """The outcome of a response, and whether it counts as silence."""
        name, rdtype = key
        try:
            if response.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
                self._servers.answered(server, well=False)
                return _Failure(f"{dns.rcode.to_text(response.rcode())} for {rdtype} {name}"), False
            answer, ttl = read(response, name, rdtype)
        except (OSError, EOFError, dns.exception.DNSException) as error:
            return _Failure(f"{explain(error)} for {rdtype} {name}"), True
        self._servers.answered(server, well=True)
        return dataclasses.replace(answer, expires=self._clock() + ttl), False

    def _remember(self, key: _Key, outcome: _Outcome, ttl: float) -> _Outcome:
        with self._lock:
            self._cache.put(key, outcome, self._clock() + ttl, _octets(outcome))
        return outcome


def _octets(outcome: _Outcome) -> int:
    if isinstance(outcome, _Failure):
        return 0
    names = sum(map(len, outcome.names)) + sum(len(host) + 2 for _, host in outcome.exchanges)
    return sum(map(len, outcome.texts)) + sum(map(len, outcome.addresses)) + names
