"""The learner for one user's dictionary, over the token store."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from antispam.deadline import Deadline
from antispam.learning.reasons import in_words
from antispam.learning.settings import DEFAULT_USER
from antispam.protocols.mailboxes import identity
from antispam.store import Store
from dspam import learner
from dspam.features import TESTED, extract, names
from dspam.hashing import Keys, merged
from dspam.marks import MARKS
from dspam.sqlstorage import PREFIX
from dspam.store import Counts, Material, Taught, TokenStore, Totals, compact, find_user, user_id

TESTED_LEAST = 20  # messages of each kind for which the met tests must be known
ASK_AGAIN = 5.0  # seconds between two checks for a new user


class Score(NamedTuple):
    """The probability of spam, whether it is enough to classify the message as spam, and the numbers of learned
    messages of each kind.
    """

    probability: float
    is_spam: bool
    spam: int = 0
    ham: int = 0


class Reasons(NamedTuple):
    """The reasons for spam and for honest mail, strongest first, each in words and with its weight. All weights are logits
    and add up to that of the probability.

    others  the weight of all features that are not named
    habit   the correction for an unequal number of lessons, and for a small number
    excess  the correction because recently taught honest mail scored too high or low
    given   the part of habit for a young dictionary, which is left out if another one lends to it
    """

    spam: tuple[tuple[str, float], ...]
    ham: tuple[tuple[str, float], ...]
    others: float
    habit: float
    excess: float = 0.0
    given: float = 0.0

    @property
    def logit(self) -> float:
        """The logit of the probability."""
        return sum(value for _, value in (*self.spam, *self.ham)) + self.others + self.habit + self.excess


class Teacher:
    """The learner of one dictionary. Failures of the database raise StoreError."""

    def __init__(
        self, store: Store, user: str = DEFAULT_USER, *, make: bool = True, tokens: TokenStore | None = None
    ) -> None:
        """Raises LookupError for an unknown user, unless one may be created; ValueError for an invalid name."""
        if user.startswith(PREFIX):
            raise ValueError(f"{user}: names that begin with {PREFIX} are of dictionaries for DSPAM's algorithms")
        self._store = store
        self._tokens = tokens or TokenStore(store)
        number = user_id(store, user) if make else find_user(store, user)
        if number is None:
            raise LookupError(f"there is no user {user}")
        self._user = number

    @property
    def number(self) -> int:
        """The user's number in the store."""
        return self._user

    def classify(self, raw: bytes, deadline: Deadline | None = None) -> Score:
        """The score of a message. Raises StoreError if the database does not answer before the deadline."""
        return self.judge(extract(raw), deadline)

    def judge(self, keys: Keys, deadline: Deadline | None = None, tests: Keys | None = None) -> Score:
        """The score for a message's features.

        tests  keys of the tests that it meets (dspam.features.facts_of_tests), which count if knows_tests()
        """
        asked = learner.with_marks(keys if tests is None else merged(keys, tests))
        counts = self._tokens.counts(self._user, asked, deadline)
        learned = self._totals(deadline)
        if tests is not None and not _knows_tests(counts[asked == TESTED], learned):
            heard = np.ones(len(asked), dtype=np.bool_)
            heard[asked.searchsorted(tests)] = False
            asked, counts = asked[heard], counts[heard]
        probability = learner.score(asked, counts, learned)
        return Score(probability, probability >= learner.SPAM_AT, learned.spam, learned.ham)

    def knows_tests(self, deadline: Deadline | None = None) -> bool:
        """Whether the dictionary has learned from both kinds of mail, in similar numbers, which tests they meet. The
        tests of mail taught from a mailbox are unknown: if only spam were reported with its tests, every test would
        look like spam. Raises StoreError.
        """
        return _knows_tests(self._tokens.counts(self._user, [TESTED], deadline), self._totals(deadline))

    def teach(self, raw: bytes, is_spam: bool) -> Taught:
        """Learn a message, or correct an earlier lesson. It is committed when this returns. A repeated lesson teaches
        nothing.
        """
        return self.learn(identity(raw), extract(raw), is_spam)

    def learn(
        self,
        name: str,
        keys: Keys,
        is_spam: bool,
        deadline: Deadline | None = None,
        *,
        unconfirmed: int | None = None,
    ) -> Taught:
        """The same for a message's features. `name` identifies the message when it is taught again.

        unconfirmed  the author's key if no person has classified the message; then the author does not become known by
                     it
        """
        lesson = _material(name, keys, is_spam, unconfirmed)
        return self._tokens.train(self._user, name, is_spam, lesson.keys, lesson.deltas, deadline=deadline)

    def learn_together(self, lessons: Sequence[tuple[str, Keys]], is_spam: bool) -> list[Taught | None]:
        """Learn some hundreds of messages (name and features of each) in one transaction, all or none. The result is
        None for those learned as the opposite, which learn() corrects. Raises StoreError.
        """
        return self._tokens.train_together(self._user, [_material(*one, is_spam) for one in lessons], is_spam)

    def said(self, name: str) -> bool | None:
        """What was learned under that name: True for spam, False for ham, None for nothing. Raises StoreError."""
        return self._tokens.verdict(self._user, name)

    def take_back(self, raw: bytes) -> bool:
        """Undo exactly what the message taught. False if it taught nothing, or too long ago."""
        return self._tokens.undo(self._user, identity(raw))

    def forget(self, name: str, deadline: Deadline | None = None) -> bool:
        """Undo exactly what was learned under that name. False if nothing was, or too long ago."""
        return self._tokens.undo(self._user, name, deadline)

    def written(self, author: int, deadline: Deadline | None = None) -> tuple[int, int]:
        """The numbers of spam and confirmed ham messages learned from an author, given by key."""
        (spam, ham, _), (_, unconfirmed, _) = self._tokens.counts(
            self._user, [author, _unconfirmed(author)], deadline
        ).tolist()
        return max(spam, 0), max(ham - max(unconfirmed, 0), 0)

    def fold(self) -> None:
        """Fold the log of lessons into the tokens; otherwise a starting worker would have to read all of it."""
        compact(self._store)

    def totals(self, deadline: Deadline | None = None) -> tuple[int, int]:
        """The numbers of spam and ham messages learned."""
        known = self._totals(deadline)
        return known.spam, known.ham

    def reasons(self, raw: bytes, count: int = 5, tests: Mapping[int, str] | None = None) -> Reasons:
        """The reasons for the message's probability, in words. `tests` are as in facts_of_tests(). Raises StoreError."""
        keys = extract(raw)
        facts: Mapping[int, str] = {}
        if tests and self.knows_tests():
            keys, facts = merged(keys, np.array(list(tests), dtype=np.int64)), tests
        marked = learner.with_marks(keys)
        totals = self._totals()
        counts = self._tokens.counts(self._user, marked)
        said = learner.contributions(marked, counts, totals)
        named = names(raw) | dict(facts)
        ranked = sorted(zip(keys.tolist(), said.tolist(), strict=True), key=lambda pair: pair[1])
        ham = tuple((in_words(named.get(key, "?")), value) for key, value in ranked[:count] if value < 0)
        spam = tuple((in_words(named.get(key, "?")), value) for key, value in reversed(ranked[-count:]) if value > 0)
        shown = sum(value for _, value in (*spam, *ham))
        others = float(said.sum()) - shown
        excess = -learner.excess(counts, totals)
        return Reasons(spam, ham, others, -learner.habit(totals), excess, learner.given(totals))

    def _totals(self, deadline: Deadline | None = None) -> learner.Totals:
        known = self._tokens.totals(self._user, deadline)
        return learner.Totals(known.spam, known.ham)


