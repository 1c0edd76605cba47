"""From counts to values, and from values to a score: the classical statistics of spam filters.

A token's *value* is the probability that a message which holds it is spam, estimated from its hits (in how many spams and
in how many innocent messages it was) and the totals (how many of each were learned):

    graham_value    Graham, "A Plan for Spam" (2002) and "Better Bayesian Filtering" (2003)
    robinson_value  Robinson, "A Statistical Approach to the Spam Problem", Linux Journal 107 (2003): f(w)
    markov_value    Yerazunis, "The Spam-Filtering Accuracy Plateau at 99.9 Percent" (2004), for CRM114

A message's *score* combines the values of its tokens:

    graham      the 15 most telling ones by Bayes' rule, spam above 0.9
    burton      the 27 most telling ones, one that is repeated counts twice (Burton, "SpamProbe" (2003)), spam above 0.9
    robinson    geometric means of 25, spam from 0.54 (Robinson, "Spam Detection" (2002))
    chi_square  Fisher's test for both hypotheses (Robinson 2003), spam from 0.501
    naive       Bayes' rule over all tokens

Everything here is pure: numbers in, numbers out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from .constants import (
    DSA_BURTON,
    DSA_CHI_SQUARE,
    DSA_GRAHAM,
    DSA_NAIVE,
    DSA_ROBINSON,
    DSP_MARKOV,
    DSP_ROBINSON,
    DSZ_CHAIN,
    DSZ_OSB,
    DSZ_SBPH,
    DSZ_WORD,
)

LOWEST: Final = 0.0001
HIGHEST: Final = 0.9999


class Hits(NamedTuple):
    """In how many spams and in how many innocent messages a token was."""

    spam: int
    innocent: int


class Totals(NamedTuple):
    """How many messages a user's dictionary was made of, and how they came to it (libdspam's order)."""

    spam_learned: int = 0
    innocent_learned: int = 0
    spam_misclassified: int = 0
    innocent_misclassified: int = 0
    spam_corpusfed: int = 0
    innocent_corpusfed: int = 0
    spam_classified: int = 0
    innocent_classified: int = 0


class Weighed(NamedTuple):
    """A token of a message as a combination sees it."""

    key: int
    value: float
    frequency: int


class Score(NamedTuple):
    """`probability` (0 innocent to 1 spam), what follows from it, and the tokens that were used, the most telling first."""

    probability: float
    is_spam: bool
    used: Sequence[Weighed]


# --- a token's value ---

UNKNOWN: Final = 0.4
"""Graham: a word that was hardly seen is rather innocent; honest mail has more rare words."""
_RARE = 5
_OFTEN = 10


def _rates(hits: Hits, totals: Totals, bias: bool) -> tuple[float, float]:
    """The shares of spam and of innocent messages which hold the token; at most 1 each."""
    innocent = hits.innocent * (2 if bias else 1)
    return (
        min(1.0, hits.spam / max(1, totals.spam_learned)),
        min(1.0, innocent / max(1, totals.innocent_learned)),
    )


def graham_value(hits: Hits, totals: Totals, bias: bool = False) -> float:
    """Graham's estimate: the share of spams with the token, against that of innocent messages.

    With `bias` innocent hits count twice.  Fewer than five hits say nothing (0.4).  A token which only one side knows gets
    0.9998 or 0.0002, and 0.9999 or 0.0001 if it was seen more than ten times (Graham 2003).
    """
    spam, innocent = hits
    if spam + innocent * (2 if bias else 1) < _RARE:
        return UNKNOWN
    if not innocent:
        return HIGHEST if spam > _OFTEN else 0.9998
    if not spam:
        return LOWEST if innocent > _OFTEN else 0.0002
    spam_rate, innocent_rate = _rates(hits, totals, bias)
    return min(HIGHEST, max(LOWEST, spam_rate / (spam_rate + innocent_rate)))


def robinson_value(
    hits: Hits, totals: Totals, bias: bool = False, strength: float = 0.01, assumed: float = 0.415
) -> float:
    """Robinson's f(w) = (s x + n p(w)) / (s + n): p(w) is trusted the more, the more often the token was seen.

    n is the number of hits, p(w) Graham's ratio without its exceptions, x (`assumed`) the value of a token never seen, and s
    (`strength`) says how many sightings outweigh that assumption.  The defaults are those of bogofilter 0.10 and libdspam.
    """
    seen = hits.spam + hits.innocent
    if not seen:
        return assumed
    spam_rate, innocent_rate = _rates(hits, totals, bias)
    ratio = spam_rate / (spam_rate + innocent_rate)
    return (strength * assumed + seen * ratio) / (strength + seen)


_C1 = 16
_C2 = 1
_WINDOWS = {DSZ_WORD: 1, DSZ_CHAIN: 2, DSZ_SBPH: 5}


def markov_value(hits: Hits, words: int = 1, tokenizer: int = DSZ_SBPH, bias: bool = False) -> float:
    """CRM114's local probability 1/2 + w (spam - innocent) / (C1 (spam + innocent + C2) w_max), C1 = 16, C2 = 1.

    The weight w of a phrase of n words is 4^(n-1) (1, 4, 16, 64, 256): the longer one decides against those that it holds.
    OSB's tokens all have two words, and so the same weight, which falls out.
    """
    innocent = hits.innocent * (2 if bias else 1)
    weight = 1.0 if tokenizer == DSZ_OSB else 4.0 ** (words - _WINDOWS.get(tokenizer, 5))
    return 0.5 + weight * (hits.spam - innocent) / (_C1 * (hits.spam + innocent + _C2))


def token_value(
    hits: Hits, totals: Totals, algorithms: int, words: int = 1, tokenizer: int = DSZ_CHAIN, bias: bool = False
) -> float:
    """The value by the method that `algorithms` names (DSP_*), Graham's where it names none."""
    if algorithms & DSP_MARKOV:
        return markov_value(hits, words, tokenizer, bias)
    if algorithms & DSP_ROBINSON:
        return robinson_value(hits, totals, bias)
    return graham_value(hits, totals, bias)


