"""The default classifier: five weak opinions of a message, added up.  Pure arithmetic over integers that a store keeps.

State, for each user and feature: [spam messages that had it, ham messages that had it, weight / 1024], as int32; and how many
spam and ham messages were learned.  A training is a row of deltas for the keys of one message.  Deltas add up in any order, and
taking one back is subtracting it; that is all that a store must know.  Six more keys, MARKS, are in every lesson: see `marks`.

The opinions (docs/learning.md tells where they come from and how they were chosen):
- logistic regression over header facts, and another one over text and structure: they learn from what they got wrong, which
  finds the features that tell apart what looks alike;
- naive Bayes over words and pairs, all of them: it only counts, so it learns fast from little;
- the same evidence, of the strongest few words and of the strongest few header facts on both sides: what is plain is not
  outvoted by the many that say little.
What was never taught, and what both kinds of mail have alike, dilutes nothing: anybody can fill a message with it.
Each is wrong about other messages than the others.

People press the wrong button.  A lesson that contradicts everything that is known is learned less: it moves the weights by the
odds that its label is right, and is not counted for words that are well known from the other side.  The more lessons
contradict a dictionary that is sure, the less it believes such a lesson.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dspam import lesson
from dspam.features import HEADER, PAIR, WORD, kinds_of
from dspam.hashing import Keys
from dspam.lesson import HEADER_REGRESSION, WEIGHT_UNIT, Belief, Counts
from dspam.marks import EXCESS_UNIT, LEAST_WRONG, MARKS, SCALES, SQUARE_UNIT, SURE, UNKNOWN, Marks, bounded
from dspam.marks import read as read_marks
from dspam.regression import Floats, logistic

try:
    from dspam import _cutting
except ImportError:  # see features
    _cutting = None  # type: ignore[assignment]

SPAM_AT = 0.977
"""A probability from here on is spam. Honest mail that is lost costs more than spam that is seen: even odds are not enough."""


class Totals(NamedTuple):
    """How many messages of each kind were learned."""

    spam: int
    ham: int


_HEARD = (
    0.2  # how much of all opinions' logit a regression hears before it learns: what is clear already needs no learning
)
_AT_LEAST = 0.3  # so much of a step features take that the other kind hardly ever had
_WARY = (
    25.0  # and less by so much for each wrong label in one that is more: what is new may be as wrong as what is known
)
_UNSEEN = 0.005  # what a feature is counted for in a class where it never was
_STRAYED = 0.25  # and by so much more for each wrong label in one that is more
_SHY = 0.3  # a feature seen n times has n / (n + _SHY) of its say
_LENGTH = 0.85  # features of one message repeat one another: their sum is divided by their number to this power
_BEND = 1.3  # an opinion that is sure counts more than in proportion
_TELLING = 10.0  # a header fact that both kinds have alike has no say: its weight only shows what was taught last
_STRONGEST_WORDS = 15  # on each side
_STRONGEST_FACTS = 8
_SAY = (1.5, 0.9, 0.75, 1.05, 1.85)  # of each opinion
_MAX_SPREADS = 12.0  # an opinion counts up to so many times its usual spread
_OWN_FROM = 40.0
_CAUTION = 4.0  # so many messages of the rarer kind give half of the say
_STEEP = 2.37  # logit per unit: the slope that makes the probability true on mail not learned yet
# What is taught more often wins more often, by this logit for each logarithm of the ratio; it is taken back.
_BALANCE = 1.5
_MAX_RATIO = 10.0
_FEW = 10.0  # messages that are added to both sides before their ratio is taken
# A young dictionary calls no honest mail spam, but misses spam: it knows too few words to be sure. It gets this logit, half
# of it with so many messages of the rarer kind.
_YOUNG = 1.8
_YOUNG_UNTIL = 40.0
# While next to no honest mail is known beside much spam, the next honest message is of a kind that nobody taught. This logit is
# taken, half of it with so many honest messages, if all mail is taught: who reports errors reports hardly any that is honest.
_SCARCE = 2.0
_SCARCE_UNTIL = 20.0
# Two honest messages in a hundred may score above the mirror image of where spam begins. If more of those that were taught do,
# all mail is taken back by so much each time, and given a little for each that does not.
_CUT = math.log(SPAM_AT / (1 - SPAM_AT))
_HIGH = 0.02
_EXCESS_STEP = 0.08
_EXCESS_FROM = 100.0


class Opinions(NamedTuple):
    """What each of the five says; positive is spam."""

    header: float
    text: float
    words: float
    strongest_words: float
    strongest_facts: float


def with_marks(keys: Keys) -> Keys:
    """The keys of a message and MARKS: what to look up, and to teach. Ascending if the keys are."""
    return np.concatenate((MARKS, keys))


class _Reading(NamedTuple):
    """A message's keys and what they count, without the marks, and what the marks say."""

    keys: Keys
    counts: Counts
    marks: Marks = UNKNOWN


