"""The report to the sender of a message that we took over for some recipients and had to give up (RFC 5321 section 6.1).

Without it, the client got 250 from us, the copy was never delivered, and nobody would know.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from email.utils import formatdate

from antispam.protocols.dsn_parameters import from_xtext, value, wants_failures
from antispam.store.outbox import Claimed, Kind, QueuedMessage
from antispam.text import for_reply

MAX_LISTED = 100  # recipients
MAX_RETURNED = 50_000  # octets of the message
_STATUS = re.compile(r"\b([45]\.\d{1,3}\.\d{1,3})\b")


def report_of(queued: Claimed, left: Sequence[str], answer: str, *, reporter: str, now: float) -> QueuedMessage | None:
    """The report about a message that is given up for the recipients `left`; None if nobody is to be told: the message
    did not come from its sender, the sender is the null path, or did not want failure reports.

    answer    the MTA's last reply
    reporter  our host name
    """
    notified = [one for one in left if wants_failures(queued.notify.get(one, ""))]
    if queued.kind != Kind.COPY or not queued.mail_from or not notified:
        return None
    content = compose(queued, notified[:MAX_LISTED], answer, reporter=reporter, now=now)
    return QueuedMessage(Kind.DSN, queued.ref, "", (queued.mail_from,), content, once=f"undelivered {queued.id}")


def compose(queued: Claimed, recipients: Sequence[str], answer: str, *, reporter: str, now: float) -> bytes:
    """A delivery status notification of RFC 3464: text for a person, fields for programs, and the returned message."""
    boundary = f"=_{secrets.token_hex(12)}"
    whole = value(queued.notify.get("", ""), "RET").upper() == "FULL"
    returned, kind = _returned(queued.content, whole)
    parts = [
        f"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{_words(recipients, answer)}",
        f"Content-Type: message/delivery-status\r\n\r\n{_fields(queued, recipients, answer, reporter)}",
    ]
    head = [
        f"From: Mail Delivery System <MAILER-DAEMON@{reporter}>",
        f"To: <{_printable(queued.mail_from)}>",
        "Subject: Your message could not be delivered",
        f"Date: {formatdate(now)}",
        f"Message-ID: <undelivered.{queued.id}.{secrets.token_hex(8)}@{reporter}>",
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type=delivery-status; boundary="{boundary}"',
    ]
    text = "\r\n".join([*head, "", ""])
    for part in parts:
        text += f"--{boundary}\r\n{part}\r\n"
    last = f"--{boundary}\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    return (text + last).encode("utf-8", "surrogateescape") + returned + f"\r\n--{boundary}--\r\n".encode()


def _words(recipients: Sequence[str], answer: str) -> str:
    listed = "\r\n".join(f"    {for_reply(one)}" for one in recipients)
    return (
        "Your message was accepted here, but could not be delivered to:\r\n\r\n"
        f"{listed}\r\n\r\n"
        f"The mail server said: {for_reply(answer)}\r\n\r\n"
        "It will not be tried again. Please contact these people in another way.\r\n"
    )


def _fields(queued: Claimed, recipients: Sequence[str], answer: str, reporter: str) -> str:
    status = _STATUS.search(answer)
    envelope = value(queued.notify.get("", ""), "ENVID")
    blocks = [f"Reporting-MTA: dns; {reporter}\r\nArrival-Date: {formatdate(queued.created_at)}\r\n"]
    if envelope:
        blocks[0] += f"Original-Envelope-Id: {for_reply(from_xtext(envelope))}\r\n"
    for one in recipients:
        original = value(queued.notify.get(one, ""), "ORCPT").partition(";")
        block = f"Original-Recipient: {original[0]}; {for_reply(from_xtext(original[2]))}\r\n" if original[1] else ""
        kind = "rfc822" if one.isascii() else "utf-8"  # RFC 6533 section 3
        block += f"Final-Recipient: {kind}; {_printable(one)}\r\nAction: failed\r\n"
        block += f"Status: {status[1] if status else '5.0.0'}\r\nDiagnostic-Code: smtp; {for_reply(answer)}\r\n"
        blocks.append(block)
    return "\r\n".join(blocks)


def _printable(address: str) -> str:
    return address if address.isprintable() else for_reply(address)


def _returned(content: bytes, whole: bool) -> tuple[bytes, str]:
    """The returned content and its media type: the header, or the whole message if it is not too large (RFC 3461
    section 4.3).
    """
    if whole and len(content) <= MAX_RETURNED:
        return content, "message/rfc822"
    header = content.partition(b"\r\n\r\n")[0]
    return header[:MAX_RETURNED] + b"\r\n", "text/rfc822-headers"
