"""The API's values for a user's own mail, lists and preferences (see api_values)."""

from __future__ import annotations

import enum
from typing import Annotated

import msgspec

from antispam.store.history_search import Became
from antispam.store.own_lists import Kind
from antispam.web.api_values import Limit, Short


class Me(msgspec.Struct, frozen=True):
    """An account: its name, its role, its mailboxes."""

    name: str
    role: str
    mailboxes: list[str]


class OwnMailQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which messages: of one of your mailboxes, with a text in sender or subject, by what became of them; `after` is what the
    page before gave."""

    user: Short = ""
    text: Annotated[str, msgspec.Meta(max_length=200)] = ""
    became: Became | None = None
    after: Annotated[str, msgspec.Meta(max_length=64)] = ""
    limit: Limit = 50


class OwnMessage(msgspec.Struct, frozen=True):
    """A message that came for you. `became` is null where the history does not know it; `said` is True if you called it
    spam, False if you said that it was not."""

    ref: str
    received_at: float
    sender: str
    subject: str
    became: Became | None
    said: bool | None


class OwnMail(msgspec.Struct, frozen=True):
    """A page, the newest first; `after` is what to ask for next, null at the end."""

    messages: list[OwnMessage]
    after: str | None


class Score(msgspec.Struct, frozen=True):
    """A test that the message met, its points, and why."""

    test: str
    points: float
    said: str


class OwnPart(msgspec.Struct, frozen=True):
    """Your part of a message: the check that stopped it, "" for none; the tests that it met."""

    ref: str
    received_at: float
    mail_from: str
    subject: str
    stopped_by: str
    scores: list[Score]
    said: bool | None


class Word(enum.StrEnum):
    """What you say of a message; undo takes it back."""

    SPAM = "spam"
    HAM = "ham"
    UNDO = "undo"


class Said(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What you say of a message."""

    do: Word
    user: Short = ""


class OwnListed(msgspec.Struct, frozen=True):
    """A sender whom you allow or block, since when."""

    kind: Kind
    name: str
    added_at: float


class OwnLists(msgspec.Struct, frozen=True):
    """All of them, by name."""

    entries: list[OwnListed]


class NewOwnListed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A sender to be allowed or blocked: an address or a domain."""

    kind: Kind
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=320)]
    user: Short = ""


class OldOwnListed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A sender to be removed from your lists."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=320)]
    user: Short = ""


class OwnPreference(msgspec.Struct, frozen=True):
    """What you chose, "" for nothing; what holds then; and the values to choose from, none where it is a text."""

    name: str
    chosen: str
    usual: str
    choices: list[str]


class Preferences(msgspec.Struct, frozen=True):
    """Those that you may choose."""

    preferences: list[OwnPreference]


class Chosen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A choice; "" takes it back."""

    name: Annotated[str, msgspec.Meta(max_length=64)]
    value: Annotated[str, msgspec.Meta(max_length=200)]
    user: Short = ""
