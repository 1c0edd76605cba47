"""Messages that are kept from their recipients until somebody has looked at them: one entry for each user concerned."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from antispam.message import Message
from antispam.outcome import Decision
from antispam.store.schema import quarantine_entry, stored_message
from antispam.text import from_wire

_MAX_SUBJECT = 500


@dataclasses.dataclass(frozen=True, slots=True)
class Kept:
    """What is kept from one user.

    user        of the filter; where the recipient is none of its users, his address in lower case
    recipients  the addresses under which he would have got it
    decision    what kept it from him, and why
    score       the probability that it is spam, None where nobody classified it
    """

    user: str
    recipients: tuple[str, ...]
    decision: Decision
    score: float | None = None


def insert(connection: sa.Connection, message: Message, kept: Sequence[Kept]) -> None:
    """Write the message and its entries, within the caller's transaction. The message must have been kept whole."""
    raw = message.raw()
    connection.execute(sa.insert(stored_message).values(ref=message.ref, stored_at=message.received_at, content=raw))
    subject = next((header.decoded for header in message.fields(b"subject")), "")
    common = {
        "ref": message.ref,
        "received_at": message.received_at,
        "mail_from": from_wire(message.mail_from, 320),
        "subject": from_wire(subject, _MAX_SUBJECT).replace("\0", "\\x00"),
        "size": len(raw),
    }
    connection.execute(sa.insert(quarantine_entry), [common | _values(one) for one in kept])


def _values(kept: Kept) -> dict[str, object]:
    return {
        "user_name": from_wire(kept.user, 320),
        "recipients": msgspec.json.encode([from_wire(address, 320) for address in kept.recipients]).decode(),
        "check_name": kept.decision.check[:32],
        "action": str(kept.decision.verdict.action),
        "reason": from_wire(kept.decision.verdict.reason),
        "score": kept.score,
    }
