"""The statistics, against arithmetic done by hand and examples that the papers print."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspam.algorithms import (
    Hits,
    Score,
    Totals,
    Weighed,
    bayes,
    burton,
    chi_square,
    chi_square_tail,
    confidence,
    fisher,
    geometric_mean,
    graham,
    graham_value,
    markov_value,
    naive,
    robinson,
    robinson_value,
    score,
    token_value,
)
from dspam.constants import (
    DSA_BURTON,
    DSA_CHI_SQUARE,
    DSA_GRAHAM,
    DSA_NAIVE,
    DSA_ROBINSON,
    DSP_GRAHAM,
    DSP_MARKOV,
    DSP_ROBINSON,
)

TOTALS = Totals(spam_learned=10, innocent_learned=20)


def weigh(*values: float, frequency: int = 1) -> list[Weighed]:
    return [Weighed(key, value, frequency) for key, value in enumerate(values, 1)]


# --- Graham's value ---


def test_graham_compares_the_shares_of_both_sides() -> None:
    """8 of 10 spams, 1 of 20 innocent: 0.8 / (0.8 + 0.05) = 0.941176..."""
    assert graham_value(Hits(8, 1), TOTALS) == pytest.approx(0.8 / 0.85)


def test_graham_with_bias_counts_innocent_hits_twice() -> None:
    """8 of 10, 2 x 1 of 20: 0.8 / (0.8 + 0.1) = 0.888..."""
    assert graham_value(Hits(8, 1), TOTALS, bias=True) == pytest.approx(0.8 / 0.9)


@pytest.mark.parametrize(
    ("hits", "bias", "value"),
    [
        (Hits(0, 0), False, 0.4),  # never seen
        (Hits(4, 0), False, 0.4),  # fewer than five say nothing
        (Hits(2, 2), False, 0.4),
        (Hits(2, 2), True, 0.5),  # 2 + 2 x 2 = 6 hits; 0.2 / (0.2 + 0.2)
        (Hits(5, 0), False, 0.9998),
        (Hits(10, 0), False, 0.9998),
        (Hits(11, 0), False, 0.9999),
        (Hits(0, 10), False, 0.0002),
        (Hits(0, 11), False, 0.0001),
    ],
)
def test_graham_has_values_of_their_own_for_rare_and_one_sided_tokens(hits: Hits, bias: bool, value: float) -> None:
    """ "A Plan for Spam": 0.4 below five; "Better Bayesian Filtering": 0.9998, and 0.9999 above ten."""
    assert graham_value(hits, TOTALS, bias) == pytest.approx(value)


def test_graham_stays_between_its_bounds() -> None:
    """100,000 hits against one: 1 / (1 + 1/1000000) would be 0.999999."""
    assert graham_value(Hits(100_000, 1), Totals(100_000, 1_000_000)) == 0.9999


# --- Robinson's value ---


def test_robinson_trusts_the_ratio_the_more_the_more_it_saw() -> None:
    """f(w) = (1 x 0.5 + 9 x 0.9411765) / (1 + 9) = 0.8970588, with s = 1 and x = 0.5 as in the article."""
    assert robinson_value(Hits(8, 1), TOTALS, strength=1, assumed=0.5) == pytest.approx(0.8970588, abs=1e-7)


def test_robinson_of_a_token_never_seen_is_the_assumption() -> None:
    assert robinson_value(Hits(0, 0), TOTALS) == 0.5
    assert robinson_value(Hits(0, 0), TOTALS, assumed=0.415) == 0.415


def test_robinson_of_one_sighting_leans_on_the_assumption() -> None:
    """(0.1 x 0.5 + 1 x 1) / 1.1 = 1.05 / 1.1 = 0.9545455, with libdspam's constants."""
    assert robinson_value(Hits(1, 0), TOTALS) == pytest.approx(1.05 / 1.1)


# --- the Markov value ---


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (5, 0.525),  # 1/2 + (3 - 1) / (16 x (4 + 1)) = 0.5 + 2/80
        (3, 0.5 + 0.025 * 16 / 256),
        (2, 0.5 + 0.025 * 4 / 256),
        (1, 0.5 + 0.025 / 256),
    ],
)
def test_markov_weighs_a_phrase_four_times_for_each_word_more(words: int, value: float) -> None:
    assert markov_value(Hits(3, 1), words) == pytest.approx(value, rel=1e-12)


