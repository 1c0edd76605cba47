"""The learner over the token store, for one user's dictionary."""

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

TESTED_LEAST = 20  # messages of each kind of which it must be known which tests they meet
ASK_AGAIN = 5.0  # seconds until it is looked whether a user has come into being


class Score(NamedTuple):
    """The probability that a message is spam, whether that is enough to call it spam, and of how many messages of each kind
    it was learned."""

    probability: float
    is_spam: bool
    spam: int = 0
    ham: int = 0


class Reasons(NamedTuple):
    """The reasons for spam and for honest mail, strongest first, each in words and with its weight. All weights are logits
    and add up to that of the probability.

    others  what all features say that are not named
    habit   what is taken back because one kind was taught more often, and what is added while little was taught
    excess  what is taken back because honest mail that was taught lately scored too high, or given because it scored low
    given   what habit has of it for a young dictionary, which is left out where another one lends to it
    """

    spam: tuple[tuple[str, float], ...]
    ham: tuple[tuple[str, float], ...]
    others: float
    habit: float
    excess: float = 0.0
    given: float = 0.0

    @property
    def logit(self) -> float:
        """Of the probability."""
        return sum(value for _, value in (*self.spam, *self.ham)) + self.others + self.habit + self.excess


class Teacher:
    """One a process. What the database can't do raises StoreError."""

    def __init__(
        self, store: Store, user: str = DEFAULT_USER, *, make: bool = True, tokens: TokenStore | None = None
    ) -> None:
        """Raises LookupError for a user that isn't there, unless one may be made; ValueError for a name that can't be one."""
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
        """The user's, in the store."""
        return self._user

    def classify(self, raw: bytes, deadline: Deadline | None = None) -> Score:
        """Raises StoreError if the database can't answer before the deadline."""
        return self.judge(extract(raw), deadline)

    def judge(self, keys: Keys, deadline: Deadline | None = None, tests: Keys | None = None) -> Score:
        """The same for a message's features.

        tests  keys of the tests that it meets (dspam.features.facts_of_tests), which count where knows_tests()
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
        """Whether it has learned from both kinds of mail alike which tests they meet. Of mail that was taught from a mailbox,
        nobody knows: if only spam were reported with its tests, each of them would seem to be spam. Raises StoreError."""
        return _knows_tests(self._tokens.counts(self._user, [TESTED], deadline), self._totals(deadline))

    def teach(self, raw: bytes, is_spam: bool) -> Taught:
        """Learn a message, or correct what was learned of it; committed when this returns. A replay teaches nothing."""
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
        """The same for a message's features; `name` is what it is recognised by when it is taught again.

        unconfirmed  the author's key, where no person says what the message is: it does not make its author known then
        """
        lesson = _material(name, keys, is_spam, unconfirmed)
        return self._tokens.train(self._user, name, is_spam, lesson.keys, lesson.deltas, deadline=deadline)

    def learn_together(self, lessons: Sequence[tuple[str, Keys]], is_spam: bool) -> list[Taught | None]:
        """Learn some hundreds of messages (name and features of each) in one transaction: all of them, or none. None for those
        that were taught as the opposite, which learn() corrects. Raises StoreError."""
        return self._tokens.train_together(self._user, [_material(*one, is_spam) for one in lessons], is_spam)

    def said(self, name: str) -> bool | None:
        """Whether spam was learned under that name (True), ham, or nothing. Raises StoreError."""
        return self._tokens.verdict(self._user, name)

    def take_back(self, raw: bytes) -> bool:
        """Undo exactly what the message taught; False if it taught nothing, or too long ago."""
        return self._tokens.undo(self._user, identity(raw))

    def forget(self, name: str, deadline: Deadline | None = None) -> bool:
        """Undo exactly what was learned under that name; False if nothing was, or too long ago."""
        return self._tokens.undo(self._user, name, deadline)

    def written(self, author: int, deadline: Deadline | None = None) -> tuple[int, int]:
        """How many spam and how many confirmed ham messages of an author were learned, by the author's key."""
        (spam, ham, _), (_, unconfirmed, _) = self._tokens.counts(
            self._user, [author, _unconfirmed(author)], deadline
        ).tolist()
        return max(spam, 0), max(ham - max(unconfirmed, 0), 0)

    def fold(self) -> None:
        """Fold the log of trainings into the tokens: a worker that starts would have to read all of it otherwise."""
        compact(self._store)

    def totals(self, deadline: Deadline | None = None) -> tuple[int, int]:
        """How many spam and ham messages were learned."""
        known = self._totals(deadline)
        return known.spam, known.ham

    def reasons(self, raw: bytes, count: int = 5, tests: Mapping[int, str] | None = None) -> Reasons:
        """Why the message has its probability, in words; `tests` as facts_of_tests() has them. Raises StoreError."""
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
    """What a lesson adds to the dictionary; `unconfirmed` as learn() has it."""
    marked = learner.with_marks(keys)
    first = np.array([] if unconfirmed is None else [_unconfirmed(unconfirmed)], dtype=np.int64)

    def deltas(counts: Counts, known: Totals) -> Counts:
        learned = learner.Totals(known.spam, known.ham)
        noted = np.tile(np.array([[is_spam, not is_spam, 0]], dtype=np.int32), (len(first), 1))
        return np.concatenate((noted, learner.deltas(marked, counts[len(first) :], is_spam, learned)))

    return Material(name, np.concatenate((first, marked)), deltas)


def _knows_tests(counts: Counts, learned: learner.Totals) -> bool:
    """By the counts of TESTED."""
    spam, ham = counts[:, :2].sum(axis=0).tolist()
    shares = spam * learned.ham, ham * learned.spam
    return bool(min(spam, ham) >= TESTED_LEAST and max(shares) <= 2 * min(shares))


def _unconfirmed(author: int) -> int:
    """The key under which messages of this author are counted that nobody confirmed: no feature's, and none of MARKS."""
    return min(~author, -len(MARKS) - 1)


class Dictionaries:
    """The dictionaries that a worker's messages are classified by, over one cache of tokens. Safe from any thread.

    clock  seconds that never run backwards
    """

    def __init__(self, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._tokens = TokenStore(store, clock=clock)
        self._clock = clock
        self._known: dict[str, Teacher] = {}
        self._ask_again: dict[str, float] = {}

    def get(self, user: str) -> Teacher | None:
        """None for a user whose dictionary is empty; asked again a few seconds later. Raises StoreError."""
        known = self._known.get(user)
        if known is not None or self._clock() < self._ask_again.get(user, 0.0):
            return known
        try:
            self._known[user] = Teacher(self._store, user, make=False, tokens=self._tokens)
        except LookupError:
            self._ask_again[user] = self._clock() + ASK_AGAIN
        return self._known.get(user)

    def make(self, user: str) -> Teacher:
        """The user's, made if there is none yet. Raises StoreError, and ValueError for what can't be a user's name."""
        known = self._known.get(user)
        if known is None:
            known = self._known[user] = Teacher(self._store, user, tokens=self._tokens)
        return known
