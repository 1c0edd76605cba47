"""The findings of the learning filter that other checks read, and those about reports."""

from __future__ import annotations

import dataclasses
import enum
from typing import ClassVar

from antispam.mail.findings import Finding
from antispam.mail.remedies import Remedy


@dataclasses.dataclass(frozen=True, kw_only=True)
class Opinion:
    """The opinion of one dictionary.

    dictionary   its name; for two that were combined, the user's own
    lent         the name of the shared one; "" if only one was asked
    own_part     the weight of the user's own one, 0 to 1
    users        the users it was asked for; "" stands for everybody who is not a user of the filter
    probability  0 to 1 that the message is spam
    is_spam      whether that is enough to call it spam
    spam, ham    messages of each kind that it had learned; of two dictionaries, the counts of the one that knows more
                 of the rarer kind
    author_spam, author_ham  how many of these came from the same author and were confirmed by people
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

    opinions       one for each dictionary; empty until something is learned
    authenticated  SPF or DKIM prove who its author is
    whitelisted    the sender is in dspam_whitelist and proved
    honeypot       it was sent to a honeypot address
    too_large      it exceeds dspam_sizelimit, so no dictionary was asked
    """

    check: ClassVar[str] = "dspam"
    opinions: tuple[Opinion, ...] = ()
    authenticated: bool = False
    whitelisted: bool = False
    honeypot: bool = False
    too_large: bool = False

    def of_user(self, user: str) -> Opinion | None:
        """The opinion for a user; "" stands for everybody else."""
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

    user          the user of the filter, "" for everybody else
    action        what this user wants done about spam
    subject       the text put before the subject of spam
    in_text       the signature is put into the text as well
    opinion       of the learning filter, None if it was not asked
    is_spam       the conclusion from the score
    reached       the highest threshold that it reached
    required      the score from which this user treats a message as spam; None for never
    because       what overrides the score or makes it unnecessary; "" for nothing
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
    """The kind of a report about messages."""

    SPAM = "spam"
    HAM = "ham"
    BAN = "ban"  # spam, and its domain is to be banned


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingFinding(Finding):
    """A recipient address that trains the filter, found at RCPT.

    claimed      the login, or the envelope sender of an internal client; "" for a stranger
    user         the user of the filter who that is; "" for nobody
    used         messages that the user reported within the hour, out of `allowed`
    store_error  why the count is not known
    """

    check: ClassVar[str] = "training_address"
    verb: Verb = Verb.SPAM
    claimed: str = ""
    user: str = ""
    used: int = 0
    allowed: int = 0
    store_error: str = ""
