"""The mail that we send ourselves, kept until the MTA has taken it."""

from __future__ import annotations

import dataclasses
import enum
import hashlib

import msgspec
import sqlalchemy as sa

from antispam.store.engine import Store
from antispam.store.schema import outbox


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
