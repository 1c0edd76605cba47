"""Lessons with single messages from people's mailboxes, for `bms learn` and the poller of Junk folders.

They are treated like forwarded messages: the signature finds the stored features, else the text is learned. A repeated
lesson teaches nothing, and the opposite undoes it.
"""

from __future__ import annotations

import dataclasses
import enum
import logging
from collections.abc import Callable

from antispam.deadline import Deadline
from antispam.learning import feedback
from antispam.learning.forwards import Forwarded, stored
from antispam.learning.people import Addresses
from antispam.learning.settings import DspamSettings
from antispam.protocols.mailboxes import identity, is_mail
from antispam.settings.learn import LearnSettings
from antispam.store import StoreError
from antispam.text import for_log

log = logging.getLogger(__name__)

_LONGEST_USER = 320  # characters, as in the store


class Outcome(enum.IntEnum):
    """The outcome of a lesson. The numbers are exit statuses of sysexits.h, for callers of `bms learn`."""

    TAUGHT = 0
    NO_MAIL = 65  # EX_DATAERR
    NO_USER = 67  # EX_NOUSER
    LATER = 75  # EX_TEMPFAIL
    FORBIDDEN = 77  # EX_NOPERM


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """The outcome of a lesson, and a sentence about it."""

    outcome: Outcome
    text: str


class Lessons:
    """Teaches lessons. Thread-safe.

    clock  seconds since the epoch
    """

    def __init__(self, means: feedback.Means, clock: Callable[[], float]) -> None:
        self._means = means
        self._clock = clock
        self._addresses = Addresses(means.settings[DspamSettings])

    def user_of(self, login: str) -> str:
        """The user of a login: a user of the filter, else the login itself in lower case."""
        return self._addresses.user_of_login(login) or login.lower()

    def teach(self, login: str, is_spam: bool, raw: bytes, deadline: Deadline) -> Answer:
        """Teach one message for the user of this login. Never raises because of a message or the store."""
        if not login or len(login) > _LONGEST_USER or not login.isprintable():
            return Answer(Outcome.NO_USER, f"'{for_log(login, 60)}' is no user")
        if not is_mail(raw):
            return Answer(Outcome.NO_MAIL, "this is not a mail message; nothing was learned")
        user = self.user_of(login)
        owner = self._owner(user)
        if not owner:
            return Answer(Outcome.NO_USER, f"{for_log(login, 60)} is not in [dspam] dspam_users; nothing was learned")
        try:
            answer = self._taught(user, owner, is_spam, raw, deadline)
        except StoreError as error:
            answer = Answer(Outcome.LATER, f"the database: {for_log(str(error))}")
        log.info("%s teaches %s: %s", for_log(user, 60), "spam" if is_spam else "ham", answer.text)
        return answer

    def _owner(self, user: str) -> str:
        """The owner of the dictionary that learns a user's lessons; "" for none."""
        dspam = self._means.settings[DspamSettings]
        if user in dspam.users:
            return user
        return next(iter(dspam.dspam_screener), "") if self._means.settings[LearnSettings].everybody else ""

    def _taught(self, user: str, owner: str, is_spam: bool, raw: bytes, deadline: Deadline) -> Answer:
        """Raises StoreError."""
        means, now = self._means, self._clock()
        used = feedback.count(means.store, user, 1, now, deadline)
        if used >= means.settings[DspamSettings].report_rate:
            return Answer(Outcome.LATER, feedback.too_many(user, used).text)
        result = feedback.teach(self._what(raw, owner), is_spam, user, means, now, deadline, owner=owner)
        kind = "spam" if is_spam else "ham"
        if result.corrected:
            return Answer(Outcome.TAUGHT, f"corrected: it is {kind} now")
        return Answer(Outcome.TAUGHT, f"learned as {kind}" if result.learned else f"{kind} already; nothing changed")

    def _what(self, raw: bytes, owner: str) -> Forwarded:
        """The reported form of the message: by its signature, unless `bms train` has taught its octets. Raises
        StoreError.
        """
        found = stored(raw)
        if self._means.dictionaries.make(owner).said(identity(raw)) is None:
            return found
        return Forwarded(tuple(dataclasses.replace(report, signatures=()) for report in found.reports))