def _read(keys: Keys, counts: Counts) -> _Reading:
    if not len(keys) or keys[0] >= 0:
        return _Reading(keys, counts)
    number = len(MARKS)
    return _Reading(keys[number:], counts[number:], read_marks(counts[:number]))


def opinions(keys: Keys, counts: Counts, totals: Totals, unseen: float = _UNSEEN) -> Opinions:
    """The five outputs for a message with these keys, which are of features only."""
    return (compiled_opinions if _cutting else reference_opinions)(keys, counts, totals, unseen)


def compiled_opinions(keys: Keys, counts: Counts, totals: Totals, unseen: float = _UNSEEN) -> Opinions:
    """The same by _counting.c; equal but for the order in which numbers are added up."""
    all_spam, all_ham = _taught(totals)
    found = _cutting.opinions(
        np.ascontiguousarray(keys, dtype=np.int64), np.ascontiguousarray(counts, dtype=np.int32), all_spam, all_ham,
        unseen, _SHY, _TELLING, _LENGTH, _STRONGEST_WORDS, _STRONGEST_FACTS,
    )  # fmt: skip
    return Opinions._make(found)


def reference_opinions(keys: Keys, counts: Counts, totals: Totals, unseen: float = _UNSEEN) -> Opinions:
    """The same in Python: what the opinions are is said here."""
    kinds = kinds_of(keys)
    header, text = (kinds == HEADER).nonzero()[0], (kinds != HEADER).nonzero()[0]
    words = ((kinds == WORD) | (kinds == PAIR)).nonzero()[0]
    weights = counts[:, 2] / WEIGHT_UNIT
    evidence, uneven = _evidence(counts, totals, unseen)
    telling = weights.take(header) * np.minimum(uneven.take(header) * _TELLING, 1.0)
    return Opinions(
        HEADER_REGRESSION.output(telling),
        float(weights.take(text).sum()) / math.sqrt(1 + _known_of(counts, text)),
        float(evidence.take(words).sum()) / _said_by(uneven.take(words)),
        _strongest(evidence[kinds == WORD], _STRONGEST_WORDS),
        _strongest(evidence.take(header), _STRONGEST_FACTS),
    )


def _known_of(counts: Counts, features: npt.NDArray[np.intp]) -> int:
    """How many of these features were ever taught. A word that nobody knows does not dilute those that are known."""
    return int(np.count_nonzero((counts[:, 0] | counts[:, 1]).take(features)))


def _said_by(uneven: Floats) -> float:
    """What the sum of words' evidence is divided by. Words that both kinds of mail have hardly count: a spammer could
    fill mail with them."""
    return float((1.0 + np.square(uneven).sum()) ** _LENGTH)


def _unseen(marks: Marks) -> float:
    """What a feature is counted for in a class where it never was. Where labels are wrong some of its messages were not taught
    as what they are."""
    return _UNSEEN + _STRAYED * (marks.wrong - LEAST_WRONG)


def _evidence(counts: Counts, totals: Totals, unseen: float) -> tuple[Floats, Floats]:
    """Each feature's log-odds, less for one that was seen seldom, or about as often on both sides; and how uneven the sides
    are, 0 to 1."""
    # A training whose counts were aged out meanwhile leaves less than nothing when it is taken back.
    spam, ham = np.maximum(counts[:, 0], 0).astype(np.float64), np.maximum(counts[:, 1], 0).astype(np.float64)
    hits = spam + ham
    all_spam, all_ham = _taught(totals)
    in_spam, in_ham = spam / all_spam, ham / all_ham
    evidence: Floats = np.log((spam + unseen) / (ham + unseen))
    evidence += math.log(all_ham / all_spam)
    uneven: Floats = np.abs(in_spam - in_ham)
    uneven /= in_spam + in_ham + 1e-12
    evidence *= uneven
    evidence *= hits / (hits + _SHY)
    return evidence, uneven