# --- a message's score ---

GRAHAM_TOKENS: Final = 15
BURTON_TOKENS: Final = 27
ROBINSON_TOKENS: Final = 25
GRAHAM_CUTOFF: Final = 0.9
ROBINSON_CUTOFF: Final = 0.54
CHI_CUTOFF: Final = 0.501
CHI_RADIUS: Final = 0.45
"""Tokens nearer to 1/2 than this are no evidence to Fisher's test (libdspam's exclusionary radius)."""
NAIVE_CUTOFF: Final = 0.5


def telling(tokens: Iterable[Weighed]) -> list[Weighed]:
    """The tokens by their distance from 1/2, the most telling first; among equals the more frequent, then the lower key.

    The last rule makes the choice the same on every node, and the keys are hashes: nobody's words come first.
    """
    return sorted(tokens, key=_rank)


def _rank(token: Weighed) -> tuple[float, int, int]:
    key, value, frequency = token
    return -abs(value - 0.5), -frequency, key


def bayes(values: Iterable[float]) -> float:
    """Bayes' rule for independent tokens and even odds: Πp / (Πp + Π(1-p)), by logarithms: a thousand do not underflow."""
    odds = math.fsum(math.log(value) - math.log1p(-value) for value in map(_inside, values))
    if odds >= 0:
        return 1 / (1 + math.exp(-odds))
    return math.exp(max(odds, -700.0)) / (1 + math.exp(max(odds, -700.0)))


def _inside(value: float) -> float:
    """Keep a value away from 0 and 1, where logarithms end."""
    return min(1 - 1e-12, max(1e-12, value))


def graham(tokens: Iterable[Weighed]) -> Score:
    """Graham: Bayes' rule over the 15 most telling tokens, each once."""
    used = telling(tokens)[:GRAHAM_TOKENS]
    probability = bayes(token.value for token in used)
    return Score(probability, probability > GRAHAM_CUTOFF, used)


