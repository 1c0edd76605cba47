"""A client of clamd for one message (INSTREAM, clamd(8)): it sends the octets, and clamd answers with the name of a
signature.

clamd runs as another user, perhaps on another machine. Its answer has a size limit, the dialogue has a deadline, and
anything but a valid answer counts as none: no message is considered clean by accident.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Protocol

from antispam.deadline import Deadline
from antispam.net.sockets import SocketSpec
from antispam.text import for_log

CHUNK = 1 << 18  # octets sent at a time, as clamd's own clients do
MAX_ANSWER = 1024  # octets; a signature's name has fewer than a hundred
MAX_NAME = 120  # stored characters of a signature's name

_COMMAND = b"zINSTREAM\0"
_FROM_LINE = b"From bms\n"
# clamd recognises mail by its beginning. A sender could begin with a field unknown to it, and it would decode nothing.
_END = struct.pack("!I", 0)
_FOUND = re.compile(rb"stream: (?P<name>[^\r\n]+) FOUND", re.DOTALL)
_TOO_LARGE = b"size limit exceeded"


@dataclasses.dataclass(frozen=True, slots=True)
class Scan:
    """The result of clamd for a message.

    signature  the name of the signature found, as printable text; "" for none
    too_large  it does not scan messages of this size (StreamMaxLength in clamd.conf)
    """

    signature: str = ""
    too_large: bool = False


class NotScanned(Exception):
    """No valid answer: clamd is down, silent, broken, or its reply is invalid. The text says which, for the log."""


class Wire(Protocol):
    """The methods needed of a connected socket."""

    def settimeout(self, value: float | None, /) -> None: ...
    def recv(self, size: int, /) -> bytes: ...
    def sendall(self, data: bytes, /) -> None: ...
    def close(self) -> None: ...


Connect = Callable[[SocketSpec, float], Wire]
"""Connects within a number of seconds. Raises OSError."""


def connect_to(spec: SocketSpec, timeout: float) -> Wire:
    """A connection to a unix socket or a TCP port; without a host, on this machine."""
    if spec.family != socket.AF_UNIX:
        return socket.create_connection((spec.host or "localhost", spec.port), timeout)
    wire = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        wire.settimeout(timeout)
        wire.connect(spec.path)
    except BaseException:
        wire.close()
        raise
    return wire


def scan(spec: SocketSpec, message: Iterator[bytes], deadline: Deadline, connect: Connect = connect_to) -> Scan:
    """Have clamd at `spec` scan a message, given in pieces. Raises NotScanned."""
    try:
        wire = connect(spec, _patience(deadline))
    except OSError as error:
        raise NotScanned(f"clamd at {spec} can't be reached: {_words(error)}") from error
    try:
        told = _tell(wire, message, deadline)
        found = _understood(_answer(wire, deadline))
    finally:
        wire.close()
    if not told and found == Scan():
        raise NotScanned("clamd hung up before it had the whole message")
    return found


def _patience(deadline: Deadline) -> float:
    if deadline.expired:
        raise NotScanned("no time left to ask clamd")
    return max(0.001, deadline.remaining())


def _tell(wire: Wire, message: Iterator[bytes], deadline: Deadline) -> bool:
    """Send the message. Returns whether clamd accepted all of it: if it is too large, clamd says so and disconnects."""
    try:
        wire.settimeout(_patience(deadline))
        wire.sendall(_COMMAND)
        for piece in itertools.chain([_FROM_LINE], message):
            for start in range(0, len(piece), CHUNK):
                chunk = piece[start : start + CHUNK]
                wire.settimeout(_patience(deadline))
                wire.sendall(struct.pack("!I", len(chunk)) + chunk)
        wire.settimeout(_patience(deadline))
        wire.sendall(_END)
    except TimeoutError as error:
        raise NotScanned("clamd takes the message too slowly") from error
    except OSError:
        return False
    return True


def _answer(wire: Wire, deadline: Deadline) -> bytes:
    """The answer up to its final NUL, the terminator of commands as well."""
    said = b""
    while b"\0" not in said:
        if len(said) > MAX_ANSWER:
            raise NotScanned("clamd's answer does not end")
        try:
            wire.settimeout(_patience(deadline))
            received = wire.recv(MAX_ANSWER)
        except OSError as error:
            raise NotScanned(f"no answer of clamd: {_words(error)}") from error
        if not received:
            raise NotScanned(f"clamd hung up in the middle of its answer: {for_log(said, 100)}")
        said += received
    return said.partition(b"\0")[0]


def _understood(answer: bytes) -> Scan:
    if answer == b"stream: OK":
        return Scan()
    if match := _FOUND.fullmatch(answer):
        return Scan(signature=for_log(match["name"], MAX_NAME))
    if _TOO_LARGE in answer:
        return Scan(too_large=True)
    raise NotScanned(f"clamd says: {for_log(answer, 200)}")


def _words(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "not in time"
    return for_log(error.strerror or str(error) or type(error).__name__, 200)
