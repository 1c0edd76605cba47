"""From counts to values, and from values to a score: the classical statistics of spam filters.

A token's *value* is the probability that a message which holds it is spam, estimated from its hits (how many spams and how many
innocent messages contained it) and the totals (how many of each were learned):

    graham_value    Graham, "A Plan for Spam" (2002) and "Better Bayesian Filtering" (2003)
    robinson_value  Robinson, "A Statistical Approach to the Spam Problem", Linux Journal 107 (2003): f(w)
    markov_value    Yerazunis, "The Spam-Filtering Accuracy Plateau at 99.9 Percent" (2004), for CRM114

A message's *score* combines the values of its tokens:

    graham      the 15 most telling ones by Bayes' rule, spam from 0.9
    burton      the 27 most telling ones, one that is repeated counts twice (Burton, "SpamProbe" (2003)), spam from 0.9
    robinson    geometric means of 25, spam from 0.5 (Robinson, "Spam Detection" (2002))
    chi_square  Fisher's test for both hypotheses (Robinson 2003), spam from 0.501
    naive       Bayes' rule over all tokens, spam from 0.9

Markov values lie close to 1/2, and so do their scores: with them each of the five says spam above 0.5.  Constants without
another source are libdspam 3.10.2's.  Everything here is pure: numbers in, numbers out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from .constants import (
    DSA_BURTON,
    DSA_CHI_SQUARE,
    DSA_GRAHAM,
    DSA_NAIVE,
    DSA_ROBINSON,
    DSP_MARKOV,
    DSP_ROBINSON,
)

LOWEST: Final = 0.0001
HIGHEST: Final = 0.9999


class Hits(NamedTuple):
    """The number of spams and of innocent messages that contained a token."""

    spam: int
    innocent: int


class Totals(NamedTuple):
    """The number of messages that a user's dictionary was built from, by source (in libdspam's order)."""

    spam_learned: int = 0
    innocent_learned: int = 0
    spam_misclassified: int = 0
    innocent_misclassified: int = 0
    spam_corpusfed: int = 0
    innocent_corpusfed: int = 0
    spam_classified: int = 0
    innocent_classified: int = 0


class Weighed(NamedTuple):
    """A token of a message as the combining functions see it: its frequency in the message, its number of words, and the number
    of messages in which it was seen before."""

    key: int
    value: float
    frequency: int
    words: int = 1
    seen: int = 0


class Score(NamedTuple):
    """`probability` (0 innocent to 1 spam), the resulting class, and the tokens that were used, the most significant first."""

    probability: float
    is_spam: bool
    used: Sequence[Weighed]


# --- a token's value ---

UNKNOWN: Final = 0.4
"""Graham: a word that was hardly seen is rather innocent; honest mail has more rare words."""
_RARE = 5
_OFTEN = 10


def _rates(hits: Hits, totals: Totals, bias: bool) -> tuple[float, float]:
    """The fractions of spam and of innocent messages that contain the token; each at most 1."""
    innocent = hits.innocent * (2 if bias else 1)
    return (
        min(1.0, hits.spam / max(1, totals.spam_learned)),
        min(1.0, innocent / max(1, totals.innocent_learned)),
    )


def graham_value(hits: Hits, totals: Totals, bias: bool = False) -> float:
    """Graham's estimate: the fraction of spams that contain the token, relative to that of innocent messages.

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
    hits: Hits, totals: Totals, bias: bool = False, strength: float = 0.1, assumed: float = 0.5
) -> float:
    """Robinson's f(w) = (s x + n p(w)) / (s + n): the more often the token was seen, the more p(w) is trusted.

    n is the number of hits, p(w) Graham's ratio without its exceptions, x (`assumed`) the value of a token never seen, and s
    (`strength`) says how many sightings outweigh that assumption.
    """
    seen = hits.spam + hits.innocent
    if not seen:
        return assumed
    spam_rate, innocent_rate = _rates(hits, totals, bias)
    return trusted(spam_rate / (spam_rate + innocent_rate), seen, strength, assumed)


def trusted(value: float, seen: int, strength: float = 0.1, assumed: float = 0.5) -> float:
    """The value, weighted by `seen` sightings against an assumption: Robinson's f(w)."""
    return (strength * assumed + seen * value) / (strength + seen)


_C1 = 16
_C2 = 1
_WINDOW = 5
MARKOV_UNKNOWN: Final = 0.5
MARKOV_BIAS: Final = 0.01
"""DSF_BIAS also lets every Markov value lean this far towards innocent."""


