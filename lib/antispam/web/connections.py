"""Connections with limits: a client that sends or reads slowly, or opens many connections, cannot lock out others.

uvicorn limits the number of connections and their idle time between requests. It leaves the time for sending a request
and reading an answer to a proxy, and there may be none.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

from antispam.net.addresses import parse_ip

HEADERS = 10.0  # seconds until a request's header must be complete
WHOLE = 60.0  # seconds for a request and its answer: longer than any page may take
SHARE = 16  # connections from one address; a browser opens six


class Connection(H11Protocol):
    """A connection with time limits."""

    open: ClassVar[Counter[str]] = Counter()
    _end: asyncio.TimerHandle | None = None
    _counted = ""
    _rests = False  # idle between two requests

    @staticmethod
    def is_shared(address: str) -> bool:
        """Whether many people share the address because it is a proxy of ours."""
        return False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        address = self.client[0] if self.client else ""
        if not self.is_shared(address):
            self._counted = address
            self.open[address] += 1
            if self.open[address] > SHARE:
                transport.abort()
                return
        self._ends_in(HEADERS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        if self._counted:
            self.open[self._counted] -= 1
            if not self.open[self._counted]:
                del self.open[self._counted]
            self._counted = ""
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        before = self.cycle
        if self._rests:
            self._ends_in(HEADERS)
        super().data_received(data)
        if self.cycle is not before and not self._rests:  # the header is complete, and the answer is still to come
            self._ends_in(WHOLE)

    def on_response_complete(self) -> None:
        """The answer is written but perhaps not read yet: closing waits for that."""
        self._ends_in(WHOLE)
        self._rests = True
        super().on_response_complete()

    def _ends_in(self, seconds: float) -> None:
        self._rests = False
        self._stop()
        self._end = self.loop.call_later(seconds, self.transport.abort)

    def _stop(self) -> None:
        if self._end is not None:
            self._end.cancel()
            self._end = None


def sharing(is_ours: Callable[[str], bool]) -> type[Connection]:
    """The connection class of one server. `is_ours` tells whether an address belongs to a proxy of ours; this machine's
    addresses do.
    """

    class Ours(Connection):
        open: ClassVar[Counter[str]] = Counter()

        @staticmethod
        def is_shared(address: str) -> bool:
            parsed = parse_ip(address)
            return parsed is None or parsed.is_loopback or is_ours(address)

    return Ours
