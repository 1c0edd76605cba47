"""The notice to a sender: a delivery status notification (RFC 3464) whose text is a template, as a pure function of facts.

A template is a file: a Subject field, an empty line, the text, with `%(name)s` for facts, in upstream's format. Text
from the message is shortened, and anything that could pass for our own text is removed.
"""

from __future__ import annotations

import dataclasses
import email.policy
import hashlib
import re
import textwrap
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.message import EmailMessage, Message
from email.utils import format_datetime
from pathlib import Path

from antispam.learning.answers import shown
from antispam.net.addresses import is_hostname
from antispam.text import for_reply
from Milter.dsn import Vars, create_msg

SHIPPED = Path(__file__).with_name("templates")
NAMES = ("softfail", "fail", "neutral", "permerror", "none", "temperror", "helo", "dkim", "quarantine")
# Upstream's names.
_FORMER = {"none": "strike3", "helo": "heloerror"}
MAX_TEMPLATE = 100_000  # characters
MAX_LISTED = 20  # recipients
_WIDTH = 76

_POLICY = email.policy.SMTP.clone(max_line_length=998)
_QUOTED_FIELDS = ("From", "To", "Cc", "Subject", "Date", "Message-ID", "Sender", "Reply-To")
_ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9.-]{1,253}")


@dataclasses.dataclass(frozen=True, slots=True)
class Facts:
    """The facts that a notice can mention.

    sender, recipients  those of the message; the sender gets the notice
    receiver    our MTA's name
    ip, helo    the client that sent the message
    result      what was found, as SPF names it
    problem     what is wrong, in words
    subject     of the message; `fields` are the quoted header fields
    ref         of the message in our log
    received_at, now  seconds since the epoch
    """

    sender: str
    recipients: Sequence[str]
    receiver: str
    ref: str
    now: float
    received_at: float
    ip: str = ""
    helo: str = ""
    result: str = ""
    problem: str = ""
    subject: str = ""
    fields: Sequence[tuple[str, str]] = ()

    def values(self) -> dict[str, str]:
        """The facts by the names that templates use."""
        return {
            "sender": shown(self.sender, 254),
            "sender_domain": shown(self.sender.rpartition("@")[2]),
            "receiver": shown(self.receiver),
            "connectip": shown(self.ip) or "an unknown address",
            "heloname": shown(self.helo) or "(nothing)",
            "spf_result": shown(self.result) or "none",
            "problem": shown(self.problem, 200) or "the reason is not known",
            "subject": shown(self.subject) or "(none)",
            "ref": shown(self.ref),
            "rcpt": "\n\t".join(self.listed()),
        }

    def listed(self) -> list[str]:
        named = [shown(address, 254) for address in self.recipients[:MAX_LISTED]]
        more = len(self.recipients) - MAX_LISTED
        return [*named, f"and {more} more"] if more > 0 else named


SAMPLE = Facts(
    sender="ann@example.net",
    recipients=("bob@example.com",),
    receiver="mx.example.com",
    ref="7h2k9m3p5q8r",
    now=1_700_000_000.0,
    received_at=1_700_000_000.0,
    ip="192.0.2.1",
    helo="mail.example.net",
    result="softfail",
    problem="two SPF records",
    subject="Lunch",
    fields=(("From", "ann@example.net"), ("Subject", "Lunch")),
)


class Templates:
    """The texts of notices by name. Those of a folder take precedence over ours."""

    def __init__(self, folder: Path | None = None) -> None:
        """Raises ValueError if a file cannot be read, is not a template, or uses an unknown name."""
        self.folder = folder
        self._texts = {name: _read(name, folder) for name in NAMES}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Templates) and self._texts == other._texts

    def __hash__(self) -> int:
        return hash(tuple(self._texts.values()))

    def __str__(self) -> str:
        return str(self.folder or "")

    def fill(self, name: str, values: Mapping[str, str]) -> Message:
        return _filled(self._texts[name], values)


def _read(name: str, folder: Path | None) -> str:
    if folder is not None and not folder.is_dir():
        raise ValueError(f"{folder} is no folder")
    names = [name, *([_FORMER[name]] if name in _FORMER else [])]
    own = [folder / f"{one}.txt" for one in names] if folder is not None else []
    for file in [*own, SHIPPED / f"{name}.txt"]:
        try:
            text = file.read_text("utf-8", "backslashreplace")[:MAX_TEMPLATE]
        except FileNotFoundError:
            continue
        except OSError as error:
            raise ValueError(f"{file} cannot be read: {error.strerror}") from error
        try:
            _filled(text, SAMPLE.values())
        except KeyError as error:
            raise ValueError(f"{file}: nothing is known by the name %({error.args[0]})s") from None
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from None
        return text
    raise ValueError(f"there is no template {name}")