def markov_value(hits: Hits, words: int = 1, bias: bool = False) -> float:
    """CRM114's local probability 1/2 + w (spam - innocent) / (C1 (spam + innocent + C2) w_max), C1 = 16, C2 = 1.

    The weight w of a phrase of n words is 4^(n-1) (1, 4, 16, 64, 256): the longer one decides against those that it holds.
    w_max is 256 with every tokenizer.
    """
    innocent = hits.innocent * (2 if bias else 1)
    unknown = MARKOV_UNKNOWN - (MARKOV_BIAS if bias else 0.0)
    weight = 4.0 ** (min(words, _WINDOW) - _WINDOW)
    return unknown + weight * (hits.spam - innocent) / (_C1 * (hits.spam + innocent + _C2))


def token_value(hits: Hits, totals: Totals, algorithms: int, words: int = 1, bias: bool = False) -> float:
    """The value by the method that `algorithms` names (DSP_*); by default Graham's."""
    if algorithms & DSP_MARKOV:
        return markov_value(hits, words, bias)
    if algorithms & DSP_ROBINSON:
        return robinson_value(hits, totals, bias)
    return graham_value(hits, totals, bias)


# --- a message's score ---

GRAHAM_TOKENS: Final = 15
BURTON_TOKENS: Final = 27
ROBINSON_TOKENS: Final = 25
CHI_RADIUS: Final = 0.45
"""Tokens nearer to 1/2 than this are no evidence to Fisher's test."""
ROBINSON_RADIUS: Final = 0.2
"""Tokens nearer to 1/2 than this are no evidence to the geometric means."""
MARKOV_CUTOFF: Final = 0.5
CUTOFFS: Final[Mapping[int, float]] = {
    DSA_GRAHAM: 0.9,
    DSA_BURTON: 0.9,
    DSA_ROBINSON: 0.5,
    DSA_CHI_SQUARE: 0.501,
    DSA_NAIVE: 0.9,
}
"""The score from which a message is spam, where values are not Markov's."""


def telling(tokens: Iterable[Weighed]) -> list[Weighed]:
    """The tokens in order of their distance from 1/2, the largest first. Ties go to the more frequent token, then to the one of
    more words, then to the lower key.

    The last rule makes the choice the same on every node. Keys are hashes, so this favours nobody's words.
    """
    return sorted(tokens, key=_rank)


def _rank(token: Weighed) -> tuple[float, int, int, int]:
    return -abs(token.value - 0.5), -token.frequency, -token.words, token.key


def bayes(values: Iterable[float]) -> float:
    """Bayes' rule for independent tokens and even odds: Πp / (Πp + Π(1-p)), computed with logarithms, so thousands of tokens do
    not underflow."""
    odds = math.fsum(math.log(value) - math.log1p(-value) for value in map(_inside, values))
    if odds >= 0:
        return 1 / (1 + math.exp(-odds))
    return math.exp(max(odds, -700.0)) / (1 + math.exp(max(odds, -700.0)))


def _inside(value: float) -> float:
    """The value limited to a range in which its logarithms are finite."""
    return min(1 - 1e-12, max(1e-12, value))


def graham(tokens: Iterable[Weighed], markov: bool = False) -> Score:
    """Graham: Bayes' rule over the 15 most significant tokens, each once."""
    used = telling(tokens)[:GRAHAM_TOKENS]
    return _concluded(DSA_GRAHAM, bayes(token.value for token in used), used, markov)


def burton(tokens: Iterable[Weighed], markov: bool = False) -> Score:
    """Burton: Bayes' rule over 27 tokens; a token that the message repeats counts twice."""
    used = _repeated(telling(tokens), BURTON_TOKENS)
    return _concluded(DSA_BURTON, bayes(token.value for token in used), used, markov)


def _repeated(tokens: Iterable[Weighed], most: int) -> list[Weighed]:
    """The first tokens, up to a number of places. A token that the message repeats takes two places."""
    used: list[Weighed] = []
    for token in tokens:
        used += [token] * min(2, token.frequency)
        if len(used) >= most:
            break
    return used[:most]


def _concluded(algorithm: int, probability: float, used: Sequence[Weighed], markov: bool) -> Score:
    """The score, and whether it reaches the cut-off for spam. Without evidence a message is innocent."""
    if markov:
        return Score(probability, bool(used) and probability > MARKOV_CUTOFF, used)
    return Score(probability, bool(used) and probability >= CUTOFFS[algorithm], used)


def geometric_mean(values: Sequence[float]) -> float:
    """Robinson's indicator (1 + S) / 2 with S = (P - Q) / (P + Q), P = 1 - (Π(1-p))^(1/n), Q = 1 - (Πp)^(1/n)."""
    if not values:
        return 0.5
    spam = 1 - math.exp(math.fsum(math.log1p(-_inside(value)) for value in values) / len(values))
    innocent = 1 - math.exp(math.fsum(math.log(_inside(value)) for value in values) / len(values))
    return (1 + (spam - innocent) / (spam + innocent)) / 2


