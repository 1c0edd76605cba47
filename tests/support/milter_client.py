"""The MTA's side of the milter protocol (version 6), for tests and load generators that need no MTA.

A packet is a four-byte length, a command byte and its payload; numbers are big-endian, texts end with NUL. The
client keeps what the two sides negotiated, so it knows which commands the milter wants to see and which of them it
answers: a command without an answer is only buffered, and leaves together with the next one that has an answer.
"""

from __future__ import annotations

import contextlib
import functools
import socket
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from support.patience import ATTEMPT, PATIENCE

Address = str | tuple[str, int]

ALL_ACTIONS = 0x1FF
ALL_STEPS = 0x1FFFFF
CHUNK = 65535
_NO_TEXT = b""

# Command byte -> (step bit "do not send it", step bit "it is not answered"), from SMFIP_* of libmilter/mfdef.h.
STEP_BITS: Mapping[bytes, tuple[int, int]] = {
    b"C": (0x01, 0x1000),
    b"H": (0x02, 0x2000),
    b"M": (0x04, 0x4000),
    b"R": (0x08, 0x8000),
    b"T": (0x200, 0x10000),
    b"L": (0x20, 0x80),
    b"N": (0x40, 0x40000),
    b"B": (0x10, 0x80000),
    b"U": (0x100, 0x20000),
    b"E": (0, 0),
}
STEP_SKIP = 0x400
# The answers that end a step; every other packet is a modification or "progress", and more follows.
FINAL = frozenset(b"acdfrsty4")
MACRO_STAGES = ("connect", "helo", "mail", "rcpt", "data", "eom", "eoh")


class ProtocolError(Exception):
    """The milter closed the connection or said something that the protocol does not have."""


