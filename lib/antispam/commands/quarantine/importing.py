"""Import of the mailboxes in which DSPAM and pydspam kept each user's quarantine."""

from __future__ import annotations

import base64
import dataclasses
import email.utils
import hashlib
import math
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import sqlalchemy as sa

import _mimetree
from antispam.mail.message import Header, envelope_address
from antispam.protocols.mailboxes import Stored, messages, unquoted
from antispam.store import Store, stored_messages
from antispam.store.quarantine import checked_user, subject_column
from antispam.store.schema import quarantine_entry, stored_message
from antispam.text import from_wire
from dspam.tags import extract_signature_tags

_FIELD = re.compile(rb"[A-Za-z][\w.-]*[ \t]*:")  # other valid names occur only in text
_TIME = re.compile(rb" \d\d?:\d\d")
# Fields that the old filter wrote for itself.
_OURS = frozenset(
    {b"x-dspam-recipients", b"x-dspam-recipient", b"x-dspam-score", b"x-dspam-signature", b"x-dspam-factors"}
    | {b"x-dspam-result", b"x-dspam-confidence", b"x-dspam-probability", b"x-dspam-processed", b"x-dspam-user"}
)
_MAX_RECIPIENTS = 1_000
_MAX_ADDRESS = 320
_CHECK = "spam_action"  # the check that replaces their filter


@dataclasses.dataclass(slots=True)
class Imported:
    """The result of an import; `oldest` is the arrival time of the oldest new message."""

    new: int = 0
    known: int = 0
    oldest: float = math.inf
    problems: list[str] = dataclasses.field(default_factory=list)

    @property
    def seen(self) -> int:
        return self.new + self.known + len(self.problems)


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """A quarantined message from its mailbox; `content` excludes the old filter's additions."""

    received_at: float
    mail_from: str
    recipients: tuple[str, ...]
    subject: str
    score: float | None
    signature: str
    content: bytes


def import_mailbox(
    store: Store,
    user: str,
    file: Path,
    now: float,
    *,
    result: Imported | None = None,
    done: Callable[[Stored], None] = lambda stored: None,
) -> Imported:
    """Import the messages of a mailbox into the user's quarantine, each in its own transaction. The file is only read.

    Existing ones are unchanged. Invalid messages are added to `problems` and skipped. Raises BadName, MailboxError if
    the file cannot be read, StoreError.
    """
    result = Imported() if result is None else result
    checked_user(user)
    for stored in _whole(messages(file)):
        if not (stored.raw.strip() or stored.from_line):
            continue  # a mailbox without messages
        if stored.cut:
            result.problems.append(f"{stored.name}: larger than a message may be; not imported")
        elif not _FIELD.match(stored.raw):
            result.problems.append(
                f"{stored.name}: not a message, because it does not start with a header field; not imported"
            )
        else:
            found = read_message(stored, user, now)
            if _put(store, user, found, file.name):
                result.new += 1
                result.oldest = min(result.oldest, found.received_at)
            else:
                result.known += 1
        done(stored)
    return result


def _whole(found: Iterator[Stored]) -> Iterator[Stored]:
    """The messages, with wrongly split ones joined. pydspam did not quote lines that start with "From ": such a line
    without a time, or not followed by a header, is text of the previous message.
    """
    last: Stored | None = None
    for stored in found:
        if stored.from_line and not stored.number:  # also a mailbox, with a single message
            stored = stored._replace(raw=unquoted(stored.raw))
        if last is None:
            last = stored
        elif (_TIME.search(stored.from_line) and _FIELD.match(stored.raw)) or not last.raw.strip():
            yield last
            last = stored
        else:
            raw = last.raw + _line_end(last.raw) + stored.from_line + stored.raw
            last = last._replace(raw=raw, cut=last.cut or stored.cut)
    if last is not None:
        yield last


def _line_end(raw: bytes) -> bytes:
    return b"\r\n" if raw.endswith(b"\r\n") else b"\n"


def read_message(stored: Stored, user: str, now: float) -> Found:
    """The data of a message from its mailbox. Never raises, whatever the message contains."""
    values: dict[bytes, list[bytes]] = {}
    for field in _mimetree.read_header(stored.raw, 0, len(stored.raw)).fields:
        values.setdefault(field.name.strip().lower(), []).append(field.value)
    signature = from_wire(_last(values, b"x-dspam-signature"), 64)
    return Found(
        received_at=_received_at(stored.from_line, now),
        mail_from=_mail_from(stored.from_line, values),
        recipients=_recipients(values, user),
        subject=next((Header(b"Subject", value).decoded for value in values.get(b"subject", [])), ""),
        score=_score(_last(values, b"x-dspam-score") or _last(values, b"x-dspam-probability")),
        signature=signature if signature.isalnum() and signature.isascii() else "",
        content=_original(stored.raw),
    )


