"""Delivery status notifications: compose them from a template, send them, or only ask whether one would arrive."""

from __future__ import annotations

import contextlib
import re
import smtplib
import time
from collections.abc import Mapping, Sequence
from email.message import Message
from email.policy import compat32
from typing import Any

import Milter
from Milter import dns

SMTP_PORT = 25
MAX_SERVERS = 10
"""How many mail servers of one domain are tried."""

Failure = tuple[int, str]
"""(SMTP code, text). A 4xx code says to try again later."""


class Vars:
    """A bag of attributes for :func:`create_msg`."""


# --- sending ----------------------------------------------------------------------------------------------------


def send_dsn(
    mailfrom: str,
    receiver: str,
    msg: str | bytes | Message | None = None,
    timeout: float = 600,
    session: Any = None,
    ourfrom: str = "",
) -> Failure | None:
    """Send a notification to ``mailfrom``; without ``msg`` only ask whether it would be accepted (a callback, CBV).

    ``receiver`` is our own name for HELO, ``ourfrom`` our envelope sender, as a rule the null reverse path.
    ``session`` looks up MX records (:class:`Milter.dns.Session`). All of it takes at most ``timeout`` seconds or a
    little more. Returns None if all is well, otherwise what was wrong, in the words of the other side if it spoke.
    """
    _, at, domain = mailfrom.rpartition("@")
    if not at or not _SAFE_ADDRESS.fullmatch(mailfrom) or not _possible_name(domain):
        return 553, f"5.1.3 No valid address: {_printable(mailfrom)}"
    deadline = time.monotonic() + timeout
    try:
        servers = (session or dns.Session()).dns(domain, "MX")
    except dns.DNSError as problem:
        return 450, f"4.4.3 DNS: {problem}"
    if [str(host).rstrip(".") for _, host in servers] == [""]:
        return 556, f"5.1.10 {domain} does not accept mail"  # null MX, RFC 7505
    hosts = [host for _, host in sorted(servers)] or [domain]  # RFC 5321 5.1
    for host in hosts[:MAX_SERVERS]:
        left = deadline - time.monotonic()
        if left <= 0:
            return 450, f"No MX servers responded in {timeout:g} secs"
        try:
            return _converse(host, left, receiver, ourfrom, mailfrom, msg)
        except (OSError, smtplib.SMTPException):  # not to be reached, or not willing to talk: ask the next one
            continue
    return 450, "No MX servers available"


_SAFE_ADDRESS = re.compile(r"[^\s<>\x00-\x1f\x7f]{1,320}")


def _possible_name(domain: str) -> bool:
    """Return whether ``domain`` can be a name in DNS, by its characters and the lengths of its labels."""
    return len(domain) < 254 and all(0 < len(label) < 64 for label in domain.split("."))


def _printable(text: str) -> str:
    return text[:100].encode("ascii", "backslashreplace").decode().translate(dict.fromkeys(range(32), "?"))


def _converse(
    host: str, timeout: float, receiver: str, ourfrom: str, rcpt: str, msg: str | bytes | Message | None
) -> Failure | None:
    """Talk to one server. Raises OSError and SMTPException if the next one should be asked."""
    smtp = smtplib.SMTP(timeout=timeout)
    try:
        _expect_welcome(smtp.connect(host, SMTP_PORT))
        _expect_welcome(smtp.helo(receiver))
        failure = _transaction(smtp, ourfrom, rcpt, msg)
        with contextlib.suppress(smtplib.SMTPException, OSError):
            smtp.quit()  # the verdict is in: a server that hangs up now must not make us ask, or send, once more
        return failure
    finally:
        smtp.close()


def _expect_welcome(reply: tuple[int, bytes | str]) -> None:
    if not 200 <= reply[0] < 300:
        raise smtplib.SMTPResponseException(*reply)


