"""An MTA that answers as a test tells it, and nothing else: refuses, falls silent, hangs up or talks nonsense at any step."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import threading
from collections import deque
from collections.abc import Callable
from typing import Self

from support.patience import PATIENCE

HANG = object()  # no answer, until the client goes
HANG_UP = object()

_OK = {
    "connect": "220 mta.example.test ESMTP",
    "EHLO": "250-mta.example.test\r\n250-8BITMIME\r\n250 SMTPUTF8",
    "DATA": "354 go on",
    "QUIT": "221 bye",
}

Answer = str | bytes | object | Callable[[], str]


@dataclasses.dataclass(slots=True)
class Transaction:
    """What was handed over: the envelope as it was said, and the content as it came, dots and all."""

    mail: str
    recipients: list[str]
    content: bytes


class ScriptedMta:
    """Listens on a free port of loopback.

    `script` maps a step (connect, EHLO, MAIL, RCPT, DATA, END, RSET, QUIT) to the answers it gives there in turn: a line,
    octets as they are, HANG, HANG_UP, or a function that is called for the line. After these, and at other steps, it says yes.
    """

    def __init__(self, **script: list[Answer]) -> None:
        self.transactions: list[Transaction] = []  # whose content came to its end, taken or not
        self.commands: list[str] = []
        self.connections = 0
        self._script = {step: deque(answers) for step, answers in script.items()}
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        # shutdown wakes accept() and recv(), which close() would not.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(PATIENCE)
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with self._lock:
                self._open.add(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, connection.makefile("rb") as lines, contextlib.suppress(OSError):
                if self._answer(connection, "connect"):
                    self._converse(connection, lines)
        finally:
            with self._lock:
                self._open.discard(connection)

    def _converse(self, connection: socket.socket, lines: object) -> None:
        mail = ""
        recipients: list[str] = []
        for raw in lines:  # type: ignore[attr-defined]
            line = raw.decode(errors="surrogateescape").removesuffix("\r\n")
            self.commands.append(line)
            step = line[:4].upper()
            if step == "MAIL":
                mail, recipients = line, []
            elif step == "RCPT":
                recipients.append(line)
            said = self._answer(connection, step)
            if not said:
                return
            if step == "DATA" and said.startswith("354"):
                content = b""
                while not content.endswith(b"\r\n.\r\n") and content != b".\r\n":
                    chunk = lines.readline()  # type: ignore[attr-defined]
                    if not chunk:
                        return
                    content += chunk
                self.transactions.append(Transaction(mail, recipients, content.removesuffix(b".\r\n")))
                if not self._answer(connection, "END"):
                    return
            if step == "QUIT":
                return

    def _answer(self, connection: socket.socket, step: str) -> str:
        """What was said; "" where the connection is over."""
        answers = self._script.get(step)
        answer = answers.popleft() if answers else _OK.get(step, "250 ok")
        if answer is HANG:
            while connection.recv(4096):
                pass
            return ""
        if answer is HANG_UP:
            return ""
        if callable(answer):
            answer = answer()
        if isinstance(answer, bytes):
            connection.sendall(answer)
            return answer.decode("latin-1") or "nothing"
        connection.sendall(f"{answer}\r\n".encode())
        return str(answer)