def _last(values: dict[bytes, list[bytes]], name: bytes) -> bytes:
    """The last value of a field. The filter appended its fields, so an earlier one of the same name is forged."""
    return values.get(name, [b""])[-1].strip()


def _recipients(values: dict[bytes, list[bytes]], user: str) -> tuple[str, ...]:
    raw = _last(values, b"x-dspam-recipients") or _last(values, b"x-dspam-recipient")
    named = from_wire(b" ".join(raw.split()), _MAX_RECIPIENTS * _MAX_ADDRESS).split(",")[:_MAX_RECIPIENTS]
    found = dict.fromkeys(from_wire(envelope_address(name.strip()), _MAX_ADDRESS) for name in named if name.strip())
    if not found and "@" in user:
        return (user,)
    return tuple(found)


def _mail_from(from_line: bytes, values: dict[bytes, list[bytes]]) -> str:
    """The envelope sender from the mbox line if the MTA wrote it, else from Return-Path; "" without either."""
    word = from_line[5:].split(b" ", 1)[0]
    if b"@" not in word:
        word = values.get(b"return-path", [b""])[0].strip()
    address = from_wire(envelope_address(from_wire(word, _MAX_ADDRESS)), _MAX_ADDRESS)
    return address if address.isprintable() else ""


def _score(text: bytes) -> float | None:
    try:
        score = float(text)
    except ValueError:
        return None
    return score if 0 <= score <= 1 else None


def _received_at(from_line: bytes, now: float) -> float:
    """The time the message was put into the mailbox, read as local time; `now` if the line has no time or a future one."""
    words = from_line[:200].decode("ascii", "replace").split(" ", 2)
    try:
        parsed = email.utils.parsedate(words[-1].strip())
        when = time.mktime((*parsed[:8], -1)) if parsed else now
    except (OverflowError, ValueError, IndexError, TypeError):
        return now
    return when if 0 < when < now else now


def _original(raw: bytes) -> bytes:
    """The message with CRLF line ends, without the fields and the tag added by the filter, and without its final empty
    lines, whose number depends on the following message.
    """
    lines = raw.replace(b"\r\n", b"\n").split(b"\n")
    end = lines.index(b"") if b"" in lines else len(lines)
    head: list[bytes] = []
    dropped = False
    for line in lines[:end]:
        if line[:1] not in (b" ", b"\t"):
            dropped = line.partition(b":")[0].strip().lower() in _OURS
        if not dropped:
            head.append(line)
    body, _ = extract_signature_tags(b"\n".join(lines[end + 1 :]))
    return b"\r\n".join([*head, b"", *body.rstrip(b"\n").split(b"\n"), b""])


def _put(store: Store, user: str, found: Found, source: str) -> bool:
    """Quarantine the message. False if the user already has it."""
    values = {
        "user_name": user,
        "received_at": found.received_at,
        "mail_from": found.mail_from,
        "recipients": msgspec.json.encode(found.recipients).decode(),
        "subject": subject_column(found.subject),
        "size": len(found.content),
        "check_name": _CHECK,
        "action": "quarantine",
        "reason": f"imported from {from_wire(source, 200)}{found.signature and f'; signature {found.signature}'}",
        "score": found.score,
    }
    with store.write() as connection:
        ref = _keep_content(store, connection, found)
        there = sa.select(quarantine_entry.c.id).where(
            quarantine_entry.c.ref == ref, quarantine_entry.c.user_name == user
        )
        if connection.scalar(there) is not None:
            return False
        connection.execute(sa.insert(quarantine_entry).values(ref=ref, **values))
    return True


def _keep_content(store: Store, connection: sa.Connection, found: Found) -> str:
    """Store the message and return its reference, which is derived from the content and so is always the same. The row
    is locked until the transaction ends, so that the message cannot be deleted meanwhile or stored twice.
    """
    digest = hashlib.sha256(found.content).digest()
    while True:
        ref = base64.b32encode(digest)[:12].decode("ascii").lower()
        row = {"ref": ref, "stored_at": found.received_at, "content": found.content[: stored_messages.PIECE]}
        same = {"stored_at": stored_message.c.stored_at}
        connection.execute(store.upsert(stored_message, row, key=("ref",), update=same))
        if stored_messages.read(connection, ref) == found.content:
            return ref
        if connection.scalar(sa.select(quarantine_entry.c.id).where(quarantine_entry.c.ref == ref).limit(1)) is None:
            stored_messages.write_rest(connection, ref, found.content, again=True)
            if stored_messages.read(connection, ref) == found.content:
                return ref
        digest = hashlib.sha256(digest).digest()  # another message has this reference
