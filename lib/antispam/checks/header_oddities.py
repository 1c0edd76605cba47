"""Header faults that no mail program should produce, though some honest ones do."""

from __future__ import annotations

import dataclasses
import datetime
import email.utils
import enum
import re
from typing import ClassVar

from antispam.journey.services import Services
from antispam.mail import findings as base
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.authors import from_our_users
from antispam.mail.connection import Connection
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.remedies import Remedy, remedy_option, verdict_for
from antispam.mail.score import Hit
from antispam.mail.verdicts import CONTINUE, Verdict
from antispam.settings import CheckSettings, option, section
from antispam.settings.values import duration
from antispam.text import from_wire

NAME = "header_oddities"
OTHERWISE = "Each oddity has its option in `[header_oddities]` (ignore, quarantine, tempfail, reject)."


class Oddity(enum.StrEnum):
    """The oddities; each has an option of the same name."""

    MISSING_FROM = "missing_from"
    MISSING_DATE = "missing_date"
    MISSING_MESSAGE_ID = "missing_message_id"
    REPEATED = "repeated"
    INVALID_NAME = "invalid_name"
    EIGHT_BIT = "eight_bit"
    INVALID_DATE = "invalid_date"
    FUTURE_DATE = "future_date"
    OLD_DATE = "old_date"
    INVALID_MESSAGE_ID = "invalid_message_id"
    ADVERTISING = "advertising"
    BULK_MAILER = "bulk_mailer"


_FAULTS = {
    Oddity.MISSING_FROM: "it has no From field",
    Oddity.MISSING_DATE: "it has no Date field",
    Oddity.MISSING_MESSAGE_ID: "it has no Message-ID field",
    Oddity.REPEATED: "it repeats a field that may occur only once",
    Oddity.INVALID_NAME: "the name of a field contains invalid characters",
    Oddity.EIGHT_BIT: "a field contains characters that are neither ASCII nor UTF-8",
    Oddity.INVALID_DATE: "its Date field has no valid date",
    Oddity.FUTURE_DATE: "its date is in the future",
    Oddity.OLD_DATE: "its date is too far in the past",
    Oddity.INVALID_MESSAGE_ID: "its Message-ID field has no valid identifier",
    Oddity.ADVERTISING: "its subject says that it is advertising",
    Oddity.BULK_MAILER: "it was written by a program that is used for advertising only",
}

_TESTS = {
    Oddity.MISSING_FROM: "MISSING_FROM",
    Oddity.MISSING_DATE: "MISSING_DATE",
    Oddity.MISSING_MESSAGE_ID: "MISSING_MID",
    Oddity.REPEATED: "REPEATED_FIELD",
    Oddity.INVALID_NAME: "INVALID_FIELD_NAME",
    Oddity.EIGHT_BIT: "HEADER_8BIT",
    Oddity.INVALID_DATE: "INVALID_DATE",
    Oddity.FUTURE_DATE: "DATE_IN_FUTURE",
    Oddity.OLD_DATE: "DATE_IN_PAST",
    Oddity.INVALID_MESSAGE_ID: "INVALID_MSGID",
    Oddity.ADVERTISING: "SUBJECT_ADV",
    Oddity.BULK_MAILER: "BULK_MAILER",
}

# RFC 5322 section 3.6.
_ONCE = (
    b"date",
    b"from",
    b"sender",
    b"reply-to",
    b"to",
    b"cc",
    b"message-id",
    b"in-reply-to",
    b"references",
    b"subject",
)
# RFC 5322 section 2.2: printable US-ASCII without the colon.
_NAME = re.compile(rb"[!-9;-~]+")
# A lenient form of RFC 5322 section 3.6.4: mail programs write nearly anything into the brackets.
_MESSAGE_ID = re.compile(rb"<[^<>\s@]+@[^<>\s@]+>")
_BEFORE = ("adv:", "adv.", "adv ", "<adv>", "<ad>", "[adv]", "(adv)", "advt:", "advert:", "[spam]")
_AFTER = (" adv", "(adv)", "[adv]", "(non-spam)")
_MAILERS = ("direct email", "calypso", "mail bomber")