@dataclass(frozen=True, slots=True)
class Negotiated:
    """The milter's answer to option negotiation; macros maps a stage of MACRO_STAGES to the names that it wants."""

    version: int
    actions: int
    steps: int
    macros: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """One modification, named as in libmilter: addheader, insheader, chgheader, addrcpt, ... with its arguments."""

    name: str
    arguments: tuple[bytes | int, ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """How a step ended: the action's letter (SMFIR_*), the SMTP reply text for `y`, and what came before it."""

    action: str
    text: bytes = _NO_TEXT
    changes: tuple[Change, ...] = ()
    progress: int = 0

    @property
    def goes_on(self) -> bool:
        """Whether the MTA would go on with the transaction."""
        return self.action in "cs"


CONTINUE = Reply("c")


def _texts(payload: bytes) -> tuple[bytes, ...]:
    return tuple(payload.removesuffix(b"\0").split(b"\0"))


def _indexed(payload: bytes) -> tuple[bytes | int, ...]:
    return (struct.unpack_from("!I", payload)[0], *_texts(payload[4:]))


def parse_change(packet: bytes) -> Change:
    """The modification in a packet (without its length); raises ProtocolError for a letter that is none."""
    letter, payload = packet[:1], packet[1:]
    match letter:
        case b"h":
            return Change("addheader", _texts(payload))
        case b"i":
            return Change("insheader", _indexed(payload))
        case b"m":
            return Change("chgheader", _indexed(payload))
        case b"+":
            return Change("addrcpt", _texts(payload))
        case b"2":
            return Change("addrcpt_par", _texts(payload))
        case b"-":
            return Change("delrcpt", _texts(payload))
        case b"b":
            return Change("replacebody", (payload,))
        case b"e":
            return Change("chgfrom", _texts(payload))
        case b"q":
            return Change("quarantine", _texts(payload))
    raise ProtocolError(f"unknown packet {packet[:60]!r}")


class MilterClient:
    """One connection to a milter. `address` is a unix socket's path or (host, port); timeout in seconds."""

    def __init__(self, address: Address, timeout: float = PATIENCE) -> None:
        if isinstance(address, str):
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            target: str | tuple[str, int] = address
        else:
            self.socket = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_STREAM)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            target = address
        self.socket.settimeout(timeout)
        try:
            self.socket.connect(target)
        except OSError:
            self.socket.close()
            raise
        self.negotiated = Negotiated(0, 0, 0)
        self._outgoing = bytearray()
        self._incoming = bytearray()

    def __enter__(self) -> MilterClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.drop()

    # Packets

    def put(self, command: bytes, payload: bytes = b"") -> None:
        """Buffer a command; it leaves with the next flush()."""
        self._outgoing += struct.pack("!I", 1 + len(payload)) + command + payload

    def flush(self) -> None:
        """Send what is buffered."""
        if self._outgoing:
            self.socket.sendall(self._outgoing)
            self._outgoing.clear()

    def get(self) -> bytes:
        """The next packet without its length; raises ProtocolError when the milter closed the connection."""
        incoming = self._incoming
        while len(incoming) < 4 or len(incoming) < 4 + (size := int.from_bytes(incoming[:4], "big")):
            block = self.socket.recv(65536)
            if not block:
                raise ProtocolError("the milter closed the connection")
            incoming += block
        packet = bytes(incoming[4 : 4 + size])
        del incoming[: 4 + size]
        return packet

    def reply(self) -> Reply:
        """Flush, then read packets up to the one that ends the step."""
        self.flush()
        changes: list[Change] = []
        progress = 0
        while (packet := self.get())[0] not in FINAL:
            if packet == b"p":
                progress += 1
            else:
                changes.append(parse_change(packet))
        if packet == b"c" and not changes and not progress:
            return CONTINUE
        text = packet[1:].removesuffix(b"\0") if packet[:1] == b"y" else _NO_TEXT
        return Reply(chr(packet[0]), text, tuple(changes), progress)

    def step(self, command: bytes, payload: bytes = b"") -> Reply:
        """Send a command unless the milter does not want it, and return its answer (CONTINUE where there is none)."""
        unwanted, unanswered = STEP_BITS[command]
        if self.negotiated.steps & unwanted:
            return CONTINUE
        self.put(command, payload)
        return CONTINUE if self.negotiated.steps & unanswered else self.reply()

    # The dialogue

    def negotiate(self, version: int = 6, actions: int = ALL_ACTIONS, steps: int = ALL_STEPS) -> Negotiated:
        """Offer the given options and return (and remember) the milter's choice."""
        self.put(b"O", struct.pack("!III", version, actions, steps))
        self.flush()
        packet = self.get()
        if packet[:1] != b"O" or len(packet) < 13:
            raise ProtocolError(f"not an answer to negotiation: {packet[:60]!r}")
        numbers = struct.unpack_from("!III", packet, 1)
        macros: dict[str, bytes] = {}
        rest = packet[13:]
        while len(rest) > 4:
            stage = int.from_bytes(rest[:4], "big")
            names, _, rest = rest[4:].partition(b"\0")
            macros[MACRO_STAGES[stage]] = names
        version, actions, offered = numbers
        self.negotiated = Negotiated(version, actions, offered, macros)
        return self.negotiated

    def macros(self, command: bytes, values: Mapping[str, str | bytes]) -> None:
        """Define macros for a command (not answered)."""
        flat = [part.encode() if isinstance(part, str) else part for pair in values.items() for part in pair]
        self.put(b"D", command + b"".join(part + b"\0" for part in flat))

    def connect(
        self,
        host: bytes = b"client.example",
        family: Literal["4", "6", "L", "U"] = "4",
        address: bytes = b"192.0.2.1",
        port: int = 4711,
    ) -> Reply:
        """A client connected; family is a letter of SMFIA_*, `U` means that there is no address."""
        payload = host + b"\0" + family.encode()
        if family != "U":
            payload += struct.pack("!H", port) + address + b"\0"
        return self.step(b"C", payload)

    def helo(self, name: bytes = b"client.example") -> Reply:
        """HELO or EHLO."""
        return self.step(b"H", name + b"\0")

    def mail(self, sender: bytes = b"<sender@example.org>", *parameters: bytes) -> Reply:
        """MAIL FROM with its ESMTP parameters."""
        return self.step(b"M", b"".join(part + b"\0" for part in (sender, *parameters)))

    def rcpt(self, recipient: bytes = b"<recipient@example.com>", *parameters: bytes) -> Reply:
        """RCPT TO with its ESMTP parameters."""
        return self.step(b"R", b"".join(part + b"\0" for part in (recipient, *parameters)))

    def data(self) -> Reply:
        """DATA."""
        return self.step(b"T")

    def header(self, name: bytes, value: bytes) -> Reply:
        """One header field, its value without the line end."""
        return self.step(b"L", name + b"\0" + value + b"\0")

    def eoh(self) -> Reply:
        """End of headers."""
        return self.step(b"N")

    def body(self, content: bytes) -> Reply:
        """The body in chunks; stops where the milter answers that it has seen enough or that it decided."""
        for start in range(0, len(content), CHUNK):
            reply = self.step(b"B", content[start : start + CHUNK])
            if reply.action != "c":
                return reply
        return CONTINUE

    def end_of_message(self) -> Reply:
        """End of message: the one step where modifications arrive."""
        return self.step(b"E")

    def unknown(self, line: bytes) -> Reply:
        """An SMTP command that the MTA does not know."""
        return self.step(b"U", line + b"\0")

    def abort(self) -> None:
        """The transaction ends early (RSET, ...); not answered."""
        self.put(b"A")
        self.flush()

    def quit_and_reuse(self) -> None:
        """The SMTP session ends, and another one follows on this connection without negotiation."""
        self.put(b"K")
        self.flush()

    def quit(self) -> None:
        """The SMTP session ends; then wait until the milter closes, so that its close callback is over."""
        self.put(b"Q")
        self.flush()
        while self.socket.recv(4096):
            pass
        self.socket.close()

    def drop(self) -> None:
        """Close the connection without a word, as an MTA that was killed."""
        self.socket.close()

    # Whole transactions

    def greet(self, **connect: object) -> Reply:
        """Negotiate, connect and HELO; returns the first answer that is not "continue", or HELO's."""
        self.negotiate()
        reply = self.connect(**connect)  # type: ignore[arg-type]
        return self.helo() if reply.goes_on else reply

    def message(
        self,
        headers: Iterable[tuple[bytes, bytes]] = ((b"Subject", b"test"),),
        body: bytes = b"test\r\n",
        sender: bytes = b"<sender@example.org>",
        recipients: Sequence[bytes] = (b"<recipient@example.com>",),
    ) -> Reply:
        """One transaction from MAIL to end of message; stops at the first step that does not let it go on."""
        steps: list[Callable[[], Reply]] = [lambda: self.mail(sender)]
        steps += [functools.partial(self.rcpt, recipient) for recipient in recipients]
        steps.append(self.data)
        steps += [functools.partial(self.header, *pair) for pair in headers]
        steps += [self.eoh, lambda: self.body(body)]
        for one in steps:
            reply = one()
            if not reply.goes_on:
                return reply
        return self.end_of_message()


def milter_answers(socket: str) -> bool:
    """Whether a worker answers: a supervisor's socket accepts while its store is still being prepared."""
    with contextlib.suppress(OSError, ProtocolError), MilterClient(socket, timeout=ATTEMPT) as client:
        client.negotiate()
        return True
    return False
