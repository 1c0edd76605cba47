"""An SMTP dialogue that asks a mail server whether it would accept a bounce. No message is ever sent.

The server may be hostile: each reply has a size limit, the dialogue has a deadline, and anything that is not SMTP ends
it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import re
import socket
from collections.abc import Callable
from typing import Protocol

from antispam.deadline import Deadline
from antispam.text import for_log

MAX_LINE = 4096  # octets; RFC 5321 section 4.5.3.1.5 allows 512
MAX_REPLY_LINES = 64
MAX_TOLD = 300  # stored characters of a reply
PARTING = 1.0  # seconds for a server to reply to QUIT

_REPLY = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)
_ENHANCED = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}(?=\s|$)")


class Outcome(enum.StrEnum):
    """The result of the dialogue for an address."""

    OK = "ok"
    FAILED = "failed"  # it accepts no bounces: no such mailbox or domain
    TEMPORARY = "temporary"  # temporarily unknown
    UNKNOWN = "unknown"  # cannot be determined: the server is our own, or refuses to talk to us


@dataclasses.dataclass(frozen=True, slots=True)
class Verification:
    """The result and its source.

    told  the server's reply, or the reason why there was none, as printable text
    host  the server that replied; "" for none
    null_mx  the domain declares that it accepts no mail (RFC 7505)
    """

    outcome: Outcome
    detail: str = ""
    host: str = ""
    null_mx: bool = False


class Unreachable(Exception):
    """This server cannot be asked: it is down, silent, violates the protocol or refuses to talk. Another server may
    answer.
    """


class Wire(Protocol):
    """The methods needed of a connected socket."""

    def settimeout(self, value: float | None, /) -> None: ...
    def recv(self, size: int, /) -> bytes: ...
    def sendall(self, data: bytes, /) -> None: ...
    def close(self) -> None: ...


Connect = Callable[[str, int, float], Wire]
"""Connects to an IP address and port within a number of seconds. Raises OSError."""

Listener = Callable[[str, str], None]
"""Receives the dialogue: "C", "S" or "*" (a remark), and a line of printable text."""


def connect_by_tcp(address: str, port: int, timeout: float) -> Wire:
    return socket.create_connection((address, port), timeout)


def _silence(who: str, line: str) -> None:
    pass


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply: its code, and the text of its lines joined by blanks."""

    code: int
    text: str

    @property
    def enhanced(self) -> str:
        match = _ENHANCED.match(self.text)
        return match[0] if match else ""

    def __str__(self) -> str:
        return f"{self.code} {self.text}".rstrip()


class Dialogue:
    """A connection for commands and replies, until `deadline`. Raises Unreachable for anything unexpected."""

    def __init__(self, wire: Wire, deadline: Deadline, listen: Listener = _silence) -> None:
        self._wire = wire
        self._deadline = deadline
        self._listen = listen
        self._buffer = b""

    def say(self, command: str) -> Reply:
        self._listen("C", for_log(command))
        try:
            self._wire.settimeout(max(0.001, self._deadline.remaining()))
            self._wire.sendall(command.encode("utf-8") + b"\r\n")
        except OSError as error:
            raise Unreachable(_words(error)) from error
        return self.hear()

    def hear(self) -> Reply:
        """Read the next reply. All its lines must have the same code (RFC 5321 section 4.2.1)."""
        texts: list[str] = []
        code = b""
        for _ in range(MAX_REPLY_LINES):
            line = self._line()
            self._listen("S", for_log(line))
            match = _REPLY.fullmatch(line)
            if match is None or (code and match[1] != code):
                raise Unreachable(f"no SMTP reply: {for_log(line, 100)}")
            code = match[1]
            texts.append(for_log(match[3] or b"", MAX_TOLD))
            if match[2] != b"-":
                return Reply(int(code), " ".join(filter(None, texts))[:MAX_TOLD])
        raise Unreachable("a reply that does not end")

    def _line(self) -> bytes:
        while b"\n" not in self._buffer:
            if len(self._buffer) > MAX_LINE:
                raise Unreachable("a line that does not end")
            if self._deadline.expired:
                raise Unreachable("no reply in time")
            try:
                self._wire.settimeout(max(0.001, self._deadline.remaining()))
                received = self._wire.recv(4096)
            except OSError as error:
                raise Unreachable(_words(error)) from error
            if not received:
                raise Unreachable("it hung up")
            self._buffer += received
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.removesuffix(b"\r")

    def leave(self) -> None:
        """Send QUIT. Whether it is received does not matter."""
        self._deadline = self._deadline.at_most(PARTING)
        with contextlib.suppress(Unreachable):
            self.say("QUIT")