def test_markov_with_bias_counts_innocent_hits_twice_and_leans_to_innocent() -> None:
    """(3 - 2) / (16 x (3 + 2 + 1)) = 1/96, from 0.49."""
    assert markov_value(Hits(3, 1), 5, bias=True) == pytest.approx(0.49 + 1 / 96)
    assert markov_value(Hits(0, 0), bias=True) == 0.49


@pytest.mark.parametrize(
    ("bits", "value"),
    [
        (DSA_GRAHAM, 0.8 / 0.85),
        (DSP_GRAHAM, 0.8 / 0.85),
        (DSP_ROBINSON, (0.1 * 0.5 + 9 * 0.8 / 0.85) / 9.1),
        (DSP_MARKOV, 0.5 + 7 / 160 / 256),
    ],
)
def test_the_algorithms_name_the_kind_of_value(bits: int, value: float) -> None:
    assert token_value(Hits(8, 1), TOTALS, bits, 1) == pytest.approx(value)


# --- combinations ---


def test_bayes_rule() -> None:
    """0.9 x 0.8 x 0.3 = 0.216; 0.1 x 0.2 x 0.7 = 0.014; 0.216 / 0.230 = 0.9391304."""
    assert bayes([0.9, 0.8, 0.3]) == pytest.approx(0.216 / 0.230)


def test_bayes_rule_over_thousands_of_tokens_does_not_underflow() -> None:
    """1001 times p against 1000 times 1 - p leaves one p, though 0.9 ** 1001 x 0.1 ** 1000 is no double."""
    assert bayes([0.9] * 1001 + [0.1] * 1000) == pytest.approx(0.9)


def test_graham_takes_the_fifteen_most_telling() -> None:
    found = graham(weigh(*[0.99] * 15, 0.02))
    assert len(found.used) == 15
    assert {token.value for token in found.used} == {0.99}
    assert found.is_spam


def test_graham_calls_spam_what_is_above_0_9() -> None:
    """0.9 alone is 0.9 and innocent; 0.8 and 0.8: 0.64 / (0.64 + 0.04) = 0.941 and spam."""
    assert not graham(weigh(0.9)).is_spam
    found = graham(weigh(0.8, 0.8))
    assert found.probability == pytest.approx(0.64 / 0.68)
    assert found.is_spam


def test_burton_counts_a_repeated_token_twice() -> None:
    """0.8 twice and 0.3 once: 0.192 / (0.192 + 0.04 x 0.7 = 0.028) = 0.872727."""
    tokens = [Weighed(1, 0.8, 5), Weighed(2, 0.3, 1)]
    assert burton(tokens).probability == pytest.approx(0.192 / 0.220)


def test_burton_takes_twenty_seven() -> None:
    assert len(burton(weigh(*[0.9] * 20, frequency=2)).used) == 27
    assert len(burton(weigh(*[0.9] * 20)).used) == 20


def test_robinson_compares_geometric_means() -> None:
    """P = 1 - sqrt(0.1 x 0.4) = 0.8; Q = 1 - sqrt(0.9 x 0.6) = 0.2651531; S = 0.5348469 / 1.0651531; (1 + S) / 2."""
    assert geometric_mean([0.9, 0.6]) == pytest.approx(0.7510657, abs=1e-7)
    assert robinson(weigh(0.9, 0.6)).is_spam


def test_robinson_uses_twenty_five_and_needs_a_half() -> None:
    assert len(robinson(weigh(*[0.9] * 30)).used) == 25
    assert robinson(weigh(0.9, 0.9, 0.2)).is_spam
    assert not robinson(weigh(0.1, 0.1, 0.8)).is_spam


def test_robinson_of_equal_values_is_the_value_drawn_towards_the_middle() -> None:
    """n equal values p: P = p, Q = 1 - p, S = 2p - 1, and the indicator is p itself; here (0.01 x 0.5 + 2 x 0.9) / 2.01."""
    assert robinson(weigh(0.9, 0.9)).probability == pytest.approx(1.805 / 2.01)


def test_robinson_passes_over_what_is_within_0_2_of_a_half_and_takes_repeated_tokens_twice() -> None:
    assert robinson(weigh(0.69, 0.31)).used == []
    assert len(robinson(weigh(0.9, frequency=3)).used) == 2


