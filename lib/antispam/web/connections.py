"""Connections of the console that end: a client that sends slowly, or reads slowly, or opens many, keeps nobody else out.

uvicorn limits how many there are, and how long one may rest between two requests. How long a request may take to arrive, and an
answer to be read, it leaves to a proxy, and there may be none.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

from antispam.net.addresses import parse_ip

HEADERS = 10.0  # seconds until the header of a request must be there
WHOLE = 60.0  # seconds until the request and its answer must be over: longer than any page may take
SHARE = 16  # connections of one address; a browser opens six


class Connection(H11Protocol):
    """A connection with an end."""

    open: ClassVar[Counter[str]] = Counter()
    _end: asyncio.TimerHandle | None = None
    _counted = ""
    _rests = False  # between two requests

    @staticmethod
    def is_shared(address: str) -> bool:
        """Whether many people come from there: whether it is a proxy of ours."""
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
        if self.cycle is not before and not self._rests:  # the header is there, and was not answered at once
            self._ends_in(WHOLE)

    def on_response_complete(self) -> None:
        """It is written, but perhaps not read: a connection that is closed waits for that."""
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
    """The connections of one server. `is_ours` says whether an address is that of a proxy of ours; those of this machine
    are."""

    class Ours(Connection):
        open: ClassVar[Counter[str]] = Counter()

        @staticmethod
        def is_shared(address: str) -> bool:
            parsed = parse_ip(address)
            return parsed is None or parsed.is_loopback or is_ours(address)

    return Ours
