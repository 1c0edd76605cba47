"""Taking over the mailboxes in which DSPAM and pydspam kept each user's quarantine."""

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

_FIELD = re.compile(rb"[A-Za-z][\w.-]*[ \t]*:")  # more names are allowed, and found in texts only
_TIME = re.compile(rb" \d\d?:\d\d")
# What the filter wrote for itself.
_OURS = frozenset(
    {b"x-dspam-recipients", b"x-dspam-recipient", b"x-dspam-score", b"x-dspam-signature", b"x-dspam-factors"}
    | {b"x-dspam-result", b"x-dspam-confidence", b"x-dspam-probability", b"x-dspam-processed", b"x-dspam-user"}
)
_MAX_RECIPIENTS = 1_000
_MAX_ADDRESS = 320
_CHECK = "spam_action"  # the one that does today what their filter did


@dataclasses.dataclass(slots=True)
class Imported:
    """What an import did; `oldest` is when the oldest of the new messages came."""

    new: int = 0
    known: int = 0
    oldest: float = math.inf
    problems: list[str] = dataclasses.field(default_factory=list)

    @property
    def seen(self) -> int:
        return self.new + self.known + len(self.problems)


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """A quarantined message, as its mailbox tells it; `content` is without what the filter added."""

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
    """Put the messages of a mailbox into the user's quarantine, each in a transaction of its own. The file is only read.

    One that is there already stays as it is. What is no message is noted in `problems`, and the others go on. Raises BadName,
    MailboxError where the file can't be read, StoreError.
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
    """pydspam did not quote lines of a message that start with "From ": one without a time, or before what is no header, is
    text of the message before it."""
    last: Stored | None = None
    for stored in found:
        if stored.from_line and not stored.number:  # a mailbox, too, though of one message
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
    """What the mailbox tells of a message. Never raises, whatever the message contains."""
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
    """The filter appended its fields: one of the same name above it is a sender's forgery."""
    return values.get(name, [b""])[-1].strip()


def _recipients(values: dict[bytes, list[bytes]], user: str) -> tuple[str, ...]:
    raw = _last(values, b"x-dspam-recipients") or _last(values, b"x-dspam-recipient")
    named = from_wire(b" ".join(raw.split()), _MAX_RECIPIENTS * _MAX_ADDRESS).split(",")[:_MAX_RECIPIENTS]
    found = dict.fromkeys(from_wire(envelope_address(name.strip()), _MAX_ADDRESS) for name in named if name.strip())
    if not found and "@" in user:
        return (user,)
    return tuple(found)


def _mail_from(from_line: bytes, values: dict[bytes, list[bytes]]) -> str:
    """From the mbox line where the MTA wrote it, else from Return-Path; "" if neither tells."""
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
    """When the message was put into the mailbox, in local time; `now` where the line does not tell, or tells the future."""
    words = from_line[:200].decode("ascii", "replace").split(" ", 2)
    try:
        parsed = email.utils.parsedate(words[-1].strip())
        when = time.mktime((*parsed[:8], -1)) if parsed else now
    except (OverflowError, ValueError, IndexError, TypeError):
        return now
    return when if 0 < when < now else now


def _original(raw: bytes) -> bytes:
    """The message with CRLF line ends, without the fields and the tag that the filter added, and without the empty lines that
    end it in a mailbox: how many there are depends on what comes after it."""
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
    """Keep the message; False if it is kept from this user already."""
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
    """The reference under which the message is stored: made of its content, so that it is the same the next time. Locked until
    the transaction ends, so that it can't be deleted meanwhile, nor kept twice."""
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
        digest = hashlib.sha256(digest).digest()  # somebody else's message has this one
