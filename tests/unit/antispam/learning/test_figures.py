"""The figures, against examples worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antispam.learning.figures import Judged, area_above, curve, figures, missed_at


def judged(ham, spam, threshold=0.5):
    return [Judged(f"h{i}", False, score, score > threshold) for i, score in enumerate(ham)] + [
        Judged(f"s{i}", True, score, score > threshold) for i, score in enumerate(spam)
    ]


def test_a_perfect_run():
    found = figures(judged([0.1, 0.2], [0.8, 0.9]))
    assert (found.ham_misclassified_pct, found.spam_misclassified_pct, found.one_minus_roca_pct) == (0, 0, 0)


def test_rates_are_percentages_of_their_own_class():
    found = figures(judged([0.1, 0.2, 0.3, 0.9], [0.1, 0.9]))
    assert (found.n, found.ham, found.spam) == (6, 4, 2)
    assert (found.ham_misclassified_pct, found.spam_misclassified_pct) == (25, 50)


def test_lam_is_the_logistic_average():
    """One of 4 and one of 2 wrong: odds 1.5/3.5 and 1.5/1.5, the root of whose product is 0.65465; 0.6547/1.6547 = 39.56 %."""
    assert figures(judged([0.1, 0.2, 0.3, 0.9], [0.1, 0.9])).lam_pct == pytest.approx(39.564, abs=0.001)


def test_the_area_counts_pairs_in_the_wrong_order():
    """Of 2 x 3 pairs: 0.6 lies above 0.5 (one), and equals 0.6 (half)."""
    assert area_above(np.array([0.1, 0.6]), np.array([0.5, 0.6, 0.9])) == pytest.approx(1.5 / 6)


def test_missed_at_a_tenth_of_a_percent_allows_one_ham_in_a_thousand():
    ham = np.concatenate([np.zeros(998), [0.7, 0.9]])
    assert missed_at(ham, np.array([0.5, 0.7, 0.8, 0.95]), 0.001) == 0.5


def test_a_class_that_is_missing_gives_no_number():
    found = figures(judged([0.1], []))
    assert math.isnan(found.spam_misclassified_pct)
    assert math.isnan(found.one_minus_roca_pct)


def test_the_curve_goes_from_all_missed_to_all_lost():
    lost, missed = curve(judged([0.1, 0.6], [0.5, 0.9]))
    assert list(lost) == [0, 50, 50, 100]
    assert list(missed) == [50, 50, 0, 0]


SCORES = st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0]), min_size=1, max_size=20)


@given(SCORES, SCORES)
def test_the_area_is_that_of_counting_all_pairs(ham, spam):
    pairs = [(h > s) + (h == s) / 2 for h in ham for s in spam]
    assert area_above(np.array(ham), np.array(spam)) == pytest.approx(sum(pairs) / len(pairs))