def _transaction(smtp: smtplib.SMTP, ourfrom: str, rcpt: str, msg: str | bytes | Message | None) -> Failure | None:
    for command in (f"MAIL FROM:<{ourfrom.strip('<>')}>", f"RCPT TO:<{rcpt}>"):
        code, text = smtp.docmd(command)
        if not 200 <= code < 300:
            return _failure(code, text)
    if msg is None:
        smtp.rset()
        return None
    try:
        code, text = smtp.data(_on_the_wire(msg))
    except smtplib.SMTPDataError as refused:
        return _failure(refused.smtp_code, refused.smtp_error)
    return None if 200 <= code < 300 else _failure(code, text)


def _failure(code: int, text: bytes | str) -> Failure:
    if code == -1:
        raise smtplib.SMTPServerDisconnected("connection lost")
    return code, text.decode("utf-8", "replace") if isinstance(text, bytes) else text


def _on_the_wire(msg: str | bytes | Message) -> bytes:
    """smtplib itself makes the line ends CRLF and stuffs the dots."""
    if isinstance(msg, Message):
        return msg.as_bytes()
    return msg.encode("utf-8", "surrogateescape") if isinstance(msg, str) else msg


# --- composing --------------------------------------------------------------------------------------------------

_VARIABLE = re.compile(r"%(?:\((\w+)\)s|%)")
_LINE_BREAKS = re.compile(r"[\r\n\0\x0b\x0c\x85\u2028\u2029]+\s*")


def create_msg(
    v: Any, rcptlist: Sequence[str] | None = None, origmsg: Any = None, template: str | None = None
) -> Message | None:
    r"""Compose a notification from ``template``; returns None without one.

    The template is a message, header fields first, lines ended by ``\n``, with ``%(name)s`` for the attributes of
    ``v`` and ``%%`` for a percent sign. ``v`` needs ``sender`` and ``receiver``; ``v.rcpt`` is set from ``rcptlist``,
    ``v.subject`` and ``v.spf_result`` from ``origmsg``. Raises KeyError for a name that ``v`` lacks, and ValueError
    for a template without header fields. Whatever a value contains, it cannot add a field to the header.
    """
    if not template:
        return None
    if rcptlist:
        v.rcpt = "\n\t".join(rcptlist)
    if origmsg is not None:
        v.subject = str(origmsg["Subject"] or "(none)")
        v.spf_result = str(origmsg["Received-SPF"] or "").partition(" ")[0]
    values = {"rcpt": "", "subject": "", "spf_result": "", **vars(v)}
    head, _, body = template.partition("\n\n")
    msg = Message(policy=compat32)
    for name, value in _template_fields(head):
        msg[name] = _fill(value, values, one_line=True)
    for name, value in (
        ("Auto-Submitted", "auto-replied"),  # RFC 3834: nobody must answer it automatically
        ("X-Mailer", f"PyMilter-{Milter.__version__}"),
    ):
        if name not in msg:
            msg[name] = value
    text = _fill(body, values, one_line=False)
    msg.set_payload(text.encode("utf-8", "replace"), "us-ascii" if text.isascii() else "utf-8")
    return msg


def _template_fields(head: str) -> list[tuple[str, str]]:
    """Split the header of a template into fields; a line that begins with white space continues the one before."""
    fields: list[list[str]] = []
    for line in head.splitlines():
        if line[:1] in (" ", "\t") and fields:
            fields[-1][1] += "\n" + line
            continue
        name, colon, value = line.partition(":")
        if not colon or not name or any(c.isspace() for c in name):
            raise ValueError(f"a DSN template must begin with header fields, not with {line!r}")
        fields.append([name, value.strip()])
    return [(name, value) for name, value in fields]


def _fill(text: str, values: Mapping[str, Any], *, one_line: bool) -> str:
    def value(variable: re.Match[str]) -> str:
        if variable[1] is None:
            return "%"
        found = str(values[variable[1]])
        return _LINE_BREAKS.sub(" ", found) if one_line else found

    return _VARIABLE.sub(value, text)
