"""Corrections in the console of messages in the history: spam, not spam, or a correction withdrawn.

They teach like forwarded messages: from what was stored under the signature, once, and the opposite undoes it. They
count in the figures of wrong decisions like every lesson.
"""

from __future__ import annotations

import dataclasses
import enum
import logging
from collections.abc import Callable, Iterable

from antispam.deadline import Deadline
from antispam.learning import feedback
from antispam.learning.forwards import Form, Forwarded, Report
from antispam.learning.settings import DspamSettings
from antispam.learning.teacher import Teacher
from antispam.text import for_log
from dspam.store import TokenStore, find_user, verdicts

log = logging.getLogger(__name__)


class Corrected(enum.StrEnum):
    """The result of a correction."""

    TAUGHT = "taught"
    KNOWN = "known"  # already said before
    FORGOTTEN = "forgotten"  # the features of the message are no longer stored
    NO_PROFILE = "no profile"  # the user has no dictionary
    TOO_MANY = "too many"  # within the hour


@dataclasses.dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a user's dictionary: messages learned of each kind, and the number of each that it needs before
    it counts.
    """

    spam: int
    ham: int
    least: int

    @property
    def seen(self) -> int:
        """The number of learned messages that count towards those needed."""
        return feedback.seen(self.spam, self.ham, self.least)

    @property
    def needed(self) -> int:
        return 2 * self.least

    @property
    def ready(self) -> bool:
        return min(self.spam, self.ham) >= self.least


class Corrections:
    """Makes corrections. Thread-safe. The caller must check that a message is the user's.

    clock  seconds since the epoch
    """

    def __init__(self, means: feedback.Means, clock: Callable[[], float]) -> None:
        self._means = means
        self._clock = clock
        # Only totals and verdicts are needed, so no tokens are cached.
        self._tokens = TokenStore(means.store, cache=0)

    def has_profile(self, user: str) -> bool:
        """Whether this user has a dictionary or may get one."""
        return user in self._means.settings[DspamSettings].users

    def correct(self, user: str, ref: str, is_spam: bool, deadline: Deadline) -> Corrected:
        """Teach the user's dictionary and the one that lends to it. Raises StoreError."""
        means, now = self._means, self._clock()
        if not self.has_profile(user):
            return Corrected.NO_PROFILE
        if feedback.count(means.store, user, 1, now, deadline) >= means.settings[DspamSettings].report_rate:
            return Corrected.TOO_MANY
        report = Forwarded((Report(Form.TAG, (ref,)),))
        result = feedback.teach(report, is_spam, user, means, now, deadline)
        log.info("[%s] %s says in the console that it is %s", ref, for_log(user, 60), "spam" if is_spam else "ham")
        if not result.found:
            return Corrected.FORGOTTEN
        return Corrected.TAUGHT if result.learned or result.corrected else Corrected.KNOWN

    def take_back(self, user: str, ref: str, was_spam: bool, deadline: Deadline) -> bool:
        """Undo exactly what a correction taught. False if it taught nothing, or too long ago. Reputation gets the
        filter's own verdict again. Raises StoreError.
        """
        means = self._means
        if not self.has_profile(user):
            return False
        undone = means.dictionaries.make(user).forget(ref, deadline)
        for name in means.settings[DspamSettings].dspam_screener[:1]:
            if undone and name != user:
                means.dictionaries.make(name).forget(ref, deadline)
        if undone:
            means.tell(ref, was_spam)
            log.info("[%s] %s takes back in the console what they said of it", ref, for_log(user, 60))
        return undone

    def said(self, user: str, refs: Iterable[str]) -> dict[str, bool]:
        """The messages among these that the user has corrected, each with whether it is spam. Raises StoreError."""
        number = find_user(self._means.store, user) if self.has_profile(user) else None
        return {} if number is None else verdicts(self._means.store, number, refs)

    def progress(self, user: str) -> Progress:
        """The progress of the user's dictionary. Raises StoreError."""
        store, least = self._means.store, self._means.settings[DspamSettings].least
        try:
            spam, ham = Teacher(store, user, make=False, tokens=self._tokens).totals()
        except (LookupError, ValueError):
            spam, ham = 0, 0
        return Progress(spam, ham, least)