def _material(name: str, keys: Keys, is_spam: bool, unconfirmed: int | None = None) -> Material:
    """The changes of the dictionary by a lesson; `unconfirmed` as in learn()."""
    marked = learner.with_marks(keys)

    def deltas(counts: Counts, known: Totals) -> Counts:
        return learner.deltas(marked, counts, is_spam, learner.Totals(known.spam, known.ham))

    if unconfirmed is None:
        return Material(name, marked, deltas)
    first = np.array([_unconfirmed(unconfirmed)], dtype=np.int64)
    noted = np.array([[is_spam, not is_spam, 0]], dtype=np.int32)
    return Material(
        name,
        np.concatenate((first, marked)),
        lambda counts, known: np.concatenate((noted, deltas(counts[1:], known))),
    )


def _knows_tests(counts: Counts, learned: learner.Totals) -> bool:
    """The answer of knows_tests(), from the counts of TESTED."""
    spam, ham = counts[:, :2].sum(axis=0).tolist()
    shares = spam * learned.ham, ham * learned.spam
    return bool(min(spam, ham) >= TESTED_LEAST and max(shares) <= 2 * min(shares))


def _unconfirmed(author: int) -> int:
    """The key for counting unconfirmed messages of this author. It differs from all features and MARKS."""
    return min(~author, -len(MARKS) - 1)


class Dictionaries:
    """The dictionaries of a worker, over one cache of tokens. Thread-safe.

    clock  seconds that never run backwards
    """

    def __init__(self, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._tokens = TokenStore(store, clock=clock)
        self._clock = clock
        self._known: dict[str, Teacher] = {}
        self._ask_again: dict[str, float] = {}

    def get(self, user: str) -> Teacher | None:
        """The dictionary of a user; None if it does not exist, which is checked again after a few seconds. Raises
        StoreError.
        """
        known = self._known.get(user)
        if known is not None or self._clock() < self._ask_again.get(user, 0.0):
            return known
        try:
            self._known[user] = Teacher(self._store, user, make=False, tokens=self._tokens)
        except LookupError:
            self._ask_again[user] = self._clock() + ASK_AGAIN
        return self._known.get(user)

    def make(self, user: str) -> Teacher:
        """The dictionary of a user, created if necessary. Raises StoreError, and ValueError for an invalid name."""
        known = self._known.get(user)
        if known is None:
            known = self._known[user] = Teacher(self._store, user, tokens=self._tokens)
        return known
