"""What a dictionary knows of itself: how far its opinions spread, where its honest mail lies, how many labels are wrong.

It is kept in rows of three integers like the counts of features, under keys that no feature has, and every lesson adds to them.
So the store needs no other table, and taking a lesson back takes this back as well.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dspam.hashing import Keys

Rows = npt.NDArray[np.int32]

MARKS: Keys = np.arange(-6, 0, dtype=np.int64)
"""The keys. The first row holds how many lessons contradicted a sure dictionary, of how many it was sure, and the excess, a
logit in 1 / EXCESS_UNIT. Each of the others holds for one opinion the messages of both kinds that were judged rightly and the
sum of squares in 1 / SQUARE_UNIT."""
SQUARE_UNIT = 16
EXCESS_UNIT = 1 << 16

# What each opinion is divided by: its spread on mail, which counts for so many lessons beside the measured one.
SCALES = (4.8, 3.2, 7.4, 72.0, 68.0)
_SCALES_KNOWN_FROM = 50.0
_LEAST_EXCESS, _MOST_EXCESS = -1.0, 2.0  # little is given and much taken: lost mail costs more
LEAST_WRONG = 0.01  # one label in a hundred is wrong, before anything is known
SURE = 5.0
"""From this logit on a dictionary is sure. Where all labels are right it is contradicted once in a thousand lessons."""
_DOUBTED_FROM = 100.0  # so many sure lessons without a contradiction stand beside those that were taught
# Where a larger share contradicts, errors are what is reported, and nothing is known of labels. From half of it on it counts
# less and less.
_MOST_DOUBT = 0.3


class Marks(NamedTuple):
    """What is read out of the rows.

    spreads  what each opinion is divided by
    excess   the logit that is taken from every message (given, if negative)
    wrong    the share of lessons whose label is wrong, 0.01 to 0.15, as far as it was noticed
    rightly  how many lessons were judged rightly before they were taught
    """

    spreads: tuple[float, ...] = SCALES
    excess: float = 0.0
    wrong: float = LEAST_WRONG
    rightly: int = 0


UNKNOWN = Marks()


def read(rows: Rows) -> Marks:
    """What the rows of MARKS say. Any integers give numbers within their bounds."""
    (contradicted, sure, high), *opinions = rows.tolist()
    spreads = tuple([_spread(scale, *one) for scale, one in zip(SCALES, opinions, strict=True)])
    share = max(contradicted, 0) / (max(sure, contradicted, 0) + _DOUBTED_FROM)
    wrong = max(LEAST_WRONG, min(share, _MOST_DOUBT - share))
    spam, ham, _ = opinions[0]
    return Marks(spreads, bounded(high / EXCESS_UNIT), wrong, max(spam, 0) + max(ham, 0))


def _spread(scale: float, spam: int, ham: int, squares: int) -> float:
    measured = _SCALES_KNOWN_FROM + max(squares, 0) / SQUARE_UNIT
    return scale * math.sqrt(measured / (_SCALES_KNOWN_FROM + max(spam, 0) + max(ham, 0)))


def bounded(excess: float) -> float:
    """The excess, within its bounds."""
    return min(max(excess, _LEAST_EXCESS), _MOST_EXCESS)
