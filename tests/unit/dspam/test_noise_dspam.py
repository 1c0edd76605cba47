"""Bayesian noise reduction."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspam.noise import band, noise, pattern_name, patterns


@pytest.mark.parametrize(("value", "banded"), [(0.0, 0.0), (0.02, 0.0), (0.03, 0.05), (0.9998, 1.0), (0.41, 0.4)])
def test_values_are_rounded_to_the_nearest_twentieth(value: float, banded: float) -> None:
    assert band(value) == banded


def test_a_pattern_is_named_by_its_three_values() -> None:
    assert pattern_name([0.95, 0.21, 0.9], "s") == "bnr.s|0.95_0.20_0.90"


def test_each_run_of_three_makes_a_pattern() -> None:
    values = {1: 0.9, 2: 0.1, 3: 0.5}
    assert [name for name, _ in patterns([1, 2, 3, 1], values)] == ["bnr.s|0.90_0.10_0.50", "bnr.s|0.10_0.50_0.90"]
    assert list(patterns([1, 2], values)) == []


def test_a_word_that_contradicts_a_telling_context_is_noise() -> None:
    """The context was learned as spam, 0.9; the word of 0.2 is 0.7 away from it, those of 0.95 only 0.05."""
    values = {1: 0.95, 2: 0.2, 3: 0.95}
    assert noise([1, 2, 3], values, {"bnr.s|0.95_0.20_0.95": 0.9}.__getitem__) == {2}


def test_a_context_near_neutral_tells_nothing() -> None:
    """|0.74 - 0.5| = 0.24 is within the exclusionary radius of 0.25."""
    values = {1: 0.95, 2: 0.2, 3: 0.95}
    assert noise([1, 2, 3], values, lambda _: 0.74) == set()


def test_a_word_within_the_inconsistency_radius_stays() -> None:
    """|0.6 - 0.9| = 0.3 is less than 0.33."""
    assert noise([1, 2, 3], {1: 0.95, 2: 0.6, 3: 0.95}, lambda _: 0.9) == set()


def test_a_word_that_stands_rightly_elsewhere_stays() -> None:
    values = {1: 0.95, 2: 0.2, 3: 0.95, 4: 0.15, 5: 0.1}
    worth = {"bnr.s|0.95_0.20_0.95": 0.9}
    stream = [1, 2, 3, 4, 2, 5]
    assert noise(stream, values, lambda name: worth.get(name, 0.5)) == set()


@given(st.lists(st.integers(1, 9), max_size=40), st.floats(0, 1))
def test_only_words_of_the_message_are_ever_noise(stream: list[int], worth: float) -> None:
    values = {key: key / 10 for key in range(1, 10)}
    assert noise(stream, values, lambda _: worth) <= set(stream)
