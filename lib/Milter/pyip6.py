"""IPv6 addresses between text and 16 octets, without the help of the operating system.

>>> inet_ntop(inet_pton('2001:DB8:0:0:0:0:0:1'))
'2001:db8::1'
"""

from __future__ import annotations

import ipaddress
import re

PAT_IP4 = r"\.".join([r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"] * 4)
"""A dotted IPv4 address, for use inside a regular expression that says where it must end."""

RE_IP4 = re.compile(PAT_IP4 + r"\Z")


def inet_ntop(s: bytes) -> str:
    """Return 16 octets as text in the form of RFC 5952, IPv4 addresses within IPv6 with dots.

    Raises ValueError if ``s`` has another length.

    >>> inet_ntop(bytes(15) + bytes([1]))
    '::1'
    >>> inet_ntop(bytes(10) + bytes([255, 255, 192, 0, 2, 1]))
    '::FFFF:192.0.2.1'
    """
    address = ipaddress.IPv6Address(s)
    if address.ipv4_mapped:
        return f"::FFFF:{address.ipv4_mapped}"  # upper case, as pymilter's callers expect
    if not any(s[:12]) and any(s[12:14]):
        return f"::{ipaddress.IPv4Address(s[12:])}"  # IPv4-compatible (RFC 4291 2.5.5.1)
    return str(address)


def inet_pton(p: str) -> bytes:
    """Return an IPv6 address as 16 octets; an IPv4 address becomes IPv4-mapped. Raises ValueError.

    >>> inet_pton('192.0.2.1').hex()
    '00000000000000000000ffffc0000201'
    >>> inet_pton('1:2')
    Traceback (most recent call last):
      ...
    ValueError: 1:2
    """
    try:
        if RE_IP4.match(p):
            return ipaddress.IPv6Address(f"::ffff:{p}").packed
        return ipaddress.IPv6Address(p).packed
    except ValueError:
        raise ValueError(p) from None