@pytest.mark.parametrize("combine", [graham, burton, robinson, chi_square, naive])
def test_markov_values_need_more_than_a_half_by_every_algorithm(combine: Callable[..., Score]) -> None:
    """They are within 1/16 of it: with the cut-offs of other values nothing would ever be spam."""
    tokens = weigh(0.97)
    assert combine(tokens, markov=True).is_spam
    assert not combine(weigh(0.03), markov=True).is_spam
    assert not combine([], markov=True).is_spam


def test_markov_scores_are_their_own_confidence() -> None:
    """Five spams: 1/2 + 5 / (16 x 6 x 256) = 0.5002035 for each of two words, four times as far for the pair."""
    tokens = [Weighed(1, markov_value(Hits(5, 0), 1), 1), Weighed(2, markov_value(Hits(5, 0), 1), 1)]
    tokens.append(Weighed(3, markov_value(Hits(5, 0), 2), 1, 2))
    bits = DSA_GRAHAM | DSA_BURTON | DSP_MARKOV
    found = score(tokens, bits)
    assert found.is_spam
    assert found.probability == pytest.approx(0.50122, abs=1e-5)
    assert confidence(tokens, found, bits) == found.probability


@pytest.mark.parametrize(
    ("values", "combined"),
    [
        ([0.9, 0.2, 0.21, 0.89, 0.2, 0.78], 0.572203878688),
        ([0.2, 0.2, 0.01, 0.79, 0.2, 0.58], 0.0594128323345),
        ([0.7, 0.89, 0.71, 0.79, 0.972, 0.68], 0.996012078132),
    ],
)
def test_fisher_gives_what_robinsons_article_prints(values: list[float], combined: float) -> None:
    """Linux Journal 107, "A Python Implementation of the Inverse Chi-Square Function"."""
    assert fisher(values) == pytest.approx(combined, abs=1e-12)


def test_the_chi_square_tail_with_two_degrees_is_an_exponential() -> None:
    assert chi_square_tail(3.0, 2) == pytest.approx(math.exp(-1.5))
    assert chi_square_tail(0.0, 8) == 1.0


def test_chi_square_weighs_both_hypotheses() -> None:
    """0.99, 0.98. H: m = -ln 0.9702, e^-m (1 + m) = 0.9702 x 1.0302530 = 0.9995515.
    S: m = -ln 0.0002 = 8.5171932, 0.0002 x 9.5171932 = 0.0019034.  I = (1 + 0.9995515 - 0.0019034) / 2 = 0.9988240."""
    found = chi_square(weigh(0.99, 0.98))
    assert found.probability == pytest.approx(0.9988240, abs=1e-7)
    assert found.is_spam


def test_chi_square_is_undecided_where_evidence_is_equal() -> None:
    found = chi_square(weigh(0.99, 0.01, 0.7))
    assert found.probability == pytest.approx(0.5)
    assert not found.is_spam
    assert [token.value for token in found.used] == [0.99, 0.01]  # 0.7 is within 0.45 of neutral


def test_chi_square_of_ten_thousand_tokens_is_finite() -> None:
    assert chi_square(weigh(*[0.9999] * 10_000)).probability == pytest.approx(1.0)


def test_naive_uses_every_token() -> None:
    found = naive(weigh(*[0.95] * 40, *[0.05] * 39))
    assert len(found.used) == 79
    assert found.probability == pytest.approx(0.95)
    assert found.is_spam
    assert not naive(weigh(0.89)).is_spam


def test_nothing_known_is_innocent_by_every_algorithm() -> None:
    for bits in (0, DSA_GRAHAM, DSA_BURTON, DSA_ROBINSON, DSA_CHI_SQUARE, DSA_NAIVE):
        found = score([], bits)
        assert not found.is_spam
        assert found.probability == pytest.approx(0.5)


def test_of_several_algorithms_one_that_says_spam_is_enough() -> None:
    """Graham: 0.8 x 0.6 / (0.48 + 0.08) = 0.857. Burton, 0.8 twice: 0.384 / (0.384 + 0.04 x 0.4) = 0.96."""
    tokens = [Weighed(1, 0.8, 2), Weighed(2, 0.6, 1)]
    assert not score(tokens, DSA_GRAHAM).is_spam
    found = score(tokens, DSA_GRAHAM | DSA_BURTON)
    assert found.is_spam
    assert found.probability == pytest.approx(0.384 / 0.400)


