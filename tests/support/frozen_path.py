"""A way to a server that can be frozen: everything stays connected, and nothing arrives any more."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator


class FrozenPath:
    """Hands on what is said to a server on loopback until `frozen` is set."""

    def __init__(self, port: int) -> None:
        self.frozen = threading.Event()
        self._port = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._ends: list[socket.socket] = [self._listening]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                one, _ = self._listening.accept()
                other = socket.create_connection(("127.0.0.1", self._port))
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
def frozen_path(port: int) -> Iterator[FrozenPath]:
    path = FrozenPath(port)
    try:
        yield path
    finally:
        path.close()
