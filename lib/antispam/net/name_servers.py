"""The name servers and the order in which they are asked."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import dns.exception
import dns.message
import dns.name
import dns.query

from antispam.deadline import Clock

SILENT = 5.0  # seconds that a silent server is skipped, except for one caller that tests it
LOST = 3  # consecutive unanswered questions after which a server is suspected
PROBE = 1.0  # seconds for a suspected server to respond

Server = tuple[str, int]
"""Address and port."""

Exchange = Callable[[dns.message.Message, str, int, float], dns.message.Message]
"""Sends a query to (server address, port) and returns the response within a number of seconds. Raises OSError, EOFError
or dns.exception.DNSException."""


def exchange_over_network(query: dns.message.Message, server: str, port: int, timeout: float) -> dns.message.Message:
    """Ask by UDP from a random port, and again by TCP if the answer is truncated. Responses that do not match the
    question (forged ones) are ignored until the time is over.
    """
    ends = time.monotonic() + timeout
    try:
        return dns.query.udp(
            query, server, timeout, port, ignore_unexpected=True, ignore_errors=True, raise_on_truncation=True
        )
    except dns.message.Truncated:
        return dns.query.tcp(query, server, max(0.001, ends - time.monotonic()), port)


def system_nameservers(resolv_conf: Path = Path("/etc/resolv.conf")) -> tuple[str, ...]:
    """The machine's name servers; 127.0.0.1 if it names none, as in the C library (resolv.conf(5))."""
    try:
        lines = resolv_conf.read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    words = (line.split() for line in lines)
    servers = [word[1] for word in words if len(word) > 1 and word[0] == "nameserver" and _is_address(word[1])]
    return tuple(servers[:3]) or ("127.0.0.1",)


def parse_nameserver(text: str, port: int = 53) -> tuple[str, int]:
    """Address and port of `address` or `address@port`. Raises ValueError with a sentence that says what is expected."""
    address, at, digits = text.partition("@")
    if not _is_address(address) or (at and not (digits.isascii() and digits.isdecimal() and 0 < int(digits) < 65536)):
        raise ValueError(f"{text!r} is not a name server: expected an IP address, or address@port")
    return address, int(digits) if at else port


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


class NameServers:
    """The order of the servers: the one that answered last comes first, and silent ones are skipped.

    Several unanswered questions in a row may be due to a sender whose own name servers are silent. So the suspected
    server is asked about the root, which every server can answer at once.

    ask    sends a query to a server
    clock  monotonic seconds
    """

    def __init__(self, servers: Sequence[Server], ask: Exchange, clock: Clock) -> None:
        self._servers = tuple(servers)
        self._ask = ask
        self._clock = clock
        self._lock = threading.Lock()
        self._preferred = 0
        self._lost = [0] * len(self._servers)  # consecutive unanswered questions
        self._silent_until = [0.0] * len(self._servers)

    def for_a_question(self, seconds: float) -> list[Server]:
        """The servers to ask now, best first; none if all are silent. A silent server whose pause is over is first
        tested, by one caller and for at most `seconds`.
        """
        with self._lock:
            count = len(self._servers)
            order = [(self._preferred + offset) % count for offset in range(count)]
            ready = [index for index in order if self._silent_until[index] == 0]
            due = [index for index in order if 0 < self._silent_until[index] <= self._clock()]
            for index in due:
                self._silent_until[index] = self._clock() + SILENT
        return [self._servers[index] for index in ready or due if index in ready or self._speaks(index, seconds)]

    def answered(self, server: Server, *, well: bool) -> None:
        """Record that a server responded; `well` if that was an answer, so that it is asked first from now on."""
        index = self._servers.index(server)
        with self._lock:
            self._lost[index], self._silent_until[index] = 0, 0.0
            if well:
                self._preferred = index

    def lost(self, server: Server, seconds: float) -> None:
        """Record an unanswered question. May take `seconds` to find out whether that is the server's fault."""
        index = self._servers.index(server)
        with self._lock:
            self._lost[index] += 1
            suspect = self._lost[index] >= LOST
        if suspect and not self._speaks(index, seconds):
            with self._lock:
                self._silent_until[index] = self._clock() + SILENT

    def _speaks(self, index: int, seconds: float) -> bool:
        """Whether the server responds at all, even with an error."""
        try:
            self._ask(dns.message.make_query(dns.name.root, "NS"), *self._servers[index], min(PROBE, seconds))
        except (OSError, EOFError, dns.exception.DNSException):
            return False
        self.answered(self._servers[index], well=False)
        return True