def ask(
    address: str,
    host: str,
    ip: str,
    *,
    helo: str,
    deadline: Deadline,
    port: int = 25,
    connect: Connect = connect_by_tcp,
    listen: Listener = _silence,
) -> Verification:
    """Ask the server `host` at `ip` whether it would accept a bounce for `address`, which must be safe in a command.
    Raises Unreachable.
    """
    listen("*", f"connecting to {host} [{ip}]:{port}")
    try:
        wire = connect(ip, port, max(0.001, deadline.remaining()))
    except OSError as error:
        raise Unreachable(_words(error)) from error
    try:
        dialogue = Dialogue(wire, deadline, listen)
        verification = _converse(dialogue, address, host, helo)
        dialogue.leave()
        return verification
    finally:
        wire.close()


def _converse(dialogue: Dialogue, address: str, host: str, helo: str) -> Verification:
    greeting = dialogue.hear()
    if greeting.code != 220:
        raise Unreachable(str(greeting))
    hello = dialogue.say(f"EHLO {helo}")
    offers_utf8 = "SMTPUTF8" in hello.text.upper()
    if hello.code != 250:
        hello = dialogue.say(f"HELO {helo}")
    if hello.code != 250:
        raise Unreachable(str(hello))
    if not address.isascii() and not offers_utf8:
        return Verification(Outcome.UNKNOWN, "the server does not know SMTPUTF8, which the address needs", host)
    mail = dialogue.say("MAIL FROM:<>" + ("" if address.isascii() else " SMTPUTF8"))
    if mail.code != 250:
        return _refused(mail, host, of_recipient=False)
    recipient = dialogue.say(f"RCPT TO:<{address}>")
    if recipient.code in (250, 251):
        return Verification(Outcome.OK, str(recipient), host)
    if recipient.code == 252:  # RFC 5321 section 3.5.3: the server does not know either
        return Verification(Outcome.OK, str(recipient), host)
    return _refused(recipient, host, of_recipient=True)


def _refused(reply: Reply, host: str, *, of_recipient: bool) -> Verification:
    """The meaning of a refusal. 5.7.x is about us, not the address: we are on a blacklist, which Postfix reports at
    RCPT, or must use TLS (530). But a server that would have to relay accepts no mail for the address. A full mailbox
    (5.2.x) exists.
    """
    if 400 <= reply.code <= 499:
        return Verification(Outcome.TEMPORARY, str(reply), host)
    if reply.code < 400:
        raise Unreachable(f"no answer to what was asked: {reply}")
    if reply.code in (500, 501, 502, 503, 504) and not of_recipient:
        raise Unreachable(str(reply))
    about_us = reply.enhanced.startswith("5.7.") and not (of_recipient and "relay" in reply.text.lower())
    if reply.code == 530 or about_us:
        return Verification(Outcome.UNKNOWN, str(reply), host)
    if reply.enhanced.startswith("5.2."):
        return Verification(Outcome.TEMPORARY, str(reply), host)
    return Verification(Outcome.FAILED, str(reply), host)


def _words(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "no reply in time"
    return for_log(error.strerror or str(error) or type(error).__name__, 200)
