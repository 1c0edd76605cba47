"""Tell the host names that providers give to whole ranges of addresses from names that someone chose."""

from __future__ import annotations

import ipaddress
import re
from itertools import pairwise

_JOINED_NUMBERS = re.compile(r"\d{1,3}(?:[-._]\d{1,3})+")
_DIGITS = re.compile(r"\d+")
_MAC = re.compile(r"h[0-9a-f]{12}\.", re.IGNORECASE)  # the modem's hardware address
_ACCESS_NETWORK = re.compile(r"\.(?:adsl|cable)\.|no-reverse|-ppp\d*\.|xdsl-\d|-\d+-\d+\.", re.IGNORECASE)
_CUSTOMER = re.compile(r"(?:^|user|cust|[0-9a-f]-|ppp[^.]*|\bp|\bh)0*(\d{1,3})(?:\.|\.pool)", re.IGNORECASE)
_MAX_NAME = 255  # RFC 1035 2.3.4


def is_dynip(host: str, addr: str) -> bool:
    """Return True if ``host`` looks generated from the address ``addr``, as the names of dynamic addresses are.

    ``host`` is the name from the reverse look-up, or the address in brackets if there is none, which counts as
    dynamic. It is a judgement by looks: a server behind a generated name is not told from a home connection.

    >>> is_dynip('mail.example.com', '192.0.2.99')
    False
    >>> is_dynip('dsl-192-0-2-99.provider.example', '192.0.2.99')
    True
    >>> is_dynip('99.2.0.192.provider.example', '192.0.2.99')
    True
    >>> is_dynip('[192.0.2.99]', '192.0.2.99')
    True
    """
    if not host or len(host) > _MAX_NAME:
        return False
    if host.startswith("[") or _MAC.search(host) or _ACCESS_NETWORK.search(host):
        return True
    try:
        octets = list(ipaddress.IPv4Address(addr).packed)
    except ValueError:
        return False
    return _shows_octets(host, octets) or _shows_address_in_one_word(host, octets) or _numbers_customer(host, octets)


def _shows_octets(host: str, octets: list[int]) -> bool:
    """Two neighbouring octets of the address, forwards or backwards, stand next to each other in the name."""
    neighbours = {pair for order in (octets, octets[::-1]) for pair in pairwise(order)}
    return any(
        pair in neighbours
        for run in _JOINED_NUMBERS.findall(host)
        for pair in pairwise([int(number) for number in _DIGITS.findall(run)])
    )


def _shows_address_in_one_word(host: str, octets: list[int]) -> bool:
    """The whole address stands in the name without separators, in decimal or in hexadecimal."""
    for order in (octets, octets[::-1]):
        decimal = {"".join(map(str, order)), "".join(f"{octet:03}" for octet in order)}
        if not decimal.isdisjoint(_DIGITS.findall(host)) or bytes(order).hex() in host.lower():
            return True
    return False


def _numbers_customer(host: str, octets: list[int]) -> bool:
    """The name ends in the last octet where providers number their lines: ``user99.``, ``ppp-99.``, ``99.``."""
    return any(int(number) == octets[-1] for number in _CUSTOMER.findall(host))
