"""An SMTP client that sends exactly the bytes it is told to, right or wrong."""

from __future__ import annotations

import dataclasses
import re
import socket
from collections.abc import Iterable
from typing import Self

_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?: |$)")
# sendmail puts the refused recipient before a milter's text: 550 5.7.1 <b@example.com>... the text
_SENDMAIL_RECIPIENT = re.compile(r"<[^>]*>\.\.\. ")
# Postfix puts the refused address before its own texts, and before a milter's where that has no text of its own.
_POSTFIX_RECIPIENT = re.compile(r"<[^>]*>: ")


class ConnectionLostError(Exception):
    """The server closed the connection where a reply was due."""


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """A server's reply, freed of what one MTA adds and the other does not.

    code      three digits
    enhanced  the enhanced status code of RFC 3463 ("5.7.1"), "" where there is none
    text      the lines' texts without codes, joined by one blank
    """

    code: int
    enhanced: str
    text: str

    @classmethod
    def parse(cls, lines: Iterable[bytes]) -> Reply:
        """Of the lines of one reply, each beginning with its code. This is where the MTAs' habits are evened out."""
        code, enhanced, texts = 0, "", []
        for raw in lines:
            line = raw.decode(errors="backslashreplace")
            code, text = int(line[:3]), line[4:]
            if found := _ENHANCED.match(text):
                enhanced, text = found[1], text[found.end() :]
            text = _SENDMAIL_RECIPIENT.sub("", text, count=1) if _SENDMAIL_RECIPIENT.match(text) else text
            texts.append(_POSTFIX_RECIPIENT.sub("", text, count=1) if _POSTFIX_RECIPIENT.match(text) else text)
        return cls(code, enhanced, " ".join(text for text in texts if text))

    def __str__(self) -> str:
        return " ".join(part for part in (str(self.code), self.enhanced, self.text) if part)

    @property
    def ok(self) -> bool:
        return self.code < 400


def to_content(message: bytes) -> bytes:
    """A message as it goes over the wire after DATA: dots stuffed, the end mark appended.

    Only CRLF ends a line; a bare LF or CR is left as it is. Where the message does not end with CRLF, one is added.
    """
    if not message.endswith(b"\r\n") and message:
        message += b"\r\n"
    stuffed = (b"\r\n" + message).replace(b"\r\n.", b"\r\n..")[2:]
    return stuffed + b".\r\n"


class SmtpClient:
    """One SMTP session over a connected socket, which it owns. ConnectionLostError where the server hangs up."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._received = bytearray()
        self.greeting = Reply(0, "", "")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.hang_up()

    def send(self, sent: bytes) -> None:
        try:
            self._socket.sendall(sent)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise ConnectionLostError(str(error)) from error

    def read_reply(self) -> Reply:
        lines = [self._read_line()]
        while lines[-1][3:4] == b"-":
            lines.append(self._read_line())
        return Reply.parse(lines)

    def _read_line(self) -> bytes:
        while (end := self._received.find(b"\n")) < 0:
            try:
                more = self._socket.recv(65536)
            except ConnectionResetError:
                more = b""
            if not more:
                raise ConnectionLostError("the server closed the connection")
            self._received += more
        line = bytes(self._received[:end]).rstrip(b"\r")
        del self._received[: end + 1]
        return line

    def greet(self) -> Reply:
        """Read the server's first reply."""
        self.greeting = self.read_reply()
        return self.greeting

    def command(self, line: str | bytes) -> Reply:
        """Send one line (CRLF is added; str as UTF-8, surrogates as the bytes they stand for) and read its reply."""
        raw = line.encode(errors="surrogateescape") if isinstance(line, str) else line
        self.send(raw + b"\r\n")
        return self.read_reply()

    def xclient(self, **attributes: str) -> Reply:
        """Postfix only: pretend another client, by ADDR, NAME, REVERSE_NAME, PORT, HELO, LOGIN. Greets anew."""
        words = " ".join(f"{name}={_xtext(value)}" for name, value in attributes.items())
        self.command("EHLO tests.example.test")
        return self.command(f"XCLIENT {words}")

    def message(self, sender: str, recipients: Iterable[str], message: bytes, mail_parameters: str = "") -> Reply:
        """One transaction, given up at the first refusal; the last reply. sender "" is the null reverse path."""
        reply = self.command(f"MAIL FROM:<{sender}>{mail_parameters and ' '}{mail_parameters}")
        for recipient in recipients:
            if reply.ok:
                reply = self.command(f"RCPT TO:<{recipient}>")
        if reply.ok:
            reply = self.command("DATA")
        if reply.code != 354:
            self.command("RSET")
            return reply
        self.send(to_content(message))
        return self.read_reply()

    def quit(self) -> None:
        self.command("QUIT")
        self.hang_up()

    def hang_up(self) -> None:
        """Close the connection without a word."""
        self._socket.close()


def _xtext(value: str) -> str:
    if value in ("[UNAVAILABLE]", "[TEMPUNAVAIL]"):
        return value
    return "".join(char if "!" <= char <= "~" and char not in "+=" else f"+{ord(char):02X}" for char in value)
