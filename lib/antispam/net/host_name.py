"""The name of this host."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from antispam.net.addresses import is_hostname, normalize_domain


def own_host_name(announced: str = "") -> str:
    """The name that our MTA announced, or else the machine's own, in lower case; "localhost" if neither is a host
    name."""
    return next(_usable(announced), "localhost")


def helo_name(announced: str = "") -> str:
    """The same for HELO (RFC 5321 section 4.1.3): a full name, or else an address literal."""
    return next((name for name in _usable(announced) if "." in name), "[127.0.0.1]")


def _usable(announced: str) -> Iterator[str]:
    if is_hostname(name := normalize_domain(announced)):
        yield name
    if is_hostname(name := normalize_domain(socket.gethostname())):  # only looked up if needed
        yield name