def burton(tokens: Iterable[Weighed]) -> Score:
    """Burton: Bayes' rule over 27, where a token that the message repeats takes two of them."""
    used: list[Weighed] = []
    for token in telling(tokens):
        used += [token] * min(2, token.frequency)
        if len(used) >= BURTON_TOKENS:
            break
    del used[BURTON_TOKENS:]
    probability = bayes(token.value for token in used)
    return Score(probability, probability > GRAHAM_CUTOFF, used)


def geometric_mean(values: Sequence[float]) -> float:
    """Robinson's indicator (1 + S) / 2 with S = (P - Q) / (P + Q), P = 1 - (Π(1-p))^(1/n), Q = 1 - (Πp)^(1/n)."""
    if not values:
        return 0.5
    spam = 1 - math.exp(math.fsum(math.log1p(-_inside(value)) for value in values) / len(values))
    innocent = 1 - math.exp(math.fsum(math.log(_inside(value)) for value in values) / len(values))
    return (1 + (spam - innocent) / (spam + innocent)) / 2


def robinson(tokens: Iterable[Weighed]) -> Score:
    """Robinson's geometric mean test over the 25 most telling tokens; it stays in the middle where evidence is mixed."""
    used = telling(tokens)[:ROBINSON_TOKENS]
    probability = geometric_mean([token.value for token in used])
    return Score(probability, probability >= ROBINSON_CUTOFF, used)


def chi_square_tail(chi: float, degrees: int) -> float:
    """The probability that a chi-square variable with this (even) number of degrees of freedom exceeds `chi`.

    e^-m Σ m^i / i! for i < degrees/2, m = chi/2.  Terms are added by their logarithms, relative to the largest: a message
    of thousands of tokens neither underflows nor overflows.
    """
    half = chi / 2
    if half <= 0:
        return 1.0
    log_half = math.log(half)
    terms = [i * log_half - math.lgamma(i + 1) for i in range(degrees // 2)]
    highest = max(terms)
    return min(1.0, math.exp(highest - half + math.log(math.fsum(math.exp(term - highest) for term in terms))))


def fisher(values: Sequence[float]) -> float:
    """Fisher's combined probability C⁻¹(-2 ln Πp, 2n): small where the values are surprisingly small."""
    if not values:
        return 0.5
    return chi_square_tail(-2 * math.fsum(math.log(_inside(value)) for value in values), 2 * len(values))


def chi_square(tokens: Iterable[Weighed]) -> Score:
    """Robinson's indicator I = (1 + H - S) / 2 with H = fisher(p), S = fisher(1-p), over all tokens that say something."""
    used = [token for token in telling(tokens) if abs(token.value - 0.5) >= CHI_RADIUS]
    values = [token.value for token in used]
    probability = (1 + fisher(values) - fisher([1 - value for value in values])) / 2
    return Score(probability, probability >= CHI_CUTOFF, used)


def naive(tokens: Iterable[Weighed]) -> Score:
    """Bayes' rule over every token."""
    used = telling(tokens)
    probability = bayes(token.value for token in used)
    return Score(probability, probability > NAIVE_CUTOFF, used)


ALGORITHMS: Final[dict[int, Callable[[Iterable[Weighed]], Score]]] = {
    DSA_GRAHAM: graham,
    DSA_BURTON: burton,
    DSA_ROBINSON: robinson,
    DSA_CHI_SQUARE: chi_square,
    DSA_NAIVE: naive,
}


def score(tokens: Sequence[Weighed], algorithms: int) -> Score:
    """The score by the algorithms named (DSA_*), Graham's where none is.

    Several at once: it is spam if one of them says so, and the first that does is the one reported (as in libdspam, whose
    default of Graham and Burton is meant to catch what either does).
    """
    scores = [combine(tokens) for bit, combine in ALGORITHMS.items() if algorithms & bit] or [graham(tokens)]
    return next((found for found in scores if found.is_spam), scores[0])


def confidence(tokens: Iterable[Weighed], is_spam: bool) -> float:
    """How sure the result is, 0 to 1: Robinson's indicator in its favour.

    Bayes' rule over a few extreme values is nearly always 0 or 1, and so says nothing about how sure it is.
    """
    indicator = robinson(tokens).probability
    return indicator if is_spam else 1 - indicator
