"""The findings of the learning filter that other checks read, and those about reports."""

from __future__ import annotations

import dataclasses
import enum
from typing import ClassVar

from antispam.mail.findings import Finding
from antispam.mail.remedies import Remedy


@dataclasses.dataclass(frozen=True, kw_only=True)
class Opinion:
    """What one dictionary says.

    dictionary   its name; of two that were joined, the user's own
    lent         the name of the other one; "" if one was asked alone
    own_part     how much of the say the own one had then, 0 to 1
    users        the users it was asked for; "" is everybody who is not a user of the filter
    probability  0 to 1 that the message is spam
    is_spam      whether that is enough to call it spam
    spam, ham    messages of each kind that it had learned; of two, that which knows more of the rarer kind
    author_spam, author_ham  of these, how many the same author had written, and people confirmed
    """

    dictionary: str
    users: tuple[str, ...]
    probability: float = 0.5
    is_spam: bool = False
    spam: int = 0
    ham: int = 0
    author_spam: int = 0
    author_ham: int = 0
    lent: str = ""
    own_part: float = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class OpinionFinding(Finding):
    """How likely the message is spam, found at its end, for each of the users it goes to.

    opinions       one a dictionary; empty while nobody has taught anything
    authenticated  SPF or DKIM prove who its author is
    whitelisted    dspam_whitelist has the sender, who is proved
    honeypot       it came to an address that nobody honest writes to
    too_large      it is beyond dspam_sizelimit, and nobody was asked
    """

    check: ClassVar[str] = "dspam"
    opinions: tuple[Opinion, ...] = ()
    authenticated: bool = False
    whitelisted: bool = False
    honeypot: bool = False
    too_large: bool = False

    def of_user(self, user: str) -> Opinion | None:
        """What was found for a user; "" is everybody else."""
        return next((opinion for opinion in self.opinions if user in opinion.users), None)


class Reached(enum.StrEnum):
    """The highest threshold of [score] that a message reached."""

    NONE = ""
    MARK = "mark"
    QUARANTINE = "quarantine"
    REFUSE = "refuse"
    DISCARD = "discard"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpamFinding(Finding):
    """The classification of a message for one recipient, found at its end.

    user          of the filter, "" for everybody else
    action        what this user wants done about spam
    subject       what is put before the subject then
    in_text       the signature is put into the text, too
    opinion       of the learning filter, None if nothing was asked
    is_spam       what follows from the score
    reached       the highest threshold that it reached
    required      points from which on this user calls a message spam; None for never
    because       what overrules the score, or makes it unnecessary; "" for nothing
    """

    check: ClassVar[str] = "spam_action"
    user: str = ""
    action: Remedy = Remedy.TAG
    subject: str = ""
    in_text: bool = False
    opinion: Opinion | None = None
    is_spam: bool = False
    reached: Reached = Reached.NONE
    required: float | None = None
    because: str = ""

    @property
    def probability(self) -> float | None:
        return None if self.opinion is None else self.opinion.probability


class Verb(enum.StrEnum):
    """What a report says about its messages."""

    SPAM = "spam"
    HAM = "ham"
    BAN = "ban"  # spam, and its domain is not wanted any more


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingFinding(Finding):
    """A recipient that teaches the filter, found at RCPT.

    claimed      the login, or the envelope sender of an internal client; "" for a stranger
    user         of the filter, who that is; "" for nobody
    used         messages that the user reported within the hour, of so many `allowed`
    store_error  why that is not known
    """

    check: ClassVar[str] = "training_address"
    verb: Verb = Verb.SPAM
    claimed: str = ""
    user: str = ""
    used: int = 0
    allowed: int = 0
    store_error: str = ""
