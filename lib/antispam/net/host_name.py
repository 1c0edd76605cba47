"""What this host is called."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from antispam.net.addresses import is_hostname, normalize_domain


def own_host_name(told: str = "") -> str:
    """The name that our MTA told, or else the machine's own, in lower case; "localhost" where neither is a host name."""
    return next(_usable(told), "localhost")


def helo_name(told: str = "") -> str:
    """The same for HELO (RFC 5321 section 4.1.3): a full name, or else an address literal."""
    return next((name for name in _usable(told) if "." in name), "[127.0.0.1]")


def _usable(told: str) -> Iterator[str]:
    for name in map(normalize_domain, (told, socket.gethostname())):
        if is_hostname(name):
            yield name
