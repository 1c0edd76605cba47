"""A way to a server that can be frozen: everything stays connected, and nothing arrives any more."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator


class FrozenPath:
    """Hands on what is said to a server on loopback until `frozen` is set.

    listening  where it is said, if not on a port of loopback
    """

    def __init__(self, port: int, listening: socket.socket | None = None) -> None:
        self.frozen = threading.Event()
        self.leads_to = port
        self._lock = threading.Lock()
        self._listening = listening or socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._ends: list[socket.socket] = [self._listening]
        threading.Thread(target=self._accept, daemon=True).start()

    def lead_to(self, port: int) -> None:
        """From now on, it leads to another server."""
        self.leads_to = port
        self.cut()

    def cut(self) -> None:
        """Break off what is connected."""
        with self._lock:  # nobody is let in between
            self._end(self._ends[1:])
            del self._ends[1:]

    def close(self) -> None:
        with self._lock:
            self._end(self._ends)

    @staticmethod
    def _end(ends: list[socket.socket]) -> None:
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                one, _ = self._listening.accept()
                try:
                    other = socket.create_connection(("127.0.0.1", self.leads_to))
                except OSError:  # the server is down
                    one.close()
                    continue
                if other.getsockname() == other.getpeername():  # the server is down, and TCP has found itself
                    one.close()
                    other.close()
                    continue
                with self._lock:
                    self._ends += [one, other]
                for ends in ((one, other), (other, one)):
                    threading.Thread(target=self._hand_on, args=ends, daemon=True).start()

    def _hand_on(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while octets := one.recv(65536):
                if self.frozen.is_set():
                    return
                other.sendall(octets)
            other.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def frozen_path(port: int, listening: socket.socket | None = None) -> Iterator[FrozenPath]:
    path = FrozenPath(port, listening)
    try:
        yield path
    finally:
        path.close()
