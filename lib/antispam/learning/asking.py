"""The choice of dictionaries for each user: their own combined with a lending one, or only the lending one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

from antispam.deadline import Deadline
from antispam.learning.teacher import Dictionaries, Score, Teacher
from antispam.mail.learned_evidence import Opinion
from dspam import learner
from dspam.hashing import Keys


class _Answer(NamedTuple):
    """The answer of one dictionary, and the numbers of spam and confirmed ham messages that it has learned from the
    author.
    """

    name: str
    score: Score
    author: tuple[int, int]

    @property
    def rarer(self) -> int:
        return min(self.score.spam, self.score.ham)


class Asking:
    """The opinions on one message. Each dictionary is asked once, whatever the number of users.

    author  the key of the message's author; None without one
    tests   keys of the score's tests that it meets
    """

    def __init__(
        self,
        dictionaries: Dictionaries,
        keys: Keys,
        author: int | None,
        deadline: Deadline | None,
        tests: Keys | None = None,
    ) -> None:
        self._dictionaries = dictionaries
        self._keys = keys
        self._tests = tests
        self._author = author
        self._deadline = deadline
        self._answers: dict[str, _Answer] = {}

    def opinions(self, users: Sequence[str], screeners: Sequence[str], least: int) -> tuple[Opinion, ...]:
        """One opinion for each dictionary, or pair of dictionaries, that answers for a recipient; "" stands for all who
        are not users. Raises StoreError.
        """
        found: dict[tuple[str, str], Opinion] = {}
        for user in users:
            opinion = self._opinion(user, [name for name in screeners if name != user], least)
            if opinion is not None:
                pair = opinion.dictionary, opinion.lent
                before = found.get(pair, dataclasses.replace(opinion, users=()))
                found[pair] = dataclasses.replace(before, users=(*before.users, user))
        return tuple(found.values())

    def _opinion(self, user: str, screeners: Sequence[str], least: int) -> Opinion | None:
        lent, own = self._most_learned(screeners, least), self._answer(user) if user else None
        if own is not None and lent is not None and own.rarer:
            return _joined(own, lent)
        alone = lent or own
        return None if alone is None else _alone(alone)

    def _most_learned(self, names: Sequence[str], least: int) -> _Answer | None:
        """The answer of the first dictionary that has learned enough, else of the one that has learned most; None if
        all are empty.
        """
        best, most = None, 0
        for name in names:
            teacher = self._dictionaries.get(name)
            spam, ham = teacher.totals(self._deadline) if teacher is not None else (0, 0)
            if min(spam, ham) >= least:
                return self._answer(name)
            if spam + ham > most:
                best, most = name, spam + ham
        return None if best is None else self._answer(best)

    def _answer(self, name: str) -> _Answer | None:
        if name not in self._answers:
            teacher: Teacher | None = self._dictionaries.get(name)
            if teacher is None:
                return None
            score = teacher.judge(self._keys, self._deadline, self._tests)
            written = teacher.written(self._author, self._deadline) if self._author is not None else (0, 0)
            self._answers[name] = _Answer(name, score, written)
        return self._answers[name]


def _alone(answer: _Answer) -> Opinion:
    return Opinion(
        dictionary=answer.name,
        users=(),
        probability=round(answer.score.probability, 6),
        is_spam=answer.score.is_spam,
        spam=answer.score.spam,
        ham=answer.score.ham,
        author_spam=answer.author[0],
        author_ham=answer.author[1],
    )


def _joined(own: _Answer, lent: _Answer) -> Opinion:
    totals = learner.Totals(own.score.spam, own.score.ham)
    probability, part = learner.fused(own.score.probability, totals, lent.score.probability)
    richer = own if own.rarer >= lent.rarer else lent
    return Opinion(
        dictionary=own.name,
        users=(),
        probability=round(probability, 6),
        is_spam=probability >= learner.SPAM_AT,
        spam=richer.score.spam,
        ham=richer.score.ham,
        author_spam=max(own.author[0], lent.author[0]),
        author_ham=max(own.author[1], lent.author[1]),
        lent=lent.name,
        own_part=round(part, 3),
    )
