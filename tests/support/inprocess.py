"""The application in this process, behind a stand-in for an MTA that is just polite enough to hold a dialogue.

It speaks SMTP on one side and calls `antispam.journey.session.Session` on the other, as sendmail and Postfix do through the
milter protocol: the milter never sees the Received field that the MTA adds, and edits are applied at the end.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable, Iterator

import dns.message
import dns.rcode
import dns.reversename

from antispam.journey.delivery import Outcome
from antispam.journey.session import Session
from antispam.journey.table import Journey
from antispam.mail.draft import (
    AddRecipient,
    AppendHeader,
    ChangeHeader,
    ChangeSender,
    DeleteRecipient,
    Edit,
    InsertHeader,
    ReplaceBody,
)
from antispam.mail.message import Auth, envelope_address
from antispam.mail.verdicts import Action, Verdict
from antispam.service.application import Application, settings_classes
from antispam.settings import load_text
from antispam.store import outbox
from support.clamd import FakeClamd
from support.dialogue import Client, Dialogue, Scene
from support.dns import loopback_nameserver
from support.learning import Learned
from support.lists import without_lists
from support.network import Network
from support.processes import RunDirectory
from support.sink import Delivery, envelope_path, unstuffed
from support.smtp_client import ConnectionLostError, Reply, to_content
from support.zone_server import ZoneResponder
from support.zones import complete

HOSTNAME = "mx.example.test"
_END = b"\r\n.\r\n"
_CHUNK = 65535


@dataclasses.dataclass(frozen=True, slots=True)
class ClientNames:
    """What an MTA finds out about a client's name: {client_name}, {client_ptr}, {client_resolve}."""

    verified: str
    pointer: str
    resolve: str


def look_up_client(zones: ZoneResponder, address: str) -> ClientNames:
    """Reverse and forward look-up, as sendmail and Postfix do at connect."""

    def ask(name: str, kind: str) -> dns.message.Message:
        return zones(dns.message.make_query(name, kind), False)

    reverse = ask(str(dns.reversename.from_address(address)), "PTR")
    if reverse.rcode() == dns.rcode.SERVFAIL:
        return ClientNames("", "", "TEMP")
    pointers = [
        record.target.to_text(True) for records in reverse.answer for record in records if hasattr(record, "target")
    ]
    if not pointers:
        return ClientNames("", "", "FAIL")
    forward = ask(pointers[0], "AAAA" if ":" in address else "A")
    if forward.rcode() == dns.rcode.SERVFAIL:
        return ClientNames("", pointers[0], "TEMP")
    addresses = {record.address for records in forward.answer for record in records if hasattr(record, "address")}
    if address in addresses:
        return ClientNames(pointers[0], pointers[0], "OK")
    return ClientNames("", pointers[0], "FORGED")


@dataclasses.dataclass(slots=True)
class Mailbox:
    """Where the stand-in delivers."""

    delivered: list[Delivery] = dataclasses.field(default_factory=list)
    held: int = 0


