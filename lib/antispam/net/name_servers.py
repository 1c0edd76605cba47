"""The name servers that are asked, and how."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable
from pathlib import Path

import dns.message
import dns.query

Exchange = Callable[[dns.message.Message, str, int, float], dns.message.Message]
"""Sends a query to (server address, port) and returns the response within a number of seconds. Raises OSError, EOFError
or dns.exception.DNSException."""


def exchange_over_network(query: dns.message.Message, server: str, port: int, timeout: float) -> dns.message.Message:
    """Ask by UDP from a random port, and again by TCP where the answer is truncated. What does not fit the question (a
    forged answer) is ignored until the time is over."""
    ends = time.monotonic() + timeout
    try:
        return dns.query.udp(
            query, server, timeout, port, ignore_unexpected=True, ignore_errors=True, raise_on_truncation=True
        )
    except dns.message.Truncated:
        return dns.query.tcp(query, server, max(0.001, ends - time.monotonic()), port)


def system_nameservers(resolv_conf: Path = Path("/etc/resolv.conf")) -> tuple[str, ...]:
    """The name servers that the machine uses; 127.0.0.1 where it names none, as the C library does (resolv.conf(5))."""
    try:
        lines = resolv_conf.read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    words = (line.split() for line in lines)
    servers = [word[1] for word in words if len(word) > 1 and word[0] == "nameserver" and _is_address(word[1])]
    return tuple(servers[:3]) or ("127.0.0.1",)


def parse_nameserver(text: str, port: int = 53) -> tuple[str, int]:
    """Address and port of `address` or `address@port`. Raises ValueError with a sentence that says what would be right."""
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
