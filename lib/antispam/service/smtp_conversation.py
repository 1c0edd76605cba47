"""Sending messages to our own MTA over SMTP, with limits on the time and size of every reply."""

from __future__ import annotations

import contextlib
import dataclasses
import email.utils
import io
import re
import smtplib
import socket
from typing import Any

from antispam.deadline import Deadline
from antispam.net.host_name import helo_name
from antispam.protocols import dsn_parameters
from antispam.settings.outbox import OutboxSettings
from antispam.store.outbox import PASS_ENVID, PASS_FIELD, Claimed
from antispam.text import for_log

MAX_RECEIVED = 50  # RFC 5321 section 6.3: a message with more of them is in a loop
PER_CONNECTION = 50  # messages; MTAs limit a client that never disconnects
MAX_REPLY = 1 << 16  # octets
_RECEIVED = re.compile(rb"^received[ \t]*:", re.IGNORECASE | re.MULTILINE)
_BREAKS_LINE = re.compile(r"[\r\n\0]")


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """The result of an attempt.

    taken      the recipients for which the MTA accepted the message
    for_good   all others were refused permanently, so that another attempt is pointless
    more       the transaction had no room for all recipients: the rest can be sent now
    reachable  False if there was no MTA to talk to
    answer     its last reply, or the first refusal, as printable text
    """

    taken: tuple[str, ...] = ()
    for_good: bool = False
    more: bool = False
    reachable: bool = True
    answer: str = ""


class _Refused(Exception):
    """The MTA refused a message for all recipients."""

    def __init__(self, step: str, code: int, text: bytes) -> None:
        super().__init__(_described(step, code, text))
        self.for_good = 500 <= code <= 599
        self.still_talking = 400 <= code <= 599 and code != 421


class _Unreachable(Exception):
    """The MTA is unreachable, or refuses to talk to us."""


class _Replies(io.RawIOBase):
    """The reply lines of an MTA, as smtplib reads them, within bounded time and size."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = b""
        self._left = MAX_REPLY
        self.deadline = Deadline.after(0)

    @property
    def pending(self) -> bool:
        """Whether an unsolicited reply is pending."""
        return bool(self._buffer)

    def expect(self, deadline: Deadline) -> None:
        """Set the deadline of the next reply."""
        self.deadline = deadline
        self._left = MAX_REPLY

    def readline(self, size: int | None = -1, /) -> bytes:
        """The next line, possibly incomplete at the end of the connection. Raises OSError, and TimeoutError at the
        deadline.
        """
        while b"\n" not in self._buffer:
            if len(self._buffer) > self._left:
                raise OSError("the reply does not end")
            self._sock.settimeout(max(self.deadline.remaining(), 0.001))
            received = self._sock.recv(4096)
            if not received:
                break
            self._buffer += received
        line, newline, self._buffer = self._buffer.partition(b"\n")
        self._left -= len(line) + 1
        if self._left < 0:
            raise OSError("the reply does not end")
        return line + newline


class _Conversation(smtplib.SMTP):
    """An SMTP connection with a deadline for every reply. Any call may raise smtplib's errors and OSError."""

    def __init__(self, settings: OutboxSettings, helo: str, deadline: Deadline) -> None:
        super().__init__(local_hostname=helo, timeout=settings.timeout)
        self.sent = 0
        self._patience = settings.timeout
        self._replies: _Replies | None = None
        self.deadline = deadline

    def wait_longer(self, seconds: float) -> None:
        """Set the time limit of each further reply."""
        self._patience = seconds

    def open(self, address: tuple[str, int]) -> None:
        """Connect and say EHLO. Raises _Unreachable, whatever the reason."""
        try:
            code, text = self.connect(*address)
            if code == 220:
                self.ehlo_or_helo_if_needed()
                return
        except (OSError, smtplib.SMTPException) as error:
            raise _Unreachable(_words(error)) from error
        raise _Unreachable(_described("greeting", code, text))

    def getreply(self) -> tuple[int, bytes]:
        if self.file is None and self.sock is not None:
            self._replies = _Replies(self.sock)
            self.file = self._replies
        assert self._replies is not None
        self._replies.expect(self.deadline.at_most(self._patience))
        return super().getreply()

    def send(self, s: Any) -> None:
        """Send a command. Raises if an unsolicited reply is pending, which would be taken for the answer."""
        if self.file is not None and self._replies is not None and self._replies.pending:
            self.close()
            raise smtplib.SMTPServerDisconnected("it sent a reply that was not asked for")
        if self.sock is not None:
            self.sock.settimeout(max(min(self._patience, self.deadline.remaining()), 0.001))
        super().send(s)

    def path(self, verb: str, address: str, parameters: str = "") -> tuple[int, bytes]:
        """Send MAIL or RCPT with the octets of the address unchanged. An address with a line end is refused here."""
        if _BREAKS_LINE.search(address):
            return 553, b"5.1.3 this is no address"
        self.send(f"{verb}:<{address}>{parameters}\r\n".encode("utf-8", "surrogateescape"))
        return self.getreply()

    def abandon(self) -> None:
        """Abort waiting for the MTA, from any thread."""
        sock = self.sock
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


