"""The ring of observations and the formulas, against values computed by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossip import HAM, SPAM, UNSURE, Observations
from gossip.observations import aggregate, agreement, replayed, weighed

NOW = 1_800_000_000.0


# e^2 / (1 + e^2) is 0.880797: 200 times what that is above one half is 76.1594.
@pytest.mark.parametrize(
    ("votes", "reputation"),
    [
        ([], 0.0),
        ([HAM], 76.1594),
        ([SPAM] * 7, -76.1594),
        ([HAM, SPAM], 0.0),
        ([HAM, HAM, HAM, SPAM], 46.2117),  # k(h-s)/n = 1: e / (1 + e) = 0.731059
        ([SPAM, UNSURE], -46.2117),  # who is unsure counts among all, but for neither
        ([UNSURE] * 3, 0.0),
    ],
)
def test_the_reputation_is_a_logistic_curve_of_the_share_of_ham_less_that_of_spam(votes, reputation):
    assert replayed(votes, NOW).reputation == pytest.approx(reputation, abs=1e-4)


def test_confidence_is_how_full_the_ring_is_times_how_fresh_it_is():
    made = Observations(first_seen=1000.0)
    for _ in range(256):
        made.add(HAM, 1500.0)
    assert made.confidence(1500.0) == pytest.approx(25.0)
    assert made.confidence(2000.0) == pytest.approx(12.5)  # known for 1000 s, and nothing came in the second half


@pytest.mark.parametrize("now", [1000.0, 999.0, 0.0, -5.0])
def test_a_clock_that_was_put_back_makes_nobody_confident(now):
    made = Observations(first_seen=1000.0)
    made.add(HAM, 1500.0)
    assert made.confidence(now) == 0.0


def test_confidence_never_leaves_its_bounds_where_the_last_observation_lies_in_the_future():
    made = Observations(size=1, first_seen=1000.0)
    made.add(HAM, 9000.0)
    assert made.confidence(1001.0) == 100.0


def test_the_oldest_observation_makes_room():
    made = replayed([SPAM] * 1024, NOW)
    assert made.spam_count == 1024
    made.add(HAM, NOW)
    assert (made.spam_count, made.ham_count, made.count, made.total) == (1023, 1, 1024, 1025)


@given(st.lists(st.sampled_from([HAM, SPAM, UNSURE]), max_size=40))
def test_a_ring_remembers_the_last_votes_in_their_order(votes):
    made = replayed(votes, NOW, size=8)
    assert list(made.votes()) == votes[-8:]
    assert made.ham_count == votes[-8:].count(HAM)
    assert made.spam_count == votes[-8:].count(SPAM)
    assert -77 < made.reputation < 77


def test_an_observation_can_be_corrected_while_it_is_remembered():
    made = replayed([HAM] * 10, NOW, size=8)
    assert made.change(9, SPAM)
    assert made.change(2, UNSURE)
    assert (made.ham_count, made.spam_count, made.unsure_count) == (6, 1, 1)
    assert not made.change(1, SPAM)
    assert not made.change(10, SPAM)
    assert not made.change(-1, SPAM)


# Values that pygossip's documentation and tests give for the same input.
@pytest.mark.parametrize(
    ("opinions", "expected"),
    [
        ([], (0.0, 0.0)),
        ([(-20.0, 3.0)], (-20.0, 3.0)),
        ([(-76.159416, 0.219053), (0.0, 0.0)], (-76.159416, 0.219053)),
        ([(76.0, 0.0), (0.0, 0.0)], (38.0, 0.0)),
        ([(10.0, 3.0), (15.0, 2.0)], (12.0, 2.5)),
    ],
)
def test_several_opinions_come_to_their_mean_by_confidence(opinions, expected):
    assert aggregate(opinions) == pytest.approx(expected)


def test_an_opinion_far_from_all_others_is_not_heard():
    opinions = [(50.0, 10.0)] * 20 + [(-76.0, 10.0)]
    # The mean is 44, the sample's standard deviation 27.5: -76 is more than three of them away.
    assert aggregate(opinions) == pytest.approx((50.0, 10.0))


@given(st.lists(st.tuples(st.floats(-100, 100), st.floats(0, 100)), max_size=9))
def test_what_opinions_come_to_lies_among_them(opinions):
    value, confidence = aggregate(opinions)
    assert math.isfinite(value)
    assert -100.001 <= value <= 100.001
    assert -0.001 <= confidence <= 100.001


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ((50.0, 5.0), (20.0, 1.0), HAM),
        ((-50.0, 5.0), (-20.0, 1.0), HAM),
        ((-50.0, 5.0), (20.0, 1.0), SPAM),
        ((50.0, 0.9), (20.0, 90.0), UNSURE),
        ((50.0, 5.0), (20.0, 0.0), UNSURE),
        ((0.0, 5.0), (20.0, 5.0), UNSURE),
    ],
)
def test_a_peer_agrees_disagrees_or_knows_too_little(ours, theirs, expected):
    assert agreement(ours, theirs) == expected


def test_a_peer_with_whom_we_disagree_counts_less():
    assert weighed((60.0, 40.0), 30.0) == (60.0, 40.0)
    assert weighed((60.0, 40.0), -75.0) == (60.0, 10.0)
    assert weighed((60.0, 40.0), -100.0) == (60.0, 0.0)
