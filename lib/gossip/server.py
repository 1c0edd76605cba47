"""A server that answers other nodes. Anybody may connect and send anything, so everything is bounded."""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import logging
import socket
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Protocol

from gossip.node import Answer
from gossip.protocol import LONGEST, BadLine, Feedback, Query, Request, Reset, read_request, write_answer

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """What a client may use.

    connections  simultaneous connections in total
    per_client   simultaneous connections from one address (IPv6: one /64)
    line         seconds within which a whole line must arrive
    lifetime     seconds that a connection may last
    rate         requests from one address per minute
    """

    connections: int = 64
    per_client: int = 8
    line: float = 10.0
    lifetime: float = 300.0
    rate: int = 1200


class Node(Protocol):
    """The interface of a node that the server asks. gossip.node.Gossip implements it."""

    def query(self, umis: str, id: str, qual: str, ttl: int = 1, *, asker: str = "") -> Answer: ...
    def note(self, umis: str, id: str, qual: str) -> None: ...
    def feedback(self, umis: str, vote: int) -> bool: ...
    def reset(self, id: str, qual: str) -> bool: ...


class Rates:
    """The requests of each client in the last minute, in bounded memory."""

    _CLIENTS = 10_000

    def __init__(self, rate: int, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._clock = clock
        self._used: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._lock = threading.Lock()

    def allow(self, client: str) -> bool:
        """Count a request. Returns whether it is within the limit."""
        with self._lock:
            began, used = self._used.pop(client, (self._clock(), 0))
            if self._clock() - began >= 60.0:
                began, used = self._clock(), 0
            self._used[client] = began, used + 1
            if len(self._used) > self._CLIENTS:
                self._used.popitem(last=False)
            return used < self._rate


class Server:
    """Listens as soon as it is made; serve() answers until close() is called.

    admits   tells whether an address may ask
    key      clients that prove to know it may also vote and reset, as programs on this machine may
    rejects  tells whether an opinion is answered with REJECT
    failed   exceptions of the node (those of the database) after which only this answer is missing
    """

    def __init__(
        self,
        node: Node,
        listening: socket.socket,
        *,
        admits: Callable[[str], bool],
        key: str = "",
        rejects: Callable[[float, float], bool] = lambda reputation, confidence: False,
        failed: tuple[type[Exception], ...] = (),
        limits: Limits = Limits(),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._node = node
        self._listening = listening
        self._admits = admits
        self._key = key
        self._rejects = rejects
        self._failed = failed
        self._limits = limits
        self._clock = clock
        self._rates = Rates(limits.rate, time.monotonic)
        self._open: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._closing = False

    @property
    def port(self) -> int:
        return int(self._listening.getsockname()[1])

    def serve(self) -> None:
        """Accept until close() is called."""
        while not self._closing:
            try:
                connection, address = self._listening.accept()
            except OSError as error:
                if not self._closing:
                    log.error("gossip: cannot accept: %s", error)
                    time.sleep(0.5)  # no descriptors left, for example
                continue
            client = _plain(str(address[0]))
            if self._enter(client):
                threading.Thread(target=self._talk, args=(connection, client), daemon=True).start()
            else:
                connection.close()

    def close(self) -> None:
        self._closing = True
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _enter(self, client: str) -> bool:
        if not self._admits(client):
            return False
        group = _group(client)
        with self._lock:
            if self._open.total() >= self._limits.connections or self._open[group] >= self._limits.per_client:
                return False
            self._open[group] += 1
        return True

    def _talk(self, connection: socket.socket, client: str) -> None:
        try:
            with connection:
                self._answer_all(connection, client)
        except (OSError, BadLine) as error:
            log.info("gossip: %s: %s", client, str(error)[:200])
        except self._failed as error:
            log.error("gossip: the database: %s", str(error)[:200])
        finally:
            with self._lock:
                self._open[_group(client)] -= 1
                self._open += Counter()  # counts of zero are dropped

    def _answer_all(self, connection: socket.socket, client: str) -> None:
        """Answer line after line. Raises OSError if the client disconnects or is too slow, BadLine if a line is invalid."""
        ends = time.monotonic() + self._limits.lifetime
        rest = b""
        while (found := _line(connection, rest, min(ends, time.monotonic() + self._limits.line))) is not None:
            line, rest = found
            if not line:
                continue
            if not self._rates.allow(_group(client)):
                raise BadLine("too many requests within a minute")
            answer = self._answer(line, client)
            connection.settimeout(self._limits.line)
            connection.sendall(answer.encode() + b"\n\n")

    def _answer(self, line: str, client: str) -> str:
        request, proved = read_request(line, self._key, self._clock())
        known = proved or ipaddress.ip_address(client).is_loopback
        if isinstance(request, Query):
            answer = self._node.query(request.umis, request.id, request.qualifier, request.ttl, asker=client)
            if known:
                self._node.note(request.umis, request.id, request.qualifier)
            return write_answer(request.umis, answer.opinion, reject=self._rejects(*answer.opinion))
        if not known:
            raise BadLine("only programs on this machine, and those with the key, may vote or reset")
        self._execute(request)
        return ""

    def _execute(self, request: Request) -> None:
        match request:
            case Feedback(umis, vote):
                self._node.feedback(umis, vote)
            case Reset(id, qualifier):
                self._node.reset(id, qualifier)


def _line(connection: socket.socket, received: bytes, ends: float) -> tuple[str, bytes] | None:
    """The next line, and the octets after it; None at the end of the connection. Raises OSError, BadLine."""
    while b"\n" not in received:
        if len(received) > LONGEST:
            raise BadLine("a line that does not end")
        left = ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("too slow")
        connection.settimeout(left)
        more = connection.recv(LONGEST)
        if not more:
            return None
        received += more
    line, _, rest = received.partition(b"\n")
    if len(line) > LONGEST:
        raise BadLine("a line that is too long")
    return line.strip().decode("ascii", "replace"), rest


def _plain(address: str) -> str:
    """The address without its zone. An IPv4-mapped address becomes the IPv4 address."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)


def _group(client: str) -> str:
    address = ipaddress.ip_address(client)
    return client if address.version == 4 else str(ipaddress.ip_network((address, 64), strict=False))


def listen(host: str, port: int, *, backlog: int = 64) -> socket.socket:
    """A listening socket. Another process of the same user may open the same address, to take over. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind((host, port))
        listening.listen(backlog)
    except OSError:
        listening.close()
        raise
    return listening
