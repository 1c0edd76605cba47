"""Does the message look like the spam that this site was taught, or like its honest mail?"""

from __future__ import annotations

import dataclasses
import enum
import math
from typing import ClassVar

from antispam.accessmap import AccessMap, AccessTable
from antispam.authors import of_our_users
from antispam.connection import Connection
from antispam.draft import Draft
from antispam.findings import Finding as BaseFinding
from antispam.findings import Findings
from antispam.learning.teacher import DEFAULT_USER
from antispam.message import Message, Recipient
from antispam.services import Services
from antispam.settings import CheckSettings, OnError, option, section
from antispam.store import StoreError
from antispam.verdicts import Action, Verdict, hold, quarantine, reject
from dspam.learner import SPAM_AT
from dspam.store.compactor import compacting

NAME = "dspam"

# SpamAssassin's scale, which webmails know: 5 is where spam begins.
REQUIRED = 5.0
_MAX_SCORE = 99.9
OLD = 3600.0  # seconds after which even a few trainings are folded
_OURS = (
    b"x-dspam-result",
    b"x-dspam-confidence",
    b"x-dspam-probability",
    b"x-spam-flag",
    b"x-spam-level",
    b"x-spam-status",
)


class Remedy(enum.StrEnum):
    """What to do about spam."""

    TAG = "tag"
    REJECT = "reject"
    QUARANTINE = "quarantine"
    HOLD = "hold"


@section("dspam")
class Settings(CheckSettings):
    """[dspam]: the learning filter. It has no opinion until somebody has taught it: `bms train spam|ham PATH...`."""

    on_error: OnError = option(OnError.ACCEPT, "when the store can't answer: accept (unclassified), tempfail or reject")
    dictionary: str = option(DEFAULT_USER, "whose dictionary classifies, as named at `bms train --user`")
    spam: Remedy = option(Remedy.TAG, "about spam: tag (deliver with X-Spam-Flag), reject, quarantine or hold")
    least: int = option(50, "messages of each kind that must have been learned before anything is done about spam")
    dspam_internal: bool = option(False, "classify mail of internal clients and authenticated senders too")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding(BaseFinding):
    """How likely the message is spam.

    probability  0 to 1; spam from dspam.learner.SPAM_AT on
    spam, ham    messages of each kind that the dictionary had learned
    """

    check: ClassVar[str] = NAME
    probability: float = 0.5
    spam: int = 0
    ham: int = 0

    @property
    def is_spam(self) -> bool:
        return self.probability >= SPAM_AT

    @property
    def score(self) -> float:
        """On SpamAssassin's scale: REQUIRED where the probability is SPAM_AT, 0 at even odds."""
        sure = min(max(self.probability, 1e-9), 1 - 1e-9)
        score = REQUIRED * math.log(sure / (1 - sure)) / math.log(SPAM_AT / (1 - SPAM_AT))
        return min(max(score, -_MAX_SCORE), _MAX_SCORE)


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> Finding | None:
    """None while nobody has taught anything, and for our own users' mail."""
    settings = services.settings[Settings]
    if message is None or services.dictionaries is None:
        return None
    if of_our_users(message) and not settings.dspam_internal:
        return None
    try:
        dictionary = services.dictionaries.get(settings.dictionary)
        if dictionary is None:
            return None
        score = dictionary.classify(_as_delivered(connection, message), services.deadline)
    except StoreError as error:
        return Finding(error=f"dictionary: {error}")
    return Finding(probability=round(score.probability, 6), spam=score.spam, ham=score.ham)


def _as_delivered(connection: Connection, message: Message) -> bytes:
    """The message under the Received field that our MTA is about to write: what people teach from their mailboxes has it, and
    where mail comes from says much about it."""
    helo, name = (" ".join(text.split()) or "unknown" for text in (connection.helo, connection.name))
    received = f"Received: from {helo} ({name} [{connection.ip}])\r\n\tby {connection.receiver}\r\n"
    return received.encode("utf-8", "surrogateescape") + message.raw()


def decide(finding: Finding, findings: Findings, settings: Settings, policy: AccessMap | AccessTable) -> Verdict:
    """Tagging needs no verdict. Until enough was learned nothing worse than tagging happens."""
    reason = f"{'spam' if finding.is_spam else 'not spam'}, probability {finding.probability:.4f}"
    if not finding.is_spam or settings.spam is Remedy.TAG or min(finding.spam, finding.ham) < settings.least:
        return Verdict(Action.CONTINUE, reason=reason)
    match settings.spam:
        case Remedy.REJECT:
            text = (
                "The message looks like spam to a filter that learns from what people here report.\n"
                "If it is not, please tell the recipient in another way, and quote the reference."
            )
            return reject(text, reason)
        case Remedy.QUARANTINE:
            return quarantine(reason)
    return hold(reason)


def act(finding: Finding, verdict: Verdict, draft: Draft, services: Services) -> None:
    """Write what was found for mail programs and people; the same fields from outside are removed first."""
    for header in draft.message.headers:
        if header.key in _OURS:
            draft.change_header(header, None)
    score = finding.score
    yes = "Yes" if finding.is_spam else "No"
    draft.append_header("X-DSPAM-Result", "Spam" if finding.is_spam else "Innocent")
    draft.append_header("X-DSPAM-Confidence", f"{abs(2 * finding.probability - 1):.4f}")
    draft.append_header("X-DSPAM-Probability", f"{finding.probability:.4f}")
    draft.append_header("X-Spam-Status", f"{yes}, score={score:.1f} required={REQUIRED:.1f} tests=DSPAM")
    if finding.is_spam:
        draft.append_header("X-Spam-Flag", "YES")
    if score >= 1:
        draft.append_header("X-Spam-Level", "*" * min(int(score), 50))


def tidy(services: Services) -> bool:
    """Fold a part of the trainings into the tokens, where there are many or old ones; true while more is left. Raises
    StoreError."""
    if services.store is None:
        return False
    return next(compacting(services.store, before=services.clock() - OLD), 0) > 0