def robinson(tokens: Iterable[Weighed], markov: bool = False, most: int = ROBINSON_TOKENS) -> Score:
    """Robinson's geometric mean test over the most telling tokens; it stays in the middle where evidence is mixed.

    Of at most `most` tokens those count that are far enough from 1/2; a repeated one takes two of 25 places.  Values are
    drawn a little towards 1/2, the more, the fewer tokens there are.
    """
    ranked = telling(tokens)[:most]
    seen = min(ROBINSON_TOKENS, len(ranked))
    values = {token.key: trusted(token.value, seen, strength=0.01) for token in ranked}
    outside = (token for token in ranked if abs(values[token.key] - 0.5) > ROBINSON_RADIUS)
    used = _repeated(outside, ROBINSON_TOKENS)
    return _concluded(DSA_ROBINSON, geometric_mean([values[token.key] for token in used]), used, markov)


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


def chi_square(tokens: Iterable[Weighed], markov: bool = False) -> Score:
    """Robinson's indicator I = (1 + H - S) / 2 with H = fisher(p), S = fisher(1-p), over all tokens that say something."""
    used = [token for token in telling(tokens) if abs(token.value - 0.5) > CHI_RADIUS]
    values = [token.value for token in used]
    probability = (1 + fisher(values) - fisher([1 - value for value in values])) / 2
    return _concluded(DSA_CHI_SQUARE, probability, used, markov)


def naive(tokens: Iterable[Weighed], markov: bool = False) -> Score:
    """Bayes' rule over every token."""
    used = telling(tokens)
    return _concluded(DSA_NAIVE, bayes(token.value for token in used), used, markov)


ALGORITHMS: Final[Mapping[int, Callable[[Iterable[Weighed], bool], Score]]] = {
    DSA_GRAHAM: graham,
    DSA_BURTON: burton,
    DSA_ROBINSON: robinson,
    DSA_CHI_SQUARE: chi_square,
    DSA_NAIVE: naive,
}


def score(tokens: Sequence[Weighed], algorithms: int) -> Score:
    """The score by the given algorithms (DSA_*), by default Graham's. Their cut-offs depend on the kind of values (DSP_*).

    With several, a message is spam if any of them says so (libdspam's default, Graham and Burton, is meant to catch what either
    catches).  One score is reported, in libdspam's order.
    """
    markov = bool(algorithms & DSP_MARKOV)
    chosen = [bit for bit in ALGORITHMS if algorithms & bit] or [DSA_GRAHAM]
    scores = {bit: ALGORITHMS[bit](_as_read_by(bit, tokens, algorithms), markov) for bit in chosen}
    spam = next((scores[bit] for bit in _SPAM_ORDER if bit in scores and scores[bit].is_spam), None)
    return spam or next(scores[bit] for bit in _INNOCENT_ORDER if bit in scores)


_SPAM_ORDER = (DSA_BURTON, DSA_GRAHAM, DSA_NAIVE, DSA_ROBINSON, DSA_CHI_SQUARE)
_INNOCENT_ORDER = (DSA_NAIVE, DSA_GRAHAM, DSA_BURTON, DSA_ROBINSON, DSA_CHI_SQUARE)


def _as_read_by(algorithm: int, tokens: Sequence[Weighed], algorithms: int) -> Sequence[Weighed]:
    """Fisher's test reads values that are trusted as far as they were seen, as Robinson's are already."""
    if algorithm != DSA_CHI_SQUARE or algorithms & DSP_ROBINSON:
        return tokens
    return [token._replace(value=trusted(token.value, token.seen)) for token in tokens]


def confidence(tokens: Iterable[Weighed], found: Score, algorithms: int) -> float:
    """How sure the result is, 0 to 1.

    Bayes' rule over a few extreme values is nearly always 0 or 1, and so says nothing about how sure it is: Robinson's
    indicator in favour of the result does, over as many tokens as the algorithms look at.  Markov values are too close to
    1/2 for it; with them it is the probability.
    """
    if algorithms & DSP_MARKOV:
        indicator = found.probability
    else:
        most = (
            BURTON_TOKENS
            if algorithms & DSA_BURTON
            else ROBINSON_TOKENS
            if algorithms & DSA_ROBINSON
            else GRAHAM_TOKENS
        )
        indicator = robinson(tokens, most=most).probability
    return indicator if found.is_spam else 1 - indicator
