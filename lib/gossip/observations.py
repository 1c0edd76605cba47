"""The latest observations of one identity, and the reputation that follows from them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

MOST = 1024
MOST_OF_PEER = 100
SENSITIVITY = 2.0  # k of the logistic curve

SPAM, UNSURE, HAM = -1, 0, 1
Opinion = tuple[float, float]
"""Reputation and confidence."""


@dataclass(slots=True)
class Observations:
    """A ring of bits. `total` counts all observations ever made; the next one goes to place `total` modulo `size`.

    ham, unsure            one bit per place; an unsure observation counts as neither
    first_seen, last_seen  times of the oldest and the newest observation, in seconds since the epoch
    """

    size: int = MOST
    total: int = 0
    ham: int = 0
    unsure: int = 0
    first_seen: float = 0.0
    last_seen: float = 0.0

    @property
    def count(self) -> int:
        """The number of observations that are remembered."""
        return min(self.total, self.size)

    @property
    def ham_count(self) -> int:
        return (self.ham & ~self.unsure).bit_count()

    @property
    def unsure_count(self) -> int:
        return self.unsure.bit_count()

    @property
    def spam_count(self) -> int:
        return self.count - self.ham_count - self.unsure_count

    def add(self, vote: int, now: float) -> int:
        """Add an observation in place of the oldest. Returns its number."""
        number = self.total
        self.total += 1
        self._put(number, vote)
        if number == 0 and not 0.0 < self.first_seen <= now:
            self.first_seen = now
        self.last_seen = max(self.last_seen, now) if number else now
        return number

    def change(self, number: int, vote: int) -> bool:
        """Correct observation `number`. Returns False if it is no longer remembered or never existed."""
        if not self.total - self.count <= number < self.total:
            return False
        self._put(number, vote)
        return True

    def _put(self, number: int, vote: int) -> None:
        bit = 1 << number % self.size
        self.ham = self.ham | bit if vote > 0 else self.ham & ~bit
        self.unsure = self.unsure & ~bit if vote else self.unsure | bit

    def votes(self) -> Iterator[int]:
        """The votes that are remembered, the oldest first."""
        for number in range(self.total - self.count, self.total):
            bit = 1 << number % self.size
            yield UNSURE if self.unsure & bit else HAM if self.ham & bit else SPAM

    @property
    def reputation(self) -> float:
        """From -100 to 100: a logistic curve (Rasch) of the share of ham minus the share of spam. All ham is 76.2, all spam
        -76.2."""
        if not self.count:
            return 0.0
        weight = math.exp(SENSITIVITY * (self.ham_count - self.spam_count) / self.count)
        return 200.0 * (weight / (1.0 + weight) - 0.5)

    def confidence(self, now: float) -> float:
        """From 0 to 100: how full the ring is, reduced if the newest observation is old relative to the time for which the
        identity has been known. Never negative, even after the clock was set back."""
        known = now - self.first_seen
        if known <= 0 or not self.count:
            return 0.0
        age = min(1.0, max(0.0, (self.last_seen - self.first_seen) / known))
        return 100.0 * age * self.count / self.size


def aggregate(opinions: Sequence[Opinion], offset: float = 0.0) -> Opinion:
    """Several opinions combined: the mean weighted by confidence (raised by `offset`), without those more than three standard
    deviations away; and their mean confidence."""
    if len(opinions) < 2:
        return opinions[0] if opinions else (0.0, 0.0)
    mean, variance = _spread(opinions, offset)
    if variance <= 0:
        return _mean([one for one in opinions if one[1] > 0] or opinions)
    limit = 3 * math.sqrt(variance * len(opinions) / (len(opinions) - 1))
    return _mean([one for one in opinions if abs(one[0] - mean) <= limit], offset)


def _mean(opinions: Sequence[Opinion], offset: float = 0.0) -> Opinion:
    """The weighted mean, and the mean weight."""
    if not opinions:
        return 0.0, 0.0
    weights = sum(weight + offset for _, weight in opinions)
    if weights <= 0:
        return sum(value for value, _ in opinions) / len(opinions), 0.0
    return sum(value * (weight + offset) for value, weight in opinions) / weights, weights / len(opinions) - offset


def _spread(opinions: Sequence[Opinion], offset: float) -> tuple[float, float]:
    """The weighted mean and the variance of the values. If nobody is confident, all count the same."""
    weighted = [(value, weight + offset) for value, weight in opinions]
    if sum(weight for _, weight in weighted) <= 0:
        weighted = [(value, 1.0) for value, _ in opinions]
    sums = sum(weight for _, weight in weighted)
    mean = sum(value * weight for value, weight in weighted) / sums
    return mean, sum(weight * (value - mean) ** 2 for value, weight in weighted) / sums


def agreement(ours: Opinion, theirs: Opinion) -> int:
    """Whether a peer agrees with us: HAM for yes, SPAM for the opposite, UNSURE if either knows too little."""
    if int(ours[1]) < 1 or theirs[1] < 1 or not ours[0] or not theirs[0]:
        return UNSURE
    return HAM if (ours[0] > 0) == (theirs[0] > 0) else SPAM


def weighed(theirs: Opinion, peer_reputation: float) -> Opinion:
    """A peer's opinion, with less confidence if we usually disagree with that peer."""
    value, confidence = theirs
    return value, confidence * (100.0 + min(0.0, peer_reputation)) / 100.0


def replayed(votes: Iterable[int], now: float, size: int = MOST) -> Observations:
    """Observations added one after the other, at the given time."""
    made = Observations(size, first_seen=now, last_seen=now)
    for vote in votes:
        made.add(vote, now)
    return made
