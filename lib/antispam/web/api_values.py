"""The API's input and output as values. JSON is checked against them, and the OpenAPI document is generated from them."""

from __future__ import annotations

import enum
from typing import Annotated

import msgspec

from antispam.store.lists import Kind

Short = Annotated[str, msgspec.Meta(max_length=320)]
_Number = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Limit = Annotated[int, msgspec.Meta(ge=1, le=200)]


class Do(enum.StrEnum):
    """What is done with a kept message."""

    RELEASE = "release"
    DELETE = "delete"
    ALLOW = "allow"
    BLOCK = "block"
    ASK = "ask"


class Problem(msgspec.Struct, frozen=True):
    """Why a request was not done, a sentence."""

    detail: str


class QuarantineQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which entries: of one mailbox, with a text, of one check, older than the entry `after`."""

    user: Short = ""
    text: Annotated[str, msgspec.Meta(max_length=200)] = ""
    check: Annotated[str, msgspec.Meta(max_length=32)] = ""
    after: _Number = 0
    limit: Limit = 50


class MailboxQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose entry, where a message was kept from several."""

    user: Short = ""


class Entry(msgspec.Struct, frozen=True):
    """A kept message. Times in seconds since the epoch, size in octets."""

    number: int
    ref: str
    user: str
    received_at: float
    mail_from: str
    recipients: list[str]
    subject: str
    size: int
    check: str
    reason: str
    state: str


class Entries(msgspec.Struct, frozen=True):
    """A page, the newest first; `after` is what to ask for next, null at the end. `since`: older messages were not searched,
    because there are too many of all users; a `user` has them searched. Null if none were left out."""

    entries: list[Entry]
    after: int | None
    since: float | None = None


class Message(msgspec.Struct, frozen=True):
    """A kept message with its content, decoded: text of strangers, which whoever shows it must escape."""

    entry: Entry
    fields: list[tuple[str, str]]
    text: str
    attachments: list[str]


class Action(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to do with a kept message."""

    do: Do
    user: Short = ""


class Done(msgspec.Struct, frozen=True):
    """Whether something was done: False if somebody was quicker."""

    done: bool


class HistoryQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which messages: by reference or queue ID, Message-ID, sender, recipient, and time (seconds since the epoch)."""

    name: Annotated[str, msgspec.Meta(max_length=64)] = ""
    message_id: Annotated[str, msgspec.Meta(max_length=255)] = ""
    sender: Short = ""
    recipient: Short = ""
    since: _Number = 0
    limit: Limit = 50


class Transaction(msgspec.Struct, frozen=True):
    """A message of the history and what became of it."""

    ref: str
    received_at: float
    client_ip: str
    mail_from: str
    recipients: list[str]
    subject: str
    became: str
    reason: str


class Transactions(msgspec.Struct, frozen=True):
    """The newest first."""

    messages: list[Transaction]


class Step(msgspec.Struct, frozen=True):
    """What a check said; without effect in mode log."""

    check: str
    action: str
    said: str
    effect: bool


class Account(msgspec.Struct, frozen=True):
    """What became of a message and why."""

    ref: str
    became: str
    reply: list[str]
    steps: list[Step]
    now: list[str]
    otherwise: list[tuple[str, str]]


class ListQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which list, and the name behind which to go on."""

    kind: Kind = Kind.WHITELIST
    after: Short = ""
    limit: Limit = 50


class Listed(msgspec.Struct, frozen=True):
    """An entry of a list of the site; `expires_at` is null for one that stays."""

    kind: Kind
    name: str
    reason: str
    added_by: str
    expires_at: float | None


class List(msgspec.Struct, frozen=True):
    """Entries of a list, by name."""

    entries: list[Listed]


class NewListed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An entry to be made."""

    kind: Kind
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=320)]
    reason: Annotated[str, msgspec.Meta(max_length=200)] = ""


class OldListed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An entry to be removed."""

    kind: Kind
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=320)]


class WhatIf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Options to change, in the syntax of milter.cfg, how many hours of mail to decide again, and entries of an access map,
    which go before those of the present one."""

    text: Annotated[str, msgspec.Meta(max_length=16 << 10)]
    hours: Annotated[int, msgspec.Meta(ge=1, le=72)] = 24
    access: Annotated[str, msgspec.Meta(max_length=16 << 10)] = ""
