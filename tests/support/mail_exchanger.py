"""A stranger's mail server, as far as somebody who asks for an address gets to know it."""

from __future__ import annotations

import contextlib
import fnmatch
import re
import socket
import threading
from collections.abc import Sequence
from typing import Self

from support.network import Network
from support.patience import PATIENCE

SILENT = "silent"  # in the place of a reply: nothing is said until the client goes
HANG_UP = "hang up"


class MailExchanger:
    """Listens at an address and port inside a network. Takes no message.

    answers  (pattern, reply): what it says to RCPT TO for the first pattern that fits; under `greeting` and `MAIL`, to those
    """

    def __init__(self, network: Network, address: str, port: int, answers: Sequence[tuple[str, str]]) -> None:
        self.commands: list[str] = []
        self._answers = answers
        self._listener = network.listen(address, port)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._accept, name=f"mx-{address}", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(PATIENCE)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError), connection.makefile("rb") as lines:
            if not self._say(connection, dict(self._answers).get("greeting", "220 mx ESMTP")):
                return
            for raw in lines:
                line = raw.decode(errors="backslashreplace").rstrip("\r\n")
                self.commands.append(line)
                if not self._say(connection, self._reply_to(line)) or line.upper() == "QUIT":
                    break
        with self._lock:
            self._open.discard(connection)

    def _reply_to(self, line: str) -> str:
        verb = line[:4].upper()
        if verb == "RCPT":
            match = re.search(r"<([^>]*)>", line)
            return self._answer(match[1] if match else "", "250 2.1.5 ok")
        if verb == "MAIL":
            return dict(self._answers).get("MAIL", "250 2.1.0 ok")
        return {"QUIT": "221 bye", "DATA": "554 not here"}.get(verb, "250 ok")

    def _answer(self, asked: str, otherwise: str) -> str:
        return next((reply for pattern, reply in self._answers if fnmatch.fnmatchcase(asked, pattern)), otherwise)

    def _say(self, connection: socket.socket, reply: str) -> bool:
        """Whether the connection goes on."""
        if reply == SILENT:
            while connection.recv(4096):
                pass
            return False
        if reply == HANG_UP:
            return False
        connection.sendall(f"{reply}\r\n".encode())
        return True
