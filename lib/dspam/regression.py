"""Logistic regression, on line: one of the learner's ways to learn from what it got wrong."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def logistic(value: float) -> float:
    """The probability of a logit."""
    value = min(max(value, -700.0), 700.0)
    return 1.0 / (1.0 + math.exp(-value))


@dataclass(frozen=True, slots=True)
class Regression:
    """Online logistic regression: length-normalized binary features, two steps a message unless it is on the right side by
    `margin` (Sculley and Wachman 2007: thick thresholds), smaller steps for features that were seen often (as AdaGrad does).
    """

    rate: float
    margin: float
    steps: int
    slowing: float = 0.15

    def output(self, weights: Floats) -> float:
        """The logit."""
        return float(weights.sum()) / math.sqrt(len(weights)) if len(weights) else 0.0

    def step(
        self,
        weights: Floats,
        hits: npt.NDArray[np.int64],
        is_spam: bool,
        heard: float = 0.0,
        shares: Floats | float = 1.0,
    ) -> Floats:
        """The change of the weights that learns this message.

        heard   a logit that is added to the output before its error is taken: what the others say of the message
        shares  the part of the step that each feature takes, 0 to 1
        """
        size = len(weights)
        if not size:
            return weights
        rates: Floats = (self.rate / math.sqrt(size)) * (1.0 + hits.astype(np.float64)) ** -self.slowing * shares
        slope = float(rates.sum()) / math.sqrt(size)
        output, moved, target = self.output(weights) + heard, 0.0, float(is_spam)
        for _ in range(self.steps):
            error = target - logistic(output)
            if abs(error) < self.margin:
                break
            moved += error
            output += slope * error
        change: Floats = rates * moved
        return change
