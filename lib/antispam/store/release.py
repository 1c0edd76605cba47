"""Release of quarantined messages: the original goes to the outbox and from there to its recipients."""

from __future__ import annotations

import dataclasses
import enum
import re
from collections.abc import Callable, Sequence

import sqlalchemy as sa

from antispam.mail.own_fields import is_ours
from antispam.store.engine import Store, StoreError
from antispam.store.outbox import Kind, QueuedMessage, post, retry
from antispam.store.quarantine import BadName, Entry, NoEntry, content
from antispam.store.schema import outbox, quarantine_entry
from antispam.text import for_log, with_crlf

MAX_ADDRESS = 320
_LOOKS = 10
_ESCAPED = re.compile(r"\\x[0-9a-f]{2}")
_HEADER_END = re.compile(rb"\A\r?\n|\r?\n\r?\n")
_LINE_END = re.compile(rb"\r\n|\n")
_BARE_CR = re.compile(rb"\r(?!\n)")


Protect = Callable[[bytes, str], bytes]
"""protect(raw, ref) returns the whole message, with our reference ref, without its dangerous or forged parts. Raises
StoreError.
"""


class Outcome(enum.StrEnum):
    """The outcome of a release."""

    POSTED = "posted"  # now in the outbox
    UNDER_WAY = "under way"  # already in the outbox
    RELEASED = "released"  # already accepted by the MTA


@dataclasses.dataclass(frozen=True, slots=True)
class Released:
    """The outcome, the number of the queued message in the outbox, and its recipients."""

    outcome: Outcome
    outbox_id: int | None
    recipients: tuple[str, ...]


def release(
    store: Store, entry: Entry, now: float, *, protect: Protect | None, to: Sequence[str] = (), force: bool = False
) -> Released:
    """Send the message to the recipients who did not get it, or to those in `to`.

    protect  removes dangerous or forged parts (journey/protection.py); None sends the original, at an administrator's
             wish

    If that is under way or done, nothing happens without `force`. A message that was given up is tried again for those
    who have not got it. Safe for simultaneous use by several processes. Raises NoEntry if the entry is gone, BadName if
    it has no usable recipient, StoreError if nothing was done.
    """
    recipients = tuple(checked_address(address) for address in to) or usable(entry)
    original = for_delivery(content(store, entry.ref), with_marks=protect is None)
    content_now = original if protect is None else protect(original, entry.ref)
    kind = Kind.ORIGINAL if protect is None else Kind.RELEASE
    queued = QueuedMessage(kind, entry.ref, _sender(entry), recipients, content_now)
    for _ in range(_LOOKS):
        released, failed = _post(store, entry, queued, now, force=force, instead=bool(to) or protect is None)
        if released is not None:
            return released
        if failed is not None and retry(store, failed, now):
            return Released(Outcome.POSTED, failed, recipients)
        # Meanwhile somebody else retried or deleted it.
    raise StoreError(f"the release of {entry.ref} keeps changing")


def _post(
    store: Store, entry: Entry, queued: QueuedMessage, now: float, *, force: bool, instead: bool
) -> tuple[Released | None, int | None]:
    """The outcome, or the number of the queued message that failed before and is to be retried."""
    table = quarantine_entry
    with store.write() as connection:
        # Lock the row: of two simultaneous requests, the second sees the queued message of the first.
        query = sa.select(table.c.outbox_id, table.c.released_at).where(table.c.id == entry.number).with_for_update()
        row = connection.execute(query).one_or_none()
        if row is None:
            raise NoEntry(f"{entry.ref} is no longer kept")
        if not force:
            before = connection.execute(sa.select(outbox.c.next_at).where(outbox.c.id == row.outbox_id)).one_or_none()
            if before is not None and before.next_at is not None:
                return Released(Outcome.UNDER_WAY, row.outbox_id, queued.recipients), None
            if row.released_at is not None:
                return Released(Outcome.RELEASED, row.outbox_id, queued.recipients), None
            if before is not None and not instead:
                return None, row.outbox_id
        number = post(store, connection, queued, now)
        connection.execute(sa.update(table).where(table.c.id == entry.number).values(outbox_id=number))
    return Released(Outcome.POSTED, number, queued.recipients), None


def checked_address(text: str) -> str:
    """An address given as a recipient. Raises BadName."""
    if not _can_be_sent_to(text) or any(char in " ,;" for char in text):
        raise BadName(f"'{for_log(text, 60)}' is no address that mail could be sent to")
    return text


def usable(entry: Entry) -> tuple[str, ...]:
    """The recipients of an entry that mail can be sent to. Raises BadName if there is none."""
    found = tuple(address for address in entry.recipients if _can_be_sent_to(address))
    if not found:
        raise BadName(f"{entry.ref} has no recipient that mail could be sent to; name one with --to ADDRESS")
    return found


def _can_be_sent_to(address: str) -> bool:
    return 0 < len(address) <= MAX_ADDRESS and address.isprintable() and not any(char in "<>" for char in address)


def _sender(entry: Entry) -> str:
    """The envelope sender. It is replaced by the null sender if it could break an SMTP dialogue, or if it could not be
    stored unchanged: bounces would go to somebody else.
    """
    address = entry.mail_from
    altered = len(address) >= MAX_ADDRESS or _ESCAPED.search(address)
    return address if _can_be_sent_to(address) and not altered else ""


def for_delivery(original: bytes, *, with_marks: bool = False) -> bytes:
    """The message in the form for sending: lines end with CRLF (no server on the way may see a line end that we do not
    see), and fields that only a filter writes are removed, unless `with_marks`. Never raises.
    """
    end = _HEADER_END.search(original)
    head, body = (original, b"") if end is None else (original[: end.start()], original[end.end() :])
    lines: list[bytes] = []
    dropped = False
    for line in _LINE_END.split(head):
        if line[:1] not in (b" ", b"\t"):
            dropped = not with_marks and is_ours(line.partition(b":")[0])
        if not dropped:
            lines.append(_BARE_CR.sub(b" ", line) + b"\r\n")
    return b"".join(lines if head else []) + b"\r\n" + with_crlf(body)
