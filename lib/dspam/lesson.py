"""What a lesson adds to the counts and weights of a message's features; the learner says how far it is believed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dspam.features import HEADER, kinds_of
from dspam.hashing import Keys
from dspam.regression import Floats, Regression

try:
    from dspam import _cutting
except ImportError:  # see features
    _cutting = None  # type: ignore[assignment]

Counts = npt.NDArray[np.int32]
"""Shape (n, 3): spam hits, ham hits, weight in units of 1 / WEIGHT_UNIT."""

WEIGHT_UNIT = 1024
_MAX_WEIGHT = 1 << 30
HEADER_REGRESSION = Regression(rate=10.0, margin=0.05, steps=2)
TEXT_REGRESSION = Regression(rate=15.0, margin=0.1, steps=2)
_COUNTED = 0.3  # a lesson that is less plausible is not counted for words and structure
_NOVEL = 1  # that were in more messages of the other kind than this


class Belief(NamedTuple):
    """How a lesson is taken.

    believed  0 to 1, the part of a step that the weights move
    at_least  the part for features that were in at most one message of the other kind
    heard     the logit that each regression hears of all opinions before it takes its error
    """

    believed: float
    at_least: float
    heard: float


def added(keys: Keys, counts: Counts, is_spam: bool, belief: Belief) -> Counts:
    """What learning these features adds to their counts; shape and order of `counts`."""
    return (compiled_added if _cutting else reference_added)(keys, counts, is_spam, belief)


def compiled_added(keys: Keys, counts: Counts, is_spam: bool, belief: Belief) -> Counts:
    """The same by _learning.c; equal but for the order in which numbers are added up."""
    found: Counts = np.empty((len(keys), 3), dtype=np.int32)
    _cutting.learn(
        np.ascontiguousarray(keys, dtype=np.int64), np.ascontiguousarray(counts, dtype=np.int32), found, is_spam,
        belief.believed >= _COUNTED, belief.believed, belief.at_least, _NOVEL, belief.heard, _HEADER, _TEXT,
    )  # fmt: skip
    return found


def reference_added(keys: Keys, counts: Counts, is_spam: bool, belief: Belief) -> Counts:
    """The same in Python: what a lesson adds is said here."""
    kinds, side = kinds_of(keys), 0 if is_spam else 1
    novel = counts[:, 1 - side] <= _NOVEL
    found: Counts = np.zeros((len(keys), 3), dtype=np.int32)
    # Facts of the header are counted always: that an author sent spam is known from the first report on.
    found[:, side] = 1 if belief.believed >= _COUNTED else novel | (kinds == HEADER)
    shares = np.maximum(belief.believed, np.where(novel, belief.at_least, 0.0))
    before = counts[:, 2].astype(np.int64)
    weights = before / WEIGHT_UNIT
    hits = np.maximum(counts[:, 0].astype(np.int64) + counts[:, 1], 0)
    steps: Floats = np.empty(len(keys))
    for regression, part in (
        (HEADER_REGRESSION, np.flatnonzero(kinds == HEADER)),
        (TEXT_REGRESSION, np.flatnonzero(kinds != HEADER)),
    ):
        steps[part] = regression.step(weights.take(part), hits.take(part), is_spam, belief.heard, shares.take(part))
    after = np.clip(before + np.rint(steps * WEIGHT_UNIT).astype(np.int64), -_MAX_WEIGHT, _MAX_WEIGHT)
    found[:, 2] = after - before
    return found


def _constants(regression: Regression) -> tuple[float, float, int, float]:
    return regression.rate, regression.margin, regression.steps, regression.slowing


_HEADER, _TEXT = _constants(HEADER_REGRESSION), _constants(TEXT_REGRESSION)