class Carrier:
    """Sends messages, several over one connection. It does not use the store."""

    def __init__(self, settings: OutboxSettings) -> None:
        self._settings = settings
        self._helo = settings.helo
        self._conversation: _Conversation | None = None

    def send(self, queued: Claimed, now: float) -> Result:
        """Make one attempt at `now` (seconds since the epoch). The result covers any reply or failure."""
        if not queued.recipients:
            return Result(for_good=True, answer="it has no recipients")
        if len(_RECEIVED.findall(_header_section(queued.content))) > MAX_RECEIVED:
            return Result(for_good=True, answer=f"mail loop: more than {MAX_RECEIVED} Received fields")
        try:
            conversation = self._open(Deadline.after(self._settings.patience))
        except _Unreachable as error:
            self.close()
            return Result(reachable=False, answer=str(error))
        try:
            return _transaction(conversation, queued, self._settings, now)
        except _Refused as error:
            if not error.still_talking:
                self._drop()
            return Result(for_good=error.for_good, answer=str(error))
        except (OSError, smtplib.SMTPException) as error:
            self._drop()
            return Result(answer=_words(error))

    def _open(self, deadline: Deadline) -> _Conversation:
        """The open conversation if the MTA still accepts it, otherwise a new one. Raises _Unreachable."""
        current = self._conversation
        if current is not None and current.sent < PER_CONNECTION:
            current.deadline = deadline
            current.wait_longer(self._settings.timeout)
            with contextlib.suppress(OSError, smtplib.SMTPException):
                if current.rset()[0] == 250:
                    return current
            self._drop()
        elif current is not None:
            self.close()
        self._helo = self._helo or helo_name(socket.getfqdn())
        self._conversation = _Conversation(self._settings, self._helo, deadline)
        self._conversation.open(self._settings.address)
        return self._conversation

    def _drop(self) -> None:
        if self._conversation is not None:
            self._conversation.close()
            self._conversation = None

    def close(self) -> None:
        """Close the connection to the MTA."""
        current = self._conversation
        if current is not None and current.sock is not None:
            current.deadline = Deadline.after(1.0)
            with contextlib.suppress(OSError, smtplib.SMTPException):
                current.quit()
        self._drop()

    def abandon(self) -> None:
        """Abort the current attempt, from any thread."""
        current = self._conversation
        if current is not None:
            current.abandon()


