"""The target of a link, as a browser reads it (WHATWG URL): the host, or the mailbox of a mailto: link. Never raises."""

from __future__ import annotations

import functools
import re
import socket
import urllib.parse

from antispam.net.addresses import MAX_DOMAIN, IPAddress, Mailbox, ascii_domain, parse_ip, parse_mailbox

# A link in which nothing has to be dropped, decoded or skipped before the end of the host.
_USUAL = re.compile(r"https?://([a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){1,3})(?=[/?#]|\Z)")
_DROPPED = re.compile(r"[\t\r\n\x00]")
_SPECIAL = re.compile(r"(?:https?|ftp|wss?):[/\\]*(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
_MAILTO = re.compile(r"mailto:(?P<address>[^?]*)", re.IGNORECASE)
_BARE = re.compile(r"(?:[/\\]{2}|(?=www\.))(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
_AUTHORITY_END = re.compile(r"[/\\?#]")
_NUMBER = re.compile(r"(?:0x[0-9a-f]*|\d+)(?:\.(?:0x[0-9a-f]*|\d+)){0,3}\.?", re.IGNORECASE)

LONGEST = 2000  # characters of a link that are read


def host_of(link: str) -> str | IPAddress | None:
    """The host of a link: a domain in its DNS form, or an address, however it is written (http://3232236033/,
    http://0xC0.0.513/); None if it has no host.
    """
    usual = _USUAL.match(link)
    if usual is not None:
        return _named(usual[1])
    text = _DROPPED.sub("", link[:LONGEST]).strip()
    match = _SPECIAL.fullmatch(text) or _BARE.fullmatch(text)
    if match is None:
        return None
    authority = _AUTHORITY_END.split(match["rest"], maxsplit=1)[0].rpartition("@")[2]
    host = urllib.parse.unquote(_without_port(authority), errors="replace")
    if host.startswith("["):
        return parse_ip(host)
    return _named(host) if len(host) <= MAX_DOMAIN + 1 else None  # allows for a final dot


@functools.lru_cache(maxsize=4096)  # the same hosts recur
def _named(host: str) -> str | IPAddress | None:
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
