"""The end of the line: an SMTP server that takes everything and keeps it, byte for byte."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time
from typing import Self

from support.network import Network
from support.patience import PATIENCE

_END = b"\r\n.\r\n"
_OFFERS = ("sink.example.test", "PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES", "SIZE 104857600")
_GREETING = b"220 sink.example.test ESMTP\r\n"


@dataclasses.dataclass(frozen=True, slots=True)
class Delivery:
    """One message as it arrived: the envelope, and the content after dot-unstuffing with its last CRLF.

    sender is what stood between < and >, "" for the null reverse path; the parameters are ESMTP words such as
    "BODY=8BITMIME", those of the recipients in the recipients' order.
    """

    sender: str
    sender_parameters: tuple[str, ...]
    recipients: tuple[str, ...]
    recipient_parameters: tuple[tuple[str, ...], ...]
    raw: bytes

    @property
    def header_block(self) -> bytes:
        """Everything up to and without the empty line."""
        if self.raw.startswith(b"\r\n"):
            return b""
        return self.raw.partition(b"\r\n\r\n")[0] + b"\r\n"

    @property
    def body(self) -> bytes:
        if self.raw.startswith(b"\r\n"):
            return self.raw[2:]
        return self.raw.partition(b"\r\n\r\n")[2]

    def fields(self) -> list[tuple[str, str]]:
        """The header fields in order, unfolded, without the blank after the colon; undecodable bytes as surrogates."""
        text = self.header_block.decode(errors="surrogateescape")
        for fold in ("\r\n\t", "\r\n "):
            text = text.replace(fold, " ")
        pairs = (line.partition(":") for line in text.split("\r\n") if line)
        return [(name.rstrip(), value.strip()) for name, _, value in pairs]

    def values(self, name: str) -> list[str]:
        return [value for field, value in self.fields() if field.lower() == name.lower()]


def unstuffed(content: bytes) -> bytes:
    """Message content as RFC 5321 section 4.5.2 restores it: only a dot that follows CRLF is transparent."""
    return (b"\r\n" + content).replace(b"\r\n.", b"\r\n")[2:]


class _Session(asyncio.Protocol):
    def __init__(self, keep: Sink) -> None:
        self._sink = keep
        self._buffer = bytearray()
        self._in_content = False
        self._scanned = 0
        self._forget()

    def _forget(self) -> None:
        self._sender: tuple[str, tuple[str, ...]] = ("", ())
        self._recipients: list[tuple[str, tuple[str, ...]]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(_GREETING)

    def data_received(self, received: bytes) -> None:
        self._buffer += received
        while self._content_step() if self._in_content else self._command_step():
            pass

    def _content_step(self) -> bool:
        # The buffer begins with the CRLF of the DATA command, so that "." alone as first line is found as well.
        end = self._buffer.find(_END, max(0, self._scanned - len(_END)))
        self._scanned = len(self._buffer)
        if end < 0:
            return False
        content = bytes(self._buffer[2 : end + 2])
        del self._buffer[: end + len(_END)]
        self._in_content = False
        reply = self._sink.keep(
            Delivery(
                sender=self._sender[0],
                sender_parameters=self._sender[1],
                recipients=tuple(address for address, _ in self._recipients),
                recipient_parameters=tuple(words for _, words in self._recipients),
                raw=unstuffed(content),
            )
        )
        self._forget()
        self._transport.write(reply)
        return True

    def _command_step(self) -> bool:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            return False
        line = self._buffer[:end].decode(errors="surrogateescape")
        del self._buffer[: end + 2]
        self._answer(line)
        return True

    def _answer(self, line: str) -> None:
        verb = line[:4].upper()
        reply = "250 2.0.0 Ok"
        if verb == "EHLO":
            reply = "\r\n".join([*(f"250-{offer}" for offer in _OFFERS[:-1]), f"250 {_OFFERS[-1]}"])
        elif verb == "MAIL":
            self._forget()
            self._sender = envelope_path(line)
        elif verb == "RCPT":
            self._recipients.append(envelope_path(line))
        elif verb == "DATA":
            self._in_content = True
            self._buffer[:0] = b"\r\n"
            self._scanned = 0
            reply = "354 End data with <CR><LF>.<CR><LF>"
        elif verb == "RSET":
            self._forget()
        elif verb == "QUIT":
            reply = "221 2.0.0 Bye"
        self._transport.write(reply.encode() + b"\r\n")
        if verb == "QUIT":
            self._transport.close()


def envelope_path(line: str) -> tuple[str, tuple[str, ...]]:
    """Address and parameters of MAIL FROM:<address> WORDS; a quoted local part may hold ">" and blanks."""
    start = line.index("<") + 1
    end, quoted = start, False
    while line[end] != ">" or quoted:
        if line[end] == "\\":
            end += 1
        elif line[end] == '"':
            quoted = not quoted
        end += 1
    return line[start:end], tuple(line[end + 1 :].split())


class Sink:
    """Accepts mail on a port of its own inside a network, in a thread of this process, and keeps it in memory."""

    def __init__(self, network: Network, host: str = "127.0.0.1", port: int = 0) -> None:
        self._listener = network.listen(host, port)
        self.host = host
        self.port: int = self._listener.getsockname()[1]
        self._arrived = threading.Condition()
        self._deliveries: list[Delivery] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name=f"sink-{self.port}", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        sessions: set[asyncio.BaseTransport] = set()
        server = self._loop.run_until_complete(
            self._loop.create_server(lambda: _Tracked(self, sessions), sock=self._listener)
        )
        self._loop.run_forever()
        server.close()
        for transport in list(sessions):
            transport.close()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    def keep(self, delivery: Delivery) -> bytes:
        """Store one message; the reply that the client gets."""
        with self._arrived:
            self._deliveries.append(delivery)
            self._arrived.notify_all()
        return b"250 2.0.0 Ok\r\n"

    @property
    def deliveries(self) -> list[Delivery]:
        with self._arrived:
            return list(self._deliveries)

    def wait(self, count: int, seconds: float = PATIENCE) -> list[Delivery]:
        """Everything that has arrived, as soon as that is `count` messages, or after the given time."""
        limit = time.monotonic() + seconds
        with self._arrived:
            while len(self._deliveries) < count and (left := limit - time.monotonic()) > 0:
                self._arrived.wait(left)
            return list(self._deliveries)

    def clear(self) -> None:
        with self._arrived:
            self._deliveries.clear()

    def close(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(PATIENCE)


class _Tracked(_Session):
    """A session that the sink can close when it stops."""

    def __init__(self, keep: Sink, sessions: set[asyncio.BaseTransport]) -> None:
        super().__init__(keep)
        self._sessions = sessions

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._sessions.add(transport)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._sessions.discard(self._transport)