@section("header_oddities")
class Settings(CheckSettings):
    """[header_oddities]: each is ignore, quarantine, tempfail or reject."""

    missing_from: Remedy = remedy_option(Remedy.IGNORE, "no From field (RFC 5322 section 3.6)")
    missing_date: Remedy = remedy_option(Remedy.IGNORE, "no Date field; common with scripts, printers and appliances")
    missing_message_id: Remedy = remedy_option(Remedy.IGNORE, "no Message-ID field; common, and allowed")
    repeated: Remedy = remedy_option(
        Remedy.IGNORE,
        "repeated From, To, Cc, Subject, Date, Message-ID and similar fields; common with mailing lists and ticket systems",
    )
    invalid_name: Remedy = remedy_option(Remedy.IGNORE, "field names with spaces, control or 8-bit characters")
    eight_bit: Remedy = remedy_option(
        Remedy.IGNORE, "fields with octets that are not UTF-8: old programs, and spam in unusual charsets"
    )
    invalid_date: Remedy = remedy_option(Remedy.IGNORE, "an invalid date")
    future_date: Remedy = remedy_option(Remedy.IGNORE, "a date further in the future than `ahead`")
    old_date: Remedy = remedy_option(Remedy.IGNORE, "a date further in the past than `behind`")
    invalid_message_id: Remedy = remedy_option(
        Remedy.IGNORE, "a Message-ID without <left@right>; common with large companies"
    )
    advertising: Remedy = remedy_option(
        Remedy.IGNORE, "a subject that announces advertising: ADV:, [adv] and so on; upstream refused it"
    )
    bulk_mailer: Remedy = remedy_option(Remedy.IGNORE, "an X-Mailer that upstream refused")
    ahead: float = option(2 * 86400.0, "how far in the future a date may be", parse=duration("d"))
    behind: float = option(60 * 86400.0, "how far in the past a date may be", parse=duration("d"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding(base.Finding):
    """The oddities, each once, with the text that shows it."""

    check: ClassVar[str] = NAME
    odd: tuple[Oddity, ...] = ()
    seen: tuple[str, ...] = ()


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> Finding | None:
    """None for a header without fault, and for our own users' mail, whose programs may do as they like."""
    assert message is not None
    settings = services.settings[Settings]
    if from_our_users(message):
        return None
    found = dict([*_of_fields(message), *_of_date(message, settings), *_of_rest(message)])
    return Finding(odd=tuple(found), seen=tuple(found.values())) if found else None


def _of_fields(message: Message) -> list[tuple[Oddity, str]]:
    """The oddities in the list of fields."""
    fields = message.by_name()
    found = [
        (oddity, "")
        for oddity, key in (
            (Oddity.MISSING_FROM, b"from"),
            (Oddity.MISSING_DATE, b"date"),
            (Oddity.MISSING_MESSAGE_ID, b"message-id"),
        )
        if key not in fields
    ]
    if repeated := [key.decode() for key in _ONCE if len(fields.get(key, ())) > 1]:
        found.append((Oddity.REPEATED, ", ".join(repeated)))
    invalid = next((header.name for header in message.headers if not _NAME.fullmatch(header.name)), None)
    if invalid is not None:
        found.append((Oddity.INVALID_NAME, from_wire(invalid, 100)))
    strange = next((header.name for header in message.headers if not _is_utf8(header.value)), None)
    if strange is not None:
        found.append((Oddity.EIGHT_BIT, from_wire(strange, 100)))
    return found


def _is_utf8(value: bytes) -> bool:
    if value.isascii():
        return True
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _of_date(message: Message, settings: Settings) -> list[tuple[Oddity, str]]:
    found = []
    for header in message.fields(b"Date")[:3]:
        text = header.text[:200]
        seconds = _seconds(text)
        if seconds is None:
            found.append((Oddity.INVALID_DATE, text))
        elif seconds > message.received_at + settings.ahead:
            found.append((Oddity.FUTURE_DATE, text))
        elif seconds < message.received_at - settings.behind:
            found.append((Oddity.OLD_DATE, text))
    return found


def _seconds(date: str) -> float | None:
    """A date (RFC 5322 section 3.3) in seconds since the epoch, None if it is invalid."""
    if not date.isascii():
        return None
    try:
        when = email.utils.parsedate_to_datetime(date)
        if when.tzinfo is None:
            when = when.replace(tzinfo=datetime.UTC)
        return when.timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _of_rest(message: Message) -> list[tuple[Oddity, str]]:
    found = [
        (Oddity.INVALID_MESSAGE_ID, from_wire(header.value.strip(), 200))
        for header in message.fields(b"Message-ID")
        if not _MESSAGE_ID.search(header.value[:2000])
    ]
    for header in message.shown(b"Subject"):
        subject = header.decoded.strip().lower()
        if subject.startswith(_BEFORE) or subject.endswith(_AFTER) or subject == "adv":
            found.append((Oddity.ADVERTISING, from_wire(subject, 200)))
    for header in message.fields(b"X-Mailer"):
        mailer = header.text.lower()
        if mailer in _MAILERS or "optin" in mailer:
            found.append((Oddity.BULK_MAILER, from_wire(mailer, 200)))
    return found


def decide(finding: Finding, findings: Findings, settings: Settings, policy: AccessMap | AccessTable) -> Verdict:
    """The strictest remedy among the oddities, with the first oddity that has it."""
    asked = [(_ORDER[answer], odd, seen) for odd, seen in zip(finding.odd, finding.seen, strict=True)
             if (answer := _answer(settings, odd)) is not Remedy.IGNORE]  # fmt: skip
    reason = ", ".join(finding.odd)
    if not asked:
        return CONTINUE._replace(reason=reason)
    _, odd, seen = min(asked, key=lambda one: one[0])
    text = (
        f"The message header does not follow RFC 5322: {_FAULTS[odd]}.\n"
        "Please use a mail program that follows the standard."
    )
    return verdict_for(_answer(settings, odd), text, f"{reason}: {seen}" if seen else reason)


def points(finding: Finding, findings: Findings, settings: Settings) -> tuple[Hit, ...]:
    """Each oddity, whatever its remedy."""
    reason = (
        (odd, f"{_FAULTS[odd]}: {seen}" if seen else _FAULTS[odd])
        for odd, seen in zip(finding.odd, finding.seen, strict=True)
    )
    return tuple(Hit(_TESTS[odd], f"{text[0].upper()}{text[1:]}.") for odd, text in reason)


_ORDER = {Remedy.REJECT: 0, Remedy.TEMPFAIL: 1, Remedy.QUARANTINE: 2}


def _answer(settings: Settings, oddity: Oddity) -> Remedy:
    answer: Remedy = getattr(settings, oddity)
    return answer
