"""A socket map for sendmail and Postfix: requests are "name key", replies "OK value" or "NOTFOUND ", as netstrings.

sendmail's operations guide ("socket" among the classes of maps) and Postfix's socketmap_table(5) describe the protocol.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from antispam.net.sockets import SocketSpec, open_listener

log = logging.getLogger(__name__)

Lookup = Callable[[str], str]

MAX_REQUEST = 4_000  # octets; Postfix takes replies up to 100,000, and no address is longer than this
IDLE = 600.0  # seconds without a request after which a connection is closed
MAX_CONNECTIONS = 500


class ProtocolError(Exception):
    """The input is not a netstring of acceptable length."""


def answer(request: bytes, maps: Mapping[str, Lookup]) -> bytes:
    """The reply to one request. Never raises. A map returns "" for an unknown key."""
    name, blank, key = request.decode("utf-8", "surrogateescape").partition(" ")
    lookup = maps.get(name)
    if lookup is None or not blank:
        return b"PERM there is no such map"
    try:
        value = lookup(key)
    except Exception:
        log.exception("socket map %s", name)
        return b"TEMP internal error"
    return b"OK " + value.encode("utf-8", "surrogateescape") if value else b"NOTFOUND "


def netstring(content: bytes) -> bytes:
    return b"%d:%s," % (len(content), content)


async def read_netstring(reader: asyncio.StreamReader) -> bytes | None:
    """The next netstring, None at the end of the connection. Raises ProtocolError."""
    digits = b""
    while (char := await reader.read(1)) != b":":
        if not char and not digits:
            return None
        digits += char
        if not char.isdigit() or len(digits) > len(str(MAX_REQUEST)):
            raise ProtocolError("no netstring")
    size = int(digits or b"0")
    if size > MAX_REQUEST:
        raise ProtocolError("longer than any address")
    try:
        content = await reader.readexactly(size + 1)
    except asyncio.IncompleteReadError as error:
        raise ProtocolError("cut off") from error
    if not content.endswith(b","):
        raise ProtocolError("no comma at its end")
    return content[:-1]


class Access(NamedTuple):
    """Access to the socket: its permissions and group (a name; -1 for ours)."""

    mode: int
    group: str | int = -1


class SocketMapServer:
    """Answers on a unix socket until told to stop."""

    def __init__(self, maps: Mapping[str, Lookup], idle: float = IDLE) -> None:
        self._maps = maps
        self._idle = idle
        self._connections = 0

    def _reload(self, reload: Callable[[], Mapping[str, Lookup] | None]) -> None:
        maps = reload()
        if maps is not None:
            self._maps = maps

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection, request by request."""
        self._connections += 1
        try:
            while self._connections <= MAX_CONNECTIONS:
                request = await asyncio.wait_for(read_netstring(reader), self._idle)
                if request is None:
                    break
                writer.write(netstring(answer(request, self._maps)))
                await asyncio.wait_for(writer.drain(), self._idle)
        except (ProtocolError, OSError, TimeoutError) as error:
            log.info("socket map: a connection is closed: %s", error or "it said nothing")
        finally:
            self._connections -= 1
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def serve(
        self,
        path: Path,
        access: Access,
        ready: Callable[[], object] = lambda: None,
        reload: Callable[[], Mapping[str, Lookup] | None] | None = None,
    ) -> None:
        """Listen on `path` with the permissions of `access` until TERM or INT, then remove the socket. HUP switches to
        the maps that `reload` returns, if any. Raises SocketUnavailable.
        """
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        if reload is not None:
            loop.add_signal_handler(signal.SIGHUP, self._reload, reload)
        spec = SocketSpec(socket.AF_UNIX, str(path.absolute()))
        with contextlib.closing(open_listener(spec, mode=access.mode, group=access.group)) as listener:
            server = await asyncio.start_unix_server(self.converse, sock=listener.socket, limit=2 * MAX_REQUEST)
            try:
                ready()
                await stopping.wait()
            finally:
                server.close()
