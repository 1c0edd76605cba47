"""The mail that we send ourselves, kept until the MTA has taken it."""

from __future__ import annotations

import dataclasses
import enum
import hashlib

import msgspec
import sqlalchemy as sa

from antispam.deadline import Deadline
from antispam.store.engine import Store
from antispam.store.schema import outbox

PASS_FIELD = "X-BMS-Pass"


class Kind(enum.StrEnum):
    """What a letter is."""

    REST = "rest"  # a message as some of its recipients want it, whom the others' copy could not serve
    RELEASE = "release"  # a message out of the quarantine
    ANSWER = "answer"  # what we say to one of our users


@dataclasses.dataclass(frozen=True, slots=True)
class Letter:
    """Something to be sent.

    ref         of the message that it is about
    mail_from   the envelope sender; "" is the null reverse path
    content     the whole message, lines ended by CRLF
    once        where it is not empty, no second letter of this name is taken
    """

    kind: Kind
    ref: str
    mail_from: str
    recipients: tuple[str, ...]
    content: bytes
    once: str = ""


def post(store: Store, connection: sa.Connection, letter: Letter, now: float) -> None:
    """Take a letter, within the caller's transaction: it will be sent if that is committed."""
    values = {
        "kind": str(letter.kind),
        "ref": letter.ref,
        "created_at": now,
        "mail_from": letter.mail_from,
        "recipients": msgspec.json.encode(letter.recipients).decode(),
        "content": letter.content,
        "once": hashlib.sha256(letter.once.encode("utf-8", "surrogatepass")).hexdigest() if letter.once else None,
        "next_at": now,
        "tries": 0,
        "last_error": "",
    }
    if letter.once:
        connection.execute(store.upsert(outbox, values, key=("once",), update=None))
    else:
        connection.execute(sa.insert(outbox).values(values))


@dataclasses.dataclass(frozen=True, slots=True)
class Passed:
    """A letter that the MTA has shown us, known by its pass: what it is, and of which message."""

    kind: str
    ref: str


def pass_digest(secret: str) -> str:
    """What is stored of a pass: who reads the database can't make one."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def use_pass(store: Store, letter_id: int, secret: str, now: float, deadline: Deadline | None = None) -> Passed | None:
    """The letter whose pass this is, which is worth nothing from now on; None for one that is not valid: forged, used before,
    of another letter, or of a try that is over. Raises StoreError, at the `deadline` at the latest."""
    valid = sa.and_(outbox.c.id == letter_id, outbox.c.pass_digest == pass_digest(secret), outbox.c.next_at > now)
    with store.read(deadline) as connection:  # a stranger's costs no lock
        found = connection.execute(sa.select(outbox.c.kind, outbox.c.ref).where(valid)).one_or_none()
    if found is None:
        return None
    with store.write(deadline) as connection:
        used = connection.execute(sa.update(outbox).where(valid).values(pass_digest=None))
    return Passed(*found) if used.rowcount == 1 else None