def _filled(text: str, values: Mapping[str, str]) -> Message:
    known = Vars()
    vars(known).update(values)
    message = create_msg(known, None, None, text)
    if message is None:
        raise ValueError("a template can't be empty")
    return message


def template_for(tag: str) -> str:
    """The name of the template for an access map tag such as "spf-softfail" or "helo-fail"."""
    kind, _, result = tag.partition("-")
    if kind in ("helo", "dkim"):
        return kind
    return result if result in NAMES else "neutral"


def sendable(address: str) -> bool:
    """Whether a plain header field can hold the address."""
    return _ADDRESS.fullmatch(address) is not None


def compose(name: str, facts: Facts, templates: Templates, *, sender: str, message_id: str) -> bytes:
    """The notice as octets with CRLF.

    sender      the author of the notice: an address of ours
    message_id  with its brackets
    """
    filled = templates.fill(name, facts.values())
    mail = EmailMessage(policy=_POLICY)
    mail["From"] = f"Mail Delivery System <{sender}>"
    mail["To"] = facts.sender
    mail["Subject"] = shown(str(filled["Subject"] or "About your message"), 200)
    mail["Date"] = format_datetime(datetime.fromtimestamp(facts.now, UTC))
    mail["Message-ID"] = message_id
    mail["Auto-Submitted"] = "auto-replied"  # RFC 3834 section 5
    mail["X-Auto-Response-Suppress"] = "All"  # Exchange
    mail["MIME-Version"] = "1.0"
    boundary = f"=_{hashlib.sha256(message_id.encode()).hexdigest()[:32]}"  # unpredictable
    mail["Content-Type"] = f'multipart/report; report-type=delivery-status; boundary="{boundary}"'
    head = mail.as_bytes(policy=_POLICY).partition(b"\r\n\r\n")[0]
    payload = filled.get_payload(decode=True)
    text = payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""
    quoted = "".join(f"{key}: {for_reply(value, 800)}\r\n" for key, value in facts.fields if key in _QUOTED_FIELDS)
    parts = (_text(text), _part("message/delivery-status", _status(name, facts)), _part("text/rfc822-headers", quoted))
    mark = f"--{boundary}".encode()
    return head + b"\r\n\r\n" + b"".join(mark + b"\r\n" + part + b"\r\n" for part in parts) + mark + b"--\r\n"


def _text(text: str) -> bytes:
    lines = [
        piece
        for line in text.splitlines()
        for piece in ([line] if len(line) <= _WIDTH or line.startswith("\t") else textwrap.wrap(line, _WIDTH) or [""])
    ]
    part = EmailMessage(policy=_POLICY)
    content = "\n".join(lines) + "\n"
    part.set_content(content, cte="7bit" if content.isascii() else "quoted-printable")
    del part["MIME-Version"]
    return part.as_bytes(policy=_POLICY)


def _status(name: str, facts: Facts) -> str:
    """The part for programs (RFC 3464 section 2): the message was relayed, or is waiting."""
    waits = name == "quarantine"
    receiver = facts.receiver if is_hostname(facts.receiver.lower()) else "localhost"
    lines = [f"Reporting-MTA: dns; {receiver}"]
    if is_hostname(facts.helo.lower()):
        lines.append(f"Received-From-MTA: dns; {facts.helo}")
    lines.append(f"Arrival-Date: {format_datetime(datetime.fromtimestamp(facts.received_at, UTC))}")
    for address in facts.recipients[:MAX_LISTED]:
        if sendable(address):
            lines += ["", f"Final-Recipient: rfc822; {address}"]
            lines += [f"Action: {'delayed' if waits else 'relayed'}", f"Status: {'4.7.1' if waits else '2.0.0'}"]
    return "".join(f"{line}\r\n" for line in lines)


def _part(kind: str, content: str) -> bytes:
    """A part whose content is ASCII."""
    return f"Content-Type: {kind}\r\n\r\n{content}".encode("ascii")
