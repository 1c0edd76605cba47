"""The virus scanner: a real clamd that knows one signature, and a stand-in that needs nothing installed.

EICAR's test file (https://www.eicar.org/download-anti-malware-testfile/) is harmless, and every scanner takes it for a virus.
It stands here in two halves, so that one that looks through this checkout does not.
"""

from __future__ import annotations

import base64
import contextlib
import email
import hashlib
import os
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

from support.network import Network
from support.patience import PATIENCE
from support.places import CLAMAV
from support.servers import Server

EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
NAME = "Eicar-Test-Signature"


def eicar_part() -> str:
    """A part of MIME with the test file, its header and all."""
    return (
        'Content-Type: application/octet-stream; name="invoice.pdf"\nContent-Transfer-Encoding: base64\n\n'
        f"{base64.b64encode(EICAR).decode()}\n"
    )


class Clamd(Server):
    """A real clamd on a unix socket; `port` is for TCP on 127.0.0.1, 0 for none. It looks into no more than `limit` octets."""

    def __init__(self, network: Network, limit: int = 1 << 20, port: int = 0) -> None:
        super().__init__(network, "clamd")
        self.socket = self._run.path / "clamd.sock"
        with self._cleaning_up():
            # MD5, length and name: clamd's form of a signature of one whole file.
            line = f"{hashlib.md5(EICAR, usedforsecurity=False).hexdigest()}:{len(EICAR)}:{NAME}\n"
            database = self._run.folder("signatures")
            (database / "test.hdb").write_text(line)
            config = (
                f"DatabaseDirectory {database}\nLocalSocket {self.socket}\nLocalSocketMode 666\nForeground yes\n"
                f"TemporaryDirectory {self._run.path}\nLogFile {self._run.path}/clamd.log\nUser root\nMaxThreads 4\n"
                f"StreamMaxLength {limit}\n" + (f"TCPAddr 127.0.0.1\nTCPSocket {port}\n" if port else "")
            )
            libraries = next((CLAMAV / "usr" / "lib").glob("*/libclamav.so.*"))
            environment = {**os.environ, "LD_LIBRARY_PATH": str(libraries.parent)}
            self._serve(
                [CLAMAV / "usr" / "sbin" / "clamd", "-c", self._run.write("clamd.conf", config)],
                self._answers,
                env=environment,
            )

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as wire, contextlib.suppress(OSError):
            wire.connect(str(self.socket))
            wire.sendall(b"zPING\0")
            return wire.recv(16) == b"PONG\0"
        return False


class FakeClamd:
    """Says what clamd would say, from a thread of this process; `says` makes the answer of a message."""

    def __init__(self, path: Path, says: Callable[[bytes], bytes] | None = None) -> None:
        self.socket = path
        self.scanned: list[bytes] = []
        self._says = says or _recognised
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._accept, name="clamd", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(PATIENCE)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError, struct.error):
                self._serve(connection)

    def _serve(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            if stream.read(10) != b"zINSTREAM\0":
                return
            message = b""
            while length := struct.unpack("!I", stream.read(4))[0]:
                message += stream.read(length)
        self.scanned.append(message)
        connection.sendall(self._says(message))


def _recognised(message: bytes) -> bytes:
    parts = [part.get_payload(decode=True) for part in email.message_from_bytes(message).walk()]
    infected = any(part.strip() == EICAR for part in parts if isinstance(part, bytes))
    return f"stream: {NAME}.UNOFFICIAL FOUND\0".encode() if infected else b"stream: OK\0"
