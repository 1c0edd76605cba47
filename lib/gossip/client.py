"""A client that queries another node."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from gossip.names import PORT
from gossip.observations import Opinion
from gossip.protocol import LONGEST, BadLine, Feedback, Query, Request, Reset, read_answer, write_request

FAILURES = 3  # failures in a row after which a node is not asked
PAUSE = 30.0  # seconds for which it is not asked


class NoAnswer(Exception):
    """The node could not be reached, or gave no valid answer in time."""


class Client:
    """A client of one node. Each query opens its own connection, as in pygossip. Thread-safe.

    addresses  the addresses at which it was reached
    key        authenticates us to a node that shares it
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
        """True while the node is not asked because it failed repeatedly."""
        return self._failures >= FAILURES and self._clock() < self._ask_again

    def query(self, umis: str, id: str, qual: str, ttl: int = 1, *, timeout: float = 2.0) -> Opinion:
        """What the node knows about an identity. Raises NoAnswer."""
        line = self._say(Query(id, qual, ttl, umis), timeout)
        try:
            return read_answer(line, umis)
        except BadLine as error:
            self._failed()
            raise NoAnswer(f"{self.name}: {error}") from error

    def feedback(self, umis: str, vote: int, *, timeout: float = 2.0) -> None:
        """Tell the node the verdict on a message that we asked about. Raises NoAnswer."""
        self._say(Feedback(umis, vote), timeout)

    def reset(self, id: str, qual: str, *, timeout: float = 2.0) -> None:
        """Make the node forget an identity. Raises NoAnswer."""
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
    """The first line, which must arrive before the deadline; "" for an empty line. Raises OSError."""
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