class InProcessWire:
    """One SMTP session with the stand-in. Bytes in through send(), replies out through read_reply()."""

    def __init__(self, session: Session, client: Client, names: ClientNames, mailbox: Mailbox) -> None:
        self._session = session
        self._client = client
        self._names = names
        self._mailbox = mailbox
        self._buffer = b""
        self._in_content = False
        self._replies: list[Reply] = []
        self._open = True
        self._helo = ""
        self._forget()
        verdict = session.connect(
            client.address,
            port=54321,
            name=names.verified,
            ptr=names.pointer,
            resolve=names.resolve,
            receiver=HOSTNAME,
        )
        self._answer(verdict, Reply(220, "", f"{HOSTNAME} ESMTP"))

    def _forget(self) -> None:
        self._sender: tuple[str, tuple[str, ...]] | None = None
        self._recipients: list[tuple[str, tuple[str, ...]]] = []

    def send(self, sent: bytes) -> None:
        if not self._open:
            raise ConnectionLostError("the server closed the connection")
        self._buffer += sent
        while self._content_step() if self._in_content else self._command_step():
            pass

    def read_reply(self) -> Reply:
        if not self._replies:
            raise ConnectionLostError("no reply is due" if self._open else "the server closed the connection")
        return self._replies.pop(0)

    def hang_up(self) -> None:
        if self._open:
            self._open = False
            self._session.close()

    def _say(self, code: int, enhanced: str, text: str) -> None:
        self._replies.append(Reply(code, enhanced, text))

    def _answer(self, verdict: Verdict, otherwise: Reply) -> bool:
        """Speak a refusal or the other reply; whether it was no refusal."""
        if verdict.action.refuses:
            self._say(verdict.code, verdict.enhanced, " ".join(verdict.reply_lines()))
            return False
        self._replies.append(otherwise)
        return True

    def _command_step(self) -> bool:
        line, newline, rest = self._buffer.partition(b"\r\n")
        if not newline or not self._open:
            return False
        self._buffer = rest
        text = line.decode(errors="surrogateescape")
        verb = text.partition(" ")[0].upper()
        command = self._commands.get(verb)
        if command is None:
            self._say(500, "5.5.1", "Command unrecognized")
        else:
            command(self, text)
        return True

    def _hello(self, text: str) -> None:
        self._forget()
        self._helo = text.partition(" ")[2].strip()
        self._answer(self._session.helo(self._helo), Reply(250, "", HOSTNAME))

    def _mail(self, text: str) -> None:
        if self._sender is not None:
            return self._say(503, "5.5.0", "Sender already specified")
        try:
            address, parameters = envelope_path(text)
        except (ValueError, IndexError):
            return self._say(501, "5.5.4", "Syntax: MAIL FROM:<address>")
        auth = Auth(self._client.login, "PLAIN" if self._client.login else "")
        verdict = self._session.mail(envelope_address(f"<{address}>"), parameters, auth, "inprocess")
        if self._answer(verdict, Reply(250, "2.1.0", "Sender ok")):
            self._sender = (address, parameters)
        return None

    def _rcpt(self, text: str) -> None:
        if self._sender is None:
            return self._say(503, "5.0.0", "Need MAIL before RCPT")
        try:
            address, parameters = envelope_path(text)
        except (ValueError, IndexError):
            return self._say(501, "5.5.4", "Syntax: RCPT TO:<address>")
        verdict = self._session.rcpt(envelope_address(f"<{address}>"), parameters)
        if self._answer(verdict, Reply(250, "2.1.5", "Recipient ok")):
            self._recipients.append((address, parameters))
        return None

    def _data(self, text: str) -> None:
        if not self._recipients:
            return self._say(503 if self._sender is None else 554, "5.5.1", "No valid recipients")
        if self._answer(self._session.data(), Reply(354, "", "Enter mail")):
            self._in_content = True
            self._buffer = b"\r\n" + self._buffer
        return None

    def _rset(self, text: str) -> None:
        self._session.abort()
        self._forget()
        self._say(250, "2.0.0", "Reset state")

    def _noop(self, text: str) -> None:
        self._say(250, "2.0.0", "OK")

    def _quit(self, text: str) -> None:
        self._say(221, "2.0.0", "Closing connection")
        self.hang_up()

    def _content_step(self) -> bool:
        content, end, rest = self._buffer.partition(_END)
        if not end:
            return False
        self._buffer = rest
        self._in_content = False
        self._take(unstuffed(content[2:] + b"\r\n" if len(content) > 2 else b""))
        self._forget()
        return True

    def _take(self, raw: bytes) -> None:
        """Hand a message to the session and do what it says."""
        fields, body = split_message(raw)
        for name, value in fields:
            self._session.header(name, value)
        for at in range(0, len(body), _CHUNK):
            self._session.body(body[at : at + _CHUNK])
        outcome = self._session.end("inprocess")
        self._session.taken()
        if not self._answer(outcome.verdict, Reply(250, "2.0.0", "Message accepted for delivery")):
            return
        if outcome.verdict.action is Action.HOLD:
            self._mailbox.held += 1
        elif outcome.verdict.action not in (Action.DISCARD, Action.QUARANTINE):
            self._deliver(fields, body, outcome)

    def _deliver(self, fields: list[tuple[bytes, bytes]], body: bytes, outcome: Outcome) -> None:
        assert self._sender is not None
        client = f"{self._helo} ({self._names.verified or 'unknown'} [{self._client.address}])"
        queued = _InFlight(fields, body, self._sender[0], dict(self._recipients))
        queued.fields.insert(0, (b"Received", f" from {client} by {HOSTNAME}; {time.ctime()}".encode()))
        for edit in outcome.edits:
            queued.apply(edit)
        if not queued.recipients:
            return
        self._mailbox.delivered.append(
            Delivery(
                sender=queued.sender,
                sender_parameters=self._sender[1],
                recipients=tuple(queued.recipients),
                recipient_parameters=tuple(queued.recipients.values()),
                raw=queued.raw(),
            )
        )

    _commands: dict[str, Callable[[InProcessWire, str], None]] = {  # noqa: RUF012  # a table of methods
        "HELO": _hello,
        "EHLO": _hello,
        "MAIL": _mail,
        "RCPT": _rcpt,
        "DATA": _data,
        "RSET": _rset,
        "NOOP": _noop,
        "QUIT": _quit,
    }


