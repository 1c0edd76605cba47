"""Facts from proxies in front of the console: the logged-in user and the client's address. Only our own are trusted."""

from __future__ import annotations

from starlette.requests import Request

from antispam.learning.login_settings import By, LoginSettings
from antispam.net.addresses import ClientList, IPAddress, parse_ip

FORWARDED = "X-Forwarded-For"


def named_by(request: Request, options: LoginSettings) -> str:
    """The user that a trusted proxy names as logged in ([web] header); "" for none, or from another client."""
    values = request.headers.getlist(options.header)
    if By.HEADER not in options.login_by or len(values) != 1 or not _is_ours(_peer(request), options):
        return ""
    try:
        return values[0].encode("latin-1").decode()
    except UnicodeError:
        return ""


def client_of(request: Request, options: LoginSettings) -> str:
    """The address of the browser; "" if unknown. Only the last address was added by the proxy; anybody may have written
    those before it. A proxy on this machine need not be listed in [web] proxies.
    """
    peer = _peer(request)
    if peer is None or not (peer.is_loopback or _is_ours(peer, options)):
        return str(peer or "")
    last = parse_ip(",".join(request.headers.getlist(FORWARDED)).rpartition(",")[2].strip())
    return str(last or "")


def _peer(request: Request) -> IPAddress | None:
    return parse_ip(request.client.host) if request.client is not None else None


def _is_ours(peer: IPAddress | None, options: LoginSettings) -> bool:
    return ClientList(options.proxies).match(peer)