def _transaction(conversation: _Conversation, queued: Claimed, settings: OutboxSettings, now: float) -> Result:
    """Send one message. Raises _Refused if the MTA refuses it for all recipients, and smtplib's errors."""
    conversation.sent += 1
    conversation.wait_longer(settings.timeout)
    code, text = conversation.path("MAIL FROM", queued.mail_from, _parameters(conversation, queued))
    if code != 250:
        raise _Refused("MAIL FROM", code, text)
    taken, refused, more = _name_recipients(conversation, queued)
    if not taken:
        for_good = all(error.for_good for error in refused)
        return Result(for_good=for_good, answer=str(refused[0]))
    conversation.wait_longer(5 * settings.timeout)  # RFC 5321 section 4.5.3.2.6: filters run now, including ours
    try:
        code, text = conversation.data(_on_top(queued, conversation.local_hostname, now) + queued.content)
    except smtplib.SMTPDataError as error:
        raise _Refused("DATA", error.smtp_code, _octets(error.smtp_error)) from error
    if code != 250:
        raise _Refused("end of message", code, text)
    for_good = bool(refused) and not more and all(error.for_good for error in refused)
    answer = str(refused[0]) if refused else _described("", code, text)
    return Result(taken=tuple(taken), for_good=for_good, more=more, answer=answer)


def _on_top(queued: Claimed, name: str, now: float) -> bytes:
    """The pass field, and our own trace field. A filter does not see its MTA's Received field: without ours, the trace
    of a looping message would never grow.
    """
    trace = f"Received: by {name} id {queued.ref}.{queued.id}; {email.utils.formatdate(now)}"
    return f"{PASS_FIELD}: {queued.pass_value}\r\n{trace}\r\n".encode("ascii", "replace")


def _name_recipients(conversation: _Conversation, queued: Claimed) -> tuple[list[str], list[_Refused], bool]:
    """The accepted recipients, the refusals, and whether the rest was left out for lack of room."""
    taken: list[str] = []
    refused: list[_Refused] = []
    for address in queued.recipients:
        asked = queued.notify.get(address, "") if conversation.has_extn("dsn") else ""
        code, text = conversation.path("RCPT TO", address, f" {asked}" if asked else "")
        if code in (250, 251, 252):
            taken.append(address)
        elif code == 452 and taken:  # RFC 5321 section 4.5.3.1.10: too many
            return taken, refused, True
        else:
            refused.append(_Refused(f"RCPT TO:<{address}>", code, text))
            if not refused[-1].still_talking:
                raise refused[-1]
    return taken, refused, False


def _parameters(conversation: _Conversation, queued: Claimed) -> str:
    """The parameters of MAIL: the sender's DSN request, or the pass, by which the filter knows the message before its
    header arrives; and BODY and SMTPUTF8 if needed and offered. If they are not offered, the message is sent all the
    same: it came to us that way. Only addresses require SMTPUTF8 (RFC 6531): many messages have 8-bit header fields and
    came without it, and with it they could not go to a server that lacks it.
    """
    words = ""
    if conversation.has_extn("dsn"):
        asked = queued.notify.get("", "")
        words = f" {asked}" if asked else ""
        if not dsn_parameters.value(asked, "ENVID"):  # the sender's own must be passed on (RFC 3461 section 5.2.1)
            words += f" ENVID={PASS_ENVID}{queued.pass_value}"
    if not queued.content.isascii() and conversation.has_extn("8bitmime"):
        words += " BODY=8BITMIME"
    if not "".join((queued.mail_from, *queued.recipients)).isascii() and conversation.has_extn("smtputf8"):
        words += " SMTPUTF8"
    return words


def _header_section(content: bytes) -> bytes:
    """Everything before the first empty line."""
    return b"" if content.startswith(b"\r\n") else content.partition(b"\r\n\r\n")[0]


def _described(step: str, code: int, text: bytes) -> str:
    text = text.replace(b"\n", b" ")
    said = for_log(text, 400) if code < 0 else f"{code} {for_log(text, 400)}".rstrip()
    return f"{for_log(step)}: {said or 'no valid reply'}" if step else said


def _words(error: Exception) -> str:
    return for_log(str(error), 400) or type(error).__name__


def _octets(text: bytes | str) -> bytes:
    return text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