def split_message(raw: bytes) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Header fields as a milter gets them (leading space kept, folds joined by LF) and the body."""
    fields: list[tuple[bytes, bytes]] = []
    position = 0
    while position < len(raw):
        end = raw.find(b"\r\n", position)
        line = raw[position:end]
        if not line:
            return fields, raw[position + 2 :]
        if line[:1] in b" \t" and fields:
            fields[-1] = (fields[-1][0], fields[-1][1] + b"\n" + line)
        elif b":" in line:
            name, _, value = line.partition(b":")
            fields.append((name, value))
        else:
            return fields, raw[position:]
        position = end + 2
    return fields, b""


class _InFlight:
    """A message on its way out, to which edits are applied."""

    def __init__(
        self, fields: list[tuple[bytes, bytes]], body: bytes, sender: str, recipients: dict[str, tuple[str, ...]]
    ) -> None:
        self.fields = list(fields)
        self.body = body
        self.sender = sender
        self.recipients = recipients

    def apply(self, edit: Edit) -> None:
        match edit:
            case InsertHeader(name, value):
                self.fields.insert(0, _field(name, value))
            case AppendHeader(name, value):
                self.fields.append(_field(name, value))
            case ChangeHeader(name, occurrence, value):
                self._change(name, occurrence, value)
            case ReplaceBody(content):
                self.body = content
            case ChangeSender(address):
                self.sender = address
            case AddRecipient(address, params):
                self.recipients[address] = tuple(params.split())
            case DeleteRecipient(path):
                self.recipients.pop(path.removeprefix("<").removesuffix(">"))

    def _change(self, name: str, occurrence: int, value: str | None) -> None:
        # The MTA's own Received, at the top, is none that the milter counts.
        same = [at for at, (own, _) in enumerate(self.fields) if at and own.lower() == _octets(name).lower()]
        place = same[occurrence - 1]
        if value is None:
            del self.fields[place]
        else:
            self.fields[place] = (self.fields[place][0], _field(name, value)[1])

    def raw(self) -> bytes:
        lines = b"".join(name + b":" + value.replace(b"\n", b"\r\n") + b"\r\n" for name, value in self.fields)
        return lines + b"\r\n" + self.body


def _octets(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def _field(name: str, value: str) -> tuple[bytes, bytes]:
    return _octets(name), b" " + _octets(value)


class _Log(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@contextlib.contextmanager
def _captured_log() -> Iterator[_Log]:
    logger = logging.getLogger("antispam")
    handler, level = _Log(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


class _InProcessScene:
    def __init__(self, application: Application, zones: ZoneResponder, clock: InProcessClock, log: _Log) -> None:
        self._application = application
        self._zones = zones
        self._clock = clock
        self._log = log
        self._mailbox = Mailbox()

    def connect(self, client: Client) -> InProcessWire:
        names = look_up_client(self._zones, client.address)
        return InProcessWire(self._application.session(), client, names, self._mailbox)

    def advance(self, seconds: float) -> None:
        self._clock.ahead += seconds

    def deliveries(self) -> list[Delivery]:
        if self._application.history is not None:
            self._application.history.flush()  # nobody reports a message within milliseconds
        while queued := outbox.claim(self._application.store, self._clock(), 60.0):
            self._send(queued)
        return self._mailbox.delivered

    def _send(self, queued: outbox.Claimed) -> None:
        """Take a message of our own to the stand-in, as the courier does to a real MTA."""
        wire = self.connect(Client("127.0.0.1", "localhost"))
        wire.send(b"EHLO localhost\r\n" + f"MAIL FROM:<{queued.mail_from}>\r\n".encode())
        for recipient in queued.recipients:
            wire.send(f"RCPT TO:<{recipient}>\r\n".encode())
        wire.send(b"DATA\r\n")
        wire.send(to_content(f"{outbox.PASS_FIELD}: {queued.pass_value}\r\n".encode() + queued.content))
        replies = [wire.read_reply().code for _ in range(5 + len(queued.recipients))]
        if replies[-1] != 250:
            raise AssertionError(f"a message of our own was not taken: {replies}")
        wire.hang_up()
        outbox.delivered(self._application.store, queued, queued.recipients, self._clock())

    def held(self) -> int:
        return self._mailbox.held

    def log(self) -> str:
        return "\n".join(self._log.lines) + "\n"


class InProcessClock:
    """Seconds since the epoch, `ahead` of the real ones."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


class InProcessRunner:
    """The application with its real settings, store and resolver; only MTA and name server are stand-ins."""

    name = "inprocess"

    def __init__(self, journey: Journey) -> None:
        self._journey = journey

    @contextlib.contextmanager
    def scene(self, dialogue: Dialogue) -> Iterator[Scene]:
        zones = ZoneResponder(complete(dialogue.zones, dialogue.hosts))
        clock = InProcessClock()
        with contextlib.ExitStack() as stack:
            run = stack.enter_context(RunDirectory("inprocess"))
            port = stack.enter_context(loopback_nameserver(zones))
            mx_port = stack.enter_context(dialogue.mail_exchangers(Network()))
            log = stack.enter_context(_captured_log())
            for name, text in dialogue.files.items():
                run.write(name, text).chmod(0o600)
            (dialogue.learned or Learned()).put_into(f"sqlite:///{run.path}/bms.sqlite")
            config = f"[milter]\ndatadir = {run.path}\n[dns]\nnameservers = 127.0.0.1@{port}\n{without_lists(dialogue.config)}"
            if "{clamd}" in config:
                clamd = stack.enter_context(FakeClamd(run.path / "clamd.sock"))
                config = config.replace("{clamd}", f"local:{clamd.socket}")
            for name, value in {"dir": str(run.path), "mta": "127.0.0.1:25", "mxport": str(mx_port)}.items():
                config = config.replace(f"{{{name}}}", value)
            settings = load_text(config, settings_classes(self._journey))
            application = Application(self._journey, settings, clock=clock)
            stack.callback(application.close)
            yield _InProcessScene(application, zones, clock, log)
