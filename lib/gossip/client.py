"""Asking another node."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from gossip.names import PORT
from gossip.observations import Opinion
from gossip.protocol import LONGEST, BadLine, Feedback, Query, Request, Reset, read_answer, write_request

FAILURES = 3  # after so many in a row a node is left alone
PAUSE = 30.0  # for so many seconds


class NoAnswer(Exception):
    """The node could not be asked, or did not answer in time what was asked."""


class Client:
    """One node. Each question is a connection of its own, as pygossip does it. Safe from any thread.

    addresses  those at which it was reached
    key        proves who we are to a node that has the same one
    """

    def __init__(
        self, host: str, port: int = PORT, *, key: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.host, self.port, self.key = host, port, key
        self.addresses: set[str] = set()
        self._clock = clock
        self._failures = 0
        self._ask_again = 0.0

    @property
    def name(self) -> str:
        return f"{self.host}:{self.port}" if self.port != PORT else self.host

    @property
    def resting(self) -> bool:
        """It failed repeatedly, and is not asked for a while."""
        return self._failures >= FAILURES and self._clock() < self._ask_again

    def query(self, umis: str, id: str, qual: str, ttl: int = 1, *, timeout: float = 2.0) -> Opinion:
        """What it knows of an identity. Raises NoAnswer."""
        line = self._say(Query(id, qual, ttl, umis), timeout)
        try:
            return read_answer(line, umis)
        except BadLine as error:
            self._failed()
            raise NoAnswer(f"{self.name}: {error}") from error

    def feedback(self, umis: str, vote: int, *, timeout: float = 2.0) -> None:
        """Tell it what became of a message that we asked about. Raises NoAnswer."""
        self._say(Feedback(umis, vote), timeout)

    def reset(self, id: str, qual: str, *, timeout: float = 2.0) -> None:
        """Make it forget an identity. Raises NoAnswer."""
        self._say(Reset(id, qual), timeout)

    def _say(self, request: Request, timeout: float) -> str:
        if self.resting:
            raise NoAnswer(f"{self.name}: failed repeatedly, not asked for a while")
        ends = time.monotonic() + timeout
        try:
            line = write_request(request, self.key, time.time()).encode() + b"\n\n"
            with socket.create_connection((self.host, self.port), timeout=timeout) as connection:
                self.addresses.add(str(connection.getpeername()[0]))
                connection.sendall(line)
                answer = _first_line(connection, ends)
        except (OSError, BadLine, UnicodeError) as error:
            self._failed()
            raise NoAnswer(f"{self.name}: {error}") from error
        self._failures = 0
        return answer

    def _failed(self) -> None:
        self._failures += 1
        self._ask_again = self._clock() + PAUSE


def _first_line(connection: socket.socket, ends: float) -> str:
    """However slowly it comes, by then; "" where there is an empty one. Raises OSError."""
    received = b""
    while b"\n" not in received:
        connection.settimeout(max(0.001, ends - time.monotonic()))
        if time.monotonic() >= ends:
            raise TimeoutError("timed out")
        more = connection.recv(LONGEST)
        if not more:
            raise ConnectionError("it closed the connection")
        received += more
        if len(received) > LONGEST:
            raise ConnectionError("its answer does not end")
    return received.partition(b"\n")[0].decode("ascii", "replace")
