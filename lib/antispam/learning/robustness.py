"""`evaluate` under unfavourable conditions, such as wrong labels: the loss of accuracy.

All runs use the same messages, whose features are read once, in memory. The arithmetic is that of the store.
"""

from __future__ import annotations

import collections
import dataclasses
import email.utils
import math
import random
import re
from collections.abc import Callable, Sequence

from antispam.learning.evaluation import Entry, read
from antispam.learning.figures import Judged
from dspam import learner
from dspam.features import extract
from dspam.hashing import Keys
from dspam.store.table import Table

DELAY = 100  # messages that arrive before a lesson is taught
SEED = 1
_HEAD = 20_000  # octets in which a date is searched
_RECEIVED = re.compile(rb"^received:(?:[^\n]|\n[ \t])*?;\s*([^;\n]{1,100})$", re.IGNORECASE | re.MULTILINE)
_DATE = re.compile(rb"^date:[ \t]*([^\n]{1,100})$", re.IGNORECASE | re.MULTILINE)


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    """A labelled message: its features, and its arrival time in seconds since 1970 (nan: unknown)."""

    name: str
    is_spam: bool
    keys: Keys
    arrived: float


@dataclasses.dataclass(frozen=True, slots=True)
class Condition:
    """A condition: the order of the messages, and the way they are taught.

    noise    percent of the lessons that have the wrong label
    delay    messages that arrive before a lesson is taught
    by_date  order by date instead of the index: kinds of mail come and go
    errors   only messages that were judged wrongly are taught
    """

    name: str
    noise: float = 0.0
    delay: int = 0
    by_date: bool = False
    errors: bool = False


def read_all(entries: Sequence[Entry], done: Callable[[], None] = lambda: None) -> list[Known]:
    """The messages of an index. Raises IndexMistake for an unreadable one."""
    found = []
    for entry, raw in read(entries):
        found.append(Known(entry.name, entry.is_spam, extract(raw), arrival(raw)))
        done()
    return found


def arrival(raw: bytes) -> float:
    """The arrival time of a message: from its newest Received field, or else its Date, which the sender chose. nan if
    neither is readable.
    """
    head = raw[:_HEAD].replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    for pattern in (_RECEIVED, _DATE):
        if found := pattern.search(head):
            try:
                return email.utils.parsedate_to_datetime(found[1].decode("ascii", "replace").strip()).timestamp()
            except (ValueError, OverflowError, OSError):
                continue
    return math.nan


def judge(condition: Condition, messages: Sequence[Known], done: Callable[[], None] = lambda: None) -> list[Judged]:
    """The verdicts on the messages: each is first classified, then taught according to the condition."""
    if condition.by_date:
        messages = sorted(messages, key=lambda one: (math.isnan(one.arrived), one.arrived))
    wrong = random.Random(SEED)  # the same labels in every run
    dictionary, judged = _Dictionary(), []
    waiting: collections.deque[tuple[Keys, bool] | None] = collections.deque([None] * condition.delay)
    for one in messages:
        probability = dictionary.score(one.keys)
        called_spam = probability >= learner.SPAM_AT
        judged.append(Judged(one.name, one.is_spam, probability, called_spam))
        label = one.is_spam != (wrong.random() * 100 < condition.noise)
        waiting.append((one.keys, label) if not condition.errors or called_spam != label else None)
        if (lesson := waiting.popleft()) is not None:
            dictionary.learn(*lesson)
        done()
    return judged


class _Dictionary:
    """One user's tokens, in memory."""

    def __init__(self) -> None:
        self._table = Table()
        self._totals = learner.Totals(0, 0)

    def score(self, keys: Keys) -> float:
        keys = learner.with_marks(keys)
        return learner.score(keys, self._table.get(keys), self._totals)

    def learn(self, keys: Keys, is_spam: bool) -> None:
        keys = learner.with_marks(keys)
        self._table.add(keys, learner.deltas(keys, self._table.get(keys), is_spam, self._totals))
        self._totals = learner.Totals(self._totals.spam + is_spam, self._totals.ham + (not is_spam))