def _taught(totals: Totals) -> tuple[float, float]:
    """How many messages of each kind were learned, and one."""
    return max(totals.spam, 0) + 1.0, max(totals.ham, 0) + 1.0


def _strongest(evidence: Floats, number: int) -> float:
    """The sum of the strongest on each side; the evidence is put into another order."""
    if len(evidence) > 2 * number:
        evidence.partition((number, len(evidence) - number))
    else:
        evidence.sort()
    return float(np.minimum(evidence[:number], 0.0).sum() + np.maximum(evidence[-number:], 0.0).sum())


def margin(found: Opinions, totals: Totals, spreads: tuple[float, ...] = SCALES) -> float:
    """The opinions as one number: 0 knows nothing, positive is spam."""
    joined = 0.0
    for value, spread, say in zip(found, spreads, _SAY, strict=True):
        joined += _bent(value, spread, say)
    return joined * _known(totals)


def _bent(value: float, spread: float, say: float) -> float:
    return say * math.copysign(min(abs(value / spread), _MAX_SPREADS) ** _BEND, value)


def score(keys: Keys, counts: Counts, totals: Totals) -> float:
    """The probability that a message is spam, 0 to 1; nothing learned is 0.5. It is spam from SPAM_AT on.

    keys  of a message, and MARKS before them where it is known how far the opinions spread
    """
    known = _read(keys, counts)
    return logistic(_logit(_opinions(known, totals), totals, known.marks))


def _opinions(known: _Reading, totals: Totals) -> Opinions:
    return opinions(known.keys, known.counts, totals, _unseen(known.marks))


def _logit(found: Opinions, totals: Totals, marks: Marks) -> float:
    return _STEEP * margin(found, totals, marks.spreads) - habit(totals) - _excess(marks, totals)


def excess(counts: Counts, totals: Totals) -> float:
    """The logit that is taken from every message because honest mail that was taught lately scored higher than it should, or
    given (negative) because it scored lower, and what is taken because little of it is known. `counts` of a message's keys with
    MARKS before them."""
    return _excess(read_marks(counts[: len(MARKS)]), totals)


def _excess(marks: Marks, totals: Totals) -> float:
    return (marks.excess + _scarcity(marks, totals)) * _known(totals)


def _scarcity(marks: Marks, totals: Totals) -> float:
    """The logit that is taken while little honest mail is known beside much spam. None while none is known at all: who teaches
    nothing but spam would wait for ever."""
    spam, ham = max(totals.spam, 0), max(totals.ham, 0)
    if not ham:
        return 0.0
    outnumbered = min(max(math.log((spam + _FEW) / (ham + _FEW)), 0.0), 1.0)
    all_taught = min(marks.rightly / (spam + ham), 1.0)
    return _SCARCE * outnumbered * all_taught * math.exp2(-ham / _SCARCE_UNTIL)


def fused(own: float, own_totals: Totals, lent: float) -> tuple[float, float]:
    """The probability by a user's own dictionary joined with that of one that lends to it, and the own one's part: half with
    _OWN_FROM messages of the rarer kind. Logits are joined, so that the one that is sure counts. The other keeps 1 - part²
    of its say: a young dictionary is timid, and would only make it timid as well. What a young one is given for what it does
    not know is left out, for the other knows it."""
    rarer = max(0, min(own_totals.spam, own_totals.ham))
    part = rarer / (rarer + _OWN_FROM)
    return logistic(part * (_logit_of(own) - given(own_totals)) + (1 - part**2) * _logit_of(lent)), part


def _logit_of(probability: float) -> float:
    sure = min(max(probability, 1e-12), 1 - 1e-12)
    return math.log(sure / (1 - sure))


def habit(totals: Totals) -> float:
    """The logit that messages of either kind get because one kind was taught more often than the other, less what is added
    while little was taught."""
    spam, ham = max(totals.spam, 0), max(totals.ham, 0)
    ratio = min(max((spam + _FEW) / (ham + _FEW), 1 / _MAX_RATIO), _MAX_RATIO)
    return _BALANCE * math.log(ratio) * _known(totals) - given(totals)


def given(totals: Totals) -> float:
    """The logit that messages get while little was taught."""
    rarer = max(0, min(totals.spam, totals.ham))
    return _YOUNG * math.exp2(-rarer / _YOUNG_UNTIL) * _known(totals)


