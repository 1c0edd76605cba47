"""Measures of accuracy: the figures of the TREC spam track (Cormack and Lynam, 2005)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


@dataclasses.dataclass(frozen=True, slots=True)
class Judged:
    """One message: its path, its class, its score (higher means more like spam) and the verdict."""

    path: str
    is_spam: bool
    score: float
    called_spam: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Figures:
    """The figures as percentages. lam is the logistic average of the two misclassification rates, so neither can be
    traded for the other. one_minus_roca is the area above the ROC curve, which needs no threshold. nan if a class is
    missing.
    """

    n: int
    ham: int
    spam: int
    ham_misclassified_pct: float
    spam_misclassified_pct: float
    lam_pct: float
    one_minus_roca_pct: float
    spam_missed_at_0_1_pct_fp: float


def figures(judged: Sequence[Judged]) -> Figures:
    """The figures of a run."""
    spam = np.array([one.score for one in judged if one.is_spam])
    ham = np.array([one.score for one in judged if not one.is_spam])
    lost = sum(one.called_spam for one in judged if not one.is_spam)
    missed = sum(not one.called_spam for one in judged if one.is_spam)
    return Figures(
        n=len(judged),
        ham=len(ham),
        spam=len(spam),
        ham_misclassified_pct=_percent(lost, len(ham)),
        spam_misclassified_pct=_percent(missed, len(spam)),
        lam_pct=_lam(lost, len(ham), missed, len(spam)),
        one_minus_roca_pct=100 * area_above(ham, spam),
        spam_missed_at_0_1_pct_fp=100 * missed_at(ham, spam, 0.001),
    )


def _percent(part: int, whole: int) -> float:
    return 100 * part / whole if whole else math.nan


def _lam(lost: int, ham: int, missed: int, spam: int) -> float:
    """The logistic average. Half a message is added to each count, so that a run without errors has a finite logarithm."""
    if not ham or not spam:
        return math.nan
    logits = [math.log((errors + 0.5) / (of - errors + 0.5)) for errors, of in ((lost, ham), (missed, spam))]
    return 100 / (1 + math.exp(-sum(logits) / 2))


def area_above(ham: npt.NDArray[np.float64], spam: npt.NDArray[np.float64]) -> float:
    """The probability that a random ham message scores above a random spam message; equal scores count half."""
    if not len(ham) or not len(spam):
        return math.nan
    ordered = np.sort(ham)
    above = len(ham) - np.searchsorted(ordered, spam, side="right")
    equal = len(ham) - np.searchsorted(ordered, spam, side="left") - above
    return float((above + equal / 2).sum() / (len(ham) * len(spam)))


def missed_at(ham: npt.NDArray[np.float64], spam: npt.NDArray[np.float64], lost: float) -> float:
    """The share of spam missed at the lowest threshold that loses at most the share `lost` of the ham."""
    if not len(ham) or not len(spam):
        return math.nan
    allowed = math.floor(lost * len(ham) + 1e-9)
    # Scores above the threshold mean spam: the highest `allowed` ham scores may be above it.
    threshold = np.sort(ham)[::-1][allowed] if allowed < len(ham) else -math.inf
    return float((spam <= threshold).sum() / len(spam))


def curve(judged: Sequence[Judged]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The ROC curve: percent of ham lost and percent of spam missed at each threshold, strictest first."""
    scores = np.array([one.score for one in judged])
    is_spam = np.array([one.is_spam for one in judged])
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0, True)
    caught, lost = np.cumsum(is_spam[order])[last], np.cumsum(~is_spam[order])[last]
    return 100 * lost / max(1, (~is_spam).sum()), 100 - 100 * caught / max(1, is_spam.sum())