def test_of_two_that_say_spam_burtons_score_is_told_and_of_two_that_do_not_grahams() -> None:
    """0.9 twice and 0.8: Graham 0.72 / 0.74 = 0.973, Burton 0.648 / 0.65 = 0.997; 0.1 and 0.2 turn it round."""
    spam, innocent = [Weighed(1, 0.9, 2), Weighed(2, 0.8, 1)], [Weighed(1, 0.1, 2), Weighed(2, 0.2, 1)]
    bits = DSA_GRAHAM | DSA_BURTON
    assert score(spam, bits).probability == pytest.approx(0.648 / 0.650)
    assert score(innocent, bits).probability == pytest.approx(0.02 / 0.74)


def test_of_equally_telling_tokens_those_of_more_words_come_first() -> None:
    tokens = [Weighed(key, 0.99, 1, 1 + key % 2) for key in range(30)]
    assert {token.words for token in graham(tokens).used} == {2}


def test_fishers_test_trusts_grahams_values_as_far_as_they_were_seen() -> None:
    """Seen once, 0.9999 counts as (0.05 + 0.9999) / 1.1 = 0.9545, and 0.9 as (0.05 + 0.9) / 1.1 = 0.8636: too near."""
    found = score([Weighed(1, 0.9999, 1, seen=1), Weighed(2, 0.9, 1, seen=1)], DSA_CHI_SQUARE)
    assert [token.value for token in found.used] == [pytest.approx(1.0499 / 1.1)]


def test_equally_telling_tokens_are_chosen_the_same_way_everywhere() -> None:
    tokens = [Weighed(key, 0.99, 1) for key in range(40)]
    assert graham(tokens).used == graham(list(reversed(tokens))).used


def test_confidence_speaks_for_the_result() -> None:
    """0.9 alone is far enough from 1/2; the indicator of one value is the value: (0.01 x 0.5 + 2 x 0.9) / 2.01."""
    tokens = weigh(0.9, 0.6)
    spam, innocent = Score(1.0, True, tokens), Score(0.0, False, tokens)
    assert confidence(tokens, spam, DSA_GRAHAM) == pytest.approx(1.805 / 2.01)
    assert confidence(tokens, innocent, DSA_GRAHAM) == pytest.approx(1 - 1.805 / 2.01)


def test_nobody_is_confident_where_no_token_tells_anything() -> None:
    tokens = weigh(0.4, 0.6)
    assert confidence(tokens, Score(0.4, False, tokens), DSA_GRAHAM) == 0.5


@pytest.mark.parametrize(
    ("bits", "tokens"), [(DSA_GRAHAM, 15), (DSA_GRAHAM | DSA_BURTON, 25), (DSA_ROBINSON, 25), (DSA_CHI_SQUARE, 15)]
)
def test_confidence_looks_at_as_many_tokens_as_the_algorithms(bits: int, tokens: int) -> None:
    """So many of 0.9 in front of thirty of 0.2."""
    values = weigh(*[0.9] * tokens, *[0.2] * 30)
    assert confidence(values, Score(1.0, True, values), bits) == pytest.approx(
        confidence(values[:tokens], Score(1.0, True, []), bits)
    )


@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(1, 127)), max_size=60),
    st.sampled_from([DSA_GRAHAM, DSA_BURTON, DSA_ROBINSON, DSA_CHI_SQUARE, DSA_NAIVE]),
)
def test_a_score_is_a_probability_whatever_the_values(tokens: list[tuple[float, int]], algorithm: int) -> None:
    found = score([Weighed(key, value, frequency) for key, (value, frequency) in enumerate(tokens)], algorithm)
    assert 0 <= found.probability <= 1


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9), st.booleans())
def test_a_value_is_a_probability_whatever_the_counts(
    spam: int, innocent: int, spams: int, innocents: int, bias: bool
) -> None:
    for bits in (DSP_GRAHAM, DSP_ROBINSON, DSP_MARKOV):
        assert 0 < token_value(Hits(spam, innocent), Totals(spams, innocents), bits, 3, bias) < 1
