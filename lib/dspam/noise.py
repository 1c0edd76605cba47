"""Bayesian noise reduction: leave out words that do not belong where they stand.

Zdziarski, "Bayesian Noise Reduction: Contextual Symmetry Logic Utilizing Pattern Consistency Analysis" (2004).  Spammers mix in
innocent words; but a run of values like  spammy, innocent, spammy  is a pattern of its own, and the filter has learned in which
kind of mail that pattern occurs.  Each run of three tokens makes a pattern of their values, rounded to 0.05.  Patterns are
counted and learned like tokens.  If a pattern is significant (its value is at least 0.25 away from neutral), those of its
tokens that contradict it (by at least 0.33) are left out of the combination.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

WINDOW: Final = 3
BAND: Final = 0.05
EXCLUSIONARY_RADIUS: Final = 0.25
INCONSISTENCY_RADIUS: Final = 0.33
MATURITY: Final = 2500
"""Innocent messages that a user must have got before noise is reduced (dspam(1)); patterns are learned before."""
COUNTER: Final = "bnr.t|"
"""The name under which messages are counted whose patterns were learned: train-on-error learns those of other messages than
it learns the words of."""


def band(value: float) -> float:
    """The value rounded to the nearest multiple of 0.05."""
    return round(round(value / BAND) * BAND, 2)


def pattern_name(values: Sequence[float], kind: str) -> str:
    """The name under which a pattern is learned; `kind` tells single words ("s") from phrases ("c")."""
    return f"bnr.{kind}|" + "_".join(f"{band(value):.2f}" for value in values)


def patterns(
    stream: Sequence[int], values: Mapping[int, float], kind: str = "s"
) -> Iterator[tuple[str, Sequence[int]]]:
    """Each run of three tokens of the stream (keys in the order of the message): its pattern's name and its keys.

    A stream of fewer than three tokens has none.
    """
    for at in range(len(stream) - WINDOW + 1):
        run = stream[at : at + WINDOW]
        yield pattern_name([values[key] for key in run], kind), run


def noise(
    stream: Sequence[int], values: Mapping[int, float], pattern_value: Callable[[str], float], kind: str = "s"
) -> set[int]:
    """The tokens that contradict their context at every place in the stream.

    A token that fits its context at one place is kept: noise is a property of occurrences, and one that is not noise is
    evidence.
    """
    contradicted: set[int] = set()  # places in the stream
    for at, (name, run) in enumerate(patterns(stream, values, kind)):
        context = pattern_value(name)
        if abs(context - 0.5) < EXCLUSIONARY_RADIUS:
            continue
        contradicted.update(at + i for i, key in enumerate(run) if abs(values[key] - context) >= INCONSISTENCY_RADIUS)
    eliminated = Counter(stream[place] for place in contradicted)
    there = Counter(stream)
    return {key for key, count in eliminated.items() if count == there[key]}