def _known(totals: Totals) -> float:
    """How much of the say the opinions have. Spam alone gives a little of it: who reports nothing but the spam that passed
    would otherwise wait for ever, because no ham is ever wrongly called spam."""
    spam, ham = max(totals.spam, 0), max(totals.ham, 0)
    known = min(spam, ham) + math.log1p(spam)
    return known / (known + _CAUTION)


def plausibility(logit: float, wrong: float = LEAST_WRONG) -> float:
    """How much a lesson is believed, 0 to 1: the odds that its label is right, given what all opinions say for the label, and
    what share of labels is wrong."""
    right = (1 - 2 * wrong) * logistic(logit)
    return right / (right + wrong)


def deltas(keys: Keys, counts: Counts, is_spam: bool, totals: Totals) -> Counts:
    """What learning this message adds to the counts of its keys (and of MARKS, where they are before them); shape and order of
    `counts`."""
    known = _read(keys, counts)
    found = _opinions(known, totals)
    logit = _logit(found, totals, known.marks)
    believed = plausibility(logit if is_spam else -logit, known.marks.wrong)
    added = np.zeros_like(counts)
    marks = len(keys) - len(known.keys)
    side = 0 if is_spam else 1
    if marks:
        added[0, 2] = 0 if is_spam else _excess_delta(known.marks.excess, logit, believed, totals)
    if marks and abs(logit) > SURE:
        added[0, :2] = (logit > 0) != is_spam, 1
    if marks and (logit >= _CUT) == is_spam:
        # Reports of errors are of mail on which the opinions are timid: a spread of these alone would make all others sure.
        added[1:marks, side] = 1
        added[1:marks, 2] = [
            round(SQUARE_UNIT * min(abs(value) / scale, _MAX_SPREADS) ** 2)
            for value, scale in zip(found, SCALES, strict=True)
        ]
    at_least = _AT_LEAST * max(0.0, 1 - _WARY * (known.marks.wrong - LEAST_WRONG))
    belief = Belief(believed, at_least, _HEARD * logit)
    added[marks:] = lesson.added(known.keys, known.counts, is_spam, belief)
    return added


def _excess_delta(now: float, logit: float, believed: float, totals: Totals) -> int:
    """What honest mail of this logit adds to the excess: a quantile, tracked as in Robbins and Monro 1951. A young dictionary's
    scores are low for both kinds, and say little of where its honest mail will lie."""
    grown = (1 - math.exp2(-max(0, min(totals.spam, totals.ham)) / _EXCESS_FROM)) ** 2
    step = _EXCESS_STEP * grown * (believed * (1 - _HIGH) if logit > -_CUT else -_HIGH)
    return round(EXCESS_UNIT * (bounded(now + step) - now))


def contributions(keys: Keys, counts: Counts, totals: Totals) -> Floats:
    """How much each feature speaks for spam (positive) or ham, as logits: they, -habit() and -excess() add up to the logit of
    score(). One value for each key but MARKS."""
    known = _read(keys, counts)
    keys, counts = known.keys, known.counts
    kinds, weights = kinds_of(keys), counts[:, 2] / WEIGHT_UNIT
    evidence, uneven = _evidence(counts, totals, _unseen(known.marks))
    header, text, single = (np.flatnonzero(one) for one in (kinds == HEADER, kinds != HEADER, kinds == WORD))
    words = np.flatnonzero((kinds == WORD) | (kinds == PAIR))
    parts = (
        (header, weights[header] * np.minimum(uneven[header] * _TELLING, 1.0) / math.sqrt(max(1, len(header)))),
        (text, weights[text] / math.sqrt(1 + _known_of(counts, text))),
        (words, evidence[words] / _said_by(uneven[words])),
        (single, _strongest_parts(evidence[single], _STRONGEST_WORDS)),
        (header, _strongest_parts(evidence[header], _STRONGEST_FACTS)),
    )
    spoken = np.zeros(len(keys))
    found = _opinions(known, totals)
    for (where, part), value, spread, say in zip(parts, found, known.marks.spreads, _SAY, strict=True):
        if value:
            spoken[where] += part * (_STEEP * _known(totals) * _bent(value, spread, say) / value)
    return spoken


def _strongest_parts(evidence: Floats, number: int) -> Floats:
    """What each feature adds to _strongest()."""
    order, parts = np.argsort(evidence), np.zeros(len(evidence))
    parts[order[:number]] = np.minimum(evidence[order[:number]], 0.0)
    parts[order[-number:]] += np.maximum(evidence[order[-number:]], 0.0)
    return parts
