"""The learner over the token store, for one user's dictionary."""

from __future__ import annotations

from typing import NamedTuple

from antispam.learning.mailboxes import identity
from antispam.store import Store
from dspam import learner
from dspam.features import extract, names
from dspam.store import Taught, TokenStore, find_user, user_id

DEFAULT_USER = "site"


class Score(NamedTuple):
    """The probability that a message is spam, and whether that is enough to call it spam."""

    probability: float
    is_spam: bool


class Teacher:
    """One a process. What the database can't do raises StoreError."""

    def __init__(self, store: Store, user: str = DEFAULT_USER, *, make: bool = True) -> None:
        """Raises LookupError for a user that isn't there, unless one may be made; ValueError for a name that can't be one."""
        self._tokens = TokenStore(store)
        number = user_id(store, user) if make else find_user(store, user)
        if number is None:
            raise LookupError(f"there is no user {user}")
        self._user = number

    def classify(self, raw: bytes) -> Score:
        keys = extract(raw)
        probability = learner.score(keys, self._tokens.counts(self._user, keys), self._totals())
        return Score(probability, probability >= learner.SPAM_AT)

    def teach(self, raw: bytes, is_spam: bool) -> Taught:
        """Learn a message, or correct what was learned of it; committed when this returns. A replay teaches nothing."""
        keys = extract(raw)
        return self._tokens.train(
            self._user, identity(raw), is_spam, keys, lambda counts, _: learner.deltas(keys, counts, is_spam)
        )

    def take_back(self, raw: bytes) -> bool:
        """Undo exactly what the message taught; False where it taught nothing, or too long ago."""
        return self._tokens.undo(self._user, identity(raw))

    def totals(self) -> tuple[int, int]:
        """How many spam and ham messages were learned."""
        known = self._totals()
        return known.spam, known.ham

    def strongest(self, raw: bytes, count: int = 10) -> tuple[list[tuple[str, float]], list[tuple[str, float]]]:
        """The features that say most for spam and most for ham, with how much each says, in words a person understands."""
        keys = extract(raw)
        said = learner.contributions(keys, self._tokens.counts(self._user, keys), self._totals())
        named = names(raw)
        ranked = sorted(zip(keys.tolist(), said.tolist(), strict=True), key=lambda pair: pair[1])
        ham = [(named.get(key, "?"), value) for key, value in ranked[:count] if value < 0]
        spam = [(named.get(key, "?"), value) for key, value in reversed(ranked[-count:]) if value > 0]
        return spam, ham

    def _totals(self) -> learner.Totals:
        known = self._tokens.totals(self._user)
        return learner.Totals(known.spam, known.ham)
