"""Where a link leads, as a browser reads it (WHATWG URL): the host, or the mailbox of a mailto: link. Never raises."""

from __future__ import annotations

import re
import socket
import urllib.parse

from antispam.net.addresses import IPAddress, Mailbox, ascii_domain, parse_ip, parse_mailbox

_DROPPED = re.compile(r"[\t\r\n\x00]")
_SPECIAL = re.compile(r"(?:https?|ftp|wss?):[/\\]*(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
_MAILTO = re.compile(r"mailto:(?P<address>[^?]*)", re.IGNORECASE)
_BARE = re.compile(r"(?:[/\\]{2}|(?=www\.))(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
_AUTHORITY_END = re.compile(r"[/\\?#]")
_NUMBER = re.compile(r"(?:0x[0-9a-f]*|\d+)(?:\.(?:0x[0-9a-f]*|\d+)){0,3}\.?", re.IGNORECASE)

LONGEST = 2000  # characters of a link that are read


def host_of(link: str) -> str | IPAddress | None:
    """The host that it leads to: a domain as the DNS has it, or an address, in whatever way it is written
    (http://3232236033/, http://0xC0.0.513/); None for what leads to none."""
    text = _DROPPED.sub("", link[:LONGEST]).strip()
    match = _SPECIAL.fullmatch(text) or _BARE.fullmatch(text)
    if match is None:
        return None
    authority = _AUTHORITY_END.split(match["rest"], maxsplit=1)[0].rpartition("@")[2]
    host = urllib.parse.unquote(_without_port(authority), errors="replace")
    if host.startswith("["):
        return parse_ip(host)
    name = ascii_domain(host)
    if name is None:
        return None
    if _NUMBER.fullmatch(name):
        return _numeric(name)
    return name if "." in name else None


def _without_port(authority: str) -> str:
    if authority.startswith("["):
        return authority.partition("]")[0] + "]"
    return authority.partition(":")[0]


def _numeric(name: str) -> IPAddress | None:
    try:
        return parse_ip(socket.inet_ntoa(socket.inet_aton(name.removesuffix("."))))
    except OSError:
        return None


def mailbox_of(link: str) -> Mailbox | None:
    """The first mailbox of a mailto: link (RFC 6068); None for other links."""
    match = _MAILTO.match(_DROPPED.sub("", link[:LONGEST]).strip())
    if match is None:
        return None
    mailbox = parse_mailbox(urllib.parse.unquote(match["address"].partition(",")[0], errors="replace"))
    return mailbox if mailbox.local and mailbox.domain else None
