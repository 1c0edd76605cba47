"""Parallel DNS queries: all questions are sent before the first answer is awaited."""

from __future__ import annotations

import contextlib
import random
import socket
import time
from collections.abc import Callable, Sequence

import dns.exception
import dns.flags
import dns.message
import dns.query

from antispam.net.name_servers import Exchange

ExchangeAll = Callable[[Sequence[dns.message.Message], str, int, float], list[dns.message.Message | None]]
"""Sends queries to (server address, port) and returns their responses, in the order of the queries, within a number of
seconds; None for unanswered ones. Never raises.
"""

_LARGEST = 65535  # octets of a datagram


def exchange_all_over_network(
    queries: Sequence[dns.message.Message], server: str, port: int, timeout: float
) -> list[dns.message.Message | None]:
    """Ask by UDP, from one random port and with a random ID for each query. Responses that match no query (forged ones)
    are ignored; truncated ones are asked again by TCP.
    """
    ends = time.monotonic() + timeout
    for query, number in zip(queries, random.SystemRandom().sample(range(1 << 16), len(queries)), strict=True):
        query.id = number
    found: list[dns.message.Message | None] = [None] * len(queries)
    with contextlib.suppress(OSError), _connected(server, port) as wire:
        for query in queries:
            wire.send(query.to_wire())
        waiting = {query.id: place for place, query in enumerate(queries)}
        while waiting and (left := ends - time.monotonic()) > 0:
            wire.settimeout(left)
            response = _response(wire.recv(_LARGEST), queries, waiting)
            if response is not None:
                found[waiting.pop(response.id)] = response
    for place, response in enumerate(found):
        if response is not None and response.flags & dns.flags.TC:
            found[place] = _by_tcp(queries[place], server, port, ends)
    return found


def _connected(server: str, port: int) -> socket.socket:
    """A socket that receives from this server only."""
    wire = socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        wire.connect((server, port))
    except OSError:
        wire.close()
        raise
    return wire


def _response(
    raw: bytes, queries: Sequence[dns.message.Message], waiting: dict[int, int]
) -> dns.message.Message | None:
    """The response in a datagram, if it answers a waiting query."""
    place = waiting.get(int.from_bytes(raw[:2], "big"))
    if place is None:
        return None
    try:
        response = dns.message.from_wire(raw, ignore_trailing=True)
    except (dns.exception.DNSException, ValueError):
        return None
    return response if queries[place].is_response(response) else None


def _by_tcp(query: dns.message.Message, server: str, port: int, ends: float) -> dns.message.Message | None:
    try:
        return dns.query.tcp(query, server, max(0.001, ends - time.monotonic()), port)
    except (OSError, EOFError, dns.exception.DNSException):
        return None


def one_after_another(exchange: Exchange) -> ExchangeAll:
    """An ExchangeAll made from an exchange of single queries."""

    def exchange_all(
        queries: Sequence[dns.message.Message], server: str, port: int, timeout: float
    ) -> list[dns.message.Message | None]:
        found: list[dns.message.Message | None] = []
        for query in queries:
            try:
                found.append(exchange(query, server, port, timeout))
            except (OSError, EOFError, dns.exception.DNSException):
                found.append(None)
        return found

    return exchange_all
