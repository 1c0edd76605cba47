"""What libdspam 3.10.2 says: the same small trainings were given to a real one, built for this, and these are its numbers.

Every text was taught so often as both kinds that the differences which are meant (docs/dspam.md) do not show: one-sided tokens,
tokens with few hits, and messages of which no token tells anything.  libdspam's Naive Bayes takes the value of one token for
that of all, so there all tokens of a message have the same.
"""

from __future__ import annotations

from functools import cache

import pytest

import dspam
from dspam import (
    DSA_BURTON,
    DSA_CHI_SQUARE,
    DSA_GRAHAM,
    DSA_NAIVE,
    DSA_ROBINSON,
    DSP_GRAHAM,
    DSP_MARKOV,
    DSP_ROBINSON,
    DSZ_CHAIN,
    DSZ_OSB,
    DSZ_SBPH,
    DSZ_WORD,
)
from dspam.memory import MemoryStore

Training = tuple[tuple[tuple[str, int, int], ...], str]
"""Texts, how often each was taught as spam and as innocent; and the text that is asked for."""

MIXED: list[Training] = [
    ((("cheap pills online", 40, 6), ("lunch at noon", 5, 35)), "cheap pills online"),
    ((("cheap pills online", 40, 6), ("lunch at noon", 5, 35)), "lunch at noon"),
    ((("cheap pills online", 30, 5), ("lunch at noon", 5, 12)), "cheap lunch"),
    ((("buy buy buy now", 30, 7), ("see you soon", 6, 28), ("soon now", 9, 8)), "buy buy buy now"),
    ((("buy buy buy now", 30, 7), ("see you soon", 6, 28), ("soon now", 9, 8)), "see you soon buy now"),
    ((("win money today", 200, 5), ("the minutes of today", 5, 200)), "win money today"),
    ((("win money today", 200, 5), ("the minutes of today", 5, 200)), "minutes of money"),
    (
        (
            ("one two three four five six seven eight nine ten", 60, 5),
            ("eleven twelve thirteen fourteen fifteen sixteen", 5, 40),
        ),
        "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen",
    ),
    (
        (
            ("one two three four five six seven eight nine ten", 60, 5),
            ("eleven twelve thirteen fourteen fifteen sixteen", 5, 40),
        ),
        "sixteen fifteen fourteen thirteen twelve eleven ten nine",
    ),
    (
        (("dear friend your account", 25, 10), ("dear friend your letter", 10, 25), ("account closed", 20, 5)),
        "dear friend your account closed",
    ),
    (
        (("dear friend your account", 25, 10), ("dear friend your letter", 10, 25), ("account closed", 20, 5)),
        "dear friend your letter letter",
    ),
    (
        (("rates rates fall fast", 80, 8), ("fall colours fast fade", 7, 90), ("rates colours", 6, 6)),
        "rates fall fast colours fade rates",
    ),
]
EXTREME: list[Training] = [
    ((("win money today", 200, 5), ("the minutes of today", 5, 200)), "win money today"),
    ((("win money today", 200, 5), ("the minutes of today", 5, 200)), "the minutes of money"),
    ((("win money today", 5, 200), ("the minutes of today", 200, 5)), "win money today"),
    ((("win money today", 120, 5), ("the minutes of today", 5, 300)), "win today"),
    ((("win money today", 300, 5), ("the minutes of today", 6, 120)), "the of money"),
    ((("win money today", 150, 6), ("the minutes of today", 6, 150)), "win money the minutes"),
    ((("win money today", 400, 5), ("the minutes of today", 5, 100)), "money money the"),
    ((("win money today", 100, 5), ("the minutes of today", 5, 400)), "the the minutes win"),
    ((("win money today", 250, 8), ("the minutes of today", 8, 250)), "today win minutes"),
    ((("win money today", 180, 5), ("the minutes of today", 9, 220)), "of win money"),
    ((("win money today", 220, 9), ("the minutes of today", 5, 180)), "the minutes of today win money"),
    ((("win money today", 130, 5), ("the minutes of today", 5, 500)), "win"),
]
EQUAL: list[Training] = [
    ((("alpha bravo", 40, 5), ("lunch at noon", 10, 100)), "alpha bravo"),
    ((("alpha bravo", 5, 40), ("lunch at noon", 100, 10)), "alpha bravo"),
    ((("alpha bravo", 30, 6), ("lunch at noon", 6, 50)), "alpha bravo"),
    ((("alpha bravo", 6, 30), ("lunch at noon", 50, 6)), "alpha bravo"),
    ((("alpha bravo", 8, 5), ("lunch at noon", 5, 60)), "alpha bravo"),
    ((("alpha bravo", 5, 8), ("lunch at noon", 60, 5)), "alpha bravo"),
    ((("alpha bravo", 90, 10), ("lunch at noon", 20, 70)), "alpha bravo"),
    ((("alpha bravo", 10, 90), ("lunch at noon", 70, 20)), "alpha bravo"),
    ((("alpha bravo", 25, 5), ("lunch at noon", 30, 25)), "alpha bravo"),
    ((("alpha bravo", 5, 25), ("lunch at noon", 25, 30)), "alpha bravo"),
    ((("alpha bravo", 15, 5), ("lunch at noon", 5, 15)), "alpha bravo"),
    ((("alpha bravo", 60, 10), ("lunch at noon", 5, 60)), "alpha bravo"),
]

SPAM, HAM = dspam.DSR_ISSPAM, dspam.DSR_ISINNOCENT
Figures = list[tuple[int, float, float]]
"""Result, probability and confidence for each training."""

CASES: list[tuple[str, int, int, int, list[Training], Figures]] = [
    (
        "graham",
        DSA_GRAHAM | DSP_GRAHAM,
        DSZ_CHAIN,
        0,
        MIXED,
        [
            (SPAM, 0.99988, 0.85792),
            (HAM, 4e-05, 0.88406),
            (HAM, 0.28223, 0.54495),
            (SPAM, 0.99417, 0.78778),
            (HAM, 0.01907, 0.57507),
            (SPAM, 1.0, 0.97466),
            (HAM, 0.00042, 0.6062),
            (HAM, 0.0, 0.63818),
            (HAM, 0.0, 0.64899),
            (HAM, 0.8723, 0.25608),
            (HAM, 0.01135, 0.7743),
            (HAM, 0.76767, 0.41717),
        ],
    ),
    (
        "burton",
        DSA_BURTON | DSP_GRAHAM,
        DSZ_CHAIN,
        0,
        MIXED,
        [
            (SPAM, 0.99988, 0.85792),
            (HAM, 4e-05, 0.88406),
            (HAM, 0.28223, 0.54495),
            (SPAM, 0.99965, 0.78778),
            (HAM, 0.01907, 0.57507),
            (SPAM, 1.0, 0.97466),
            (HAM, 0.00042, 0.6062),
            (SPAM, 0.99905, 0.51125),
            (HAM, 0.0, 0.64899),
            (HAM, 0.8723, 0.25608),
            (HAM, 0.00333, 0.7743),
            (SPAM, 0.9578, 0.58283),
        ],
    ),
    (
        "graham and burton",
        DSA_GRAHAM | DSA_BURTON | DSP_GRAHAM,
        DSZ_CHAIN,
        0,
        MIXED,
        [
            (SPAM, 0.99988, 0.85792),
            (HAM, 4e-05, 0.88406),
            (HAM, 0.28223, 0.54495),
            (SPAM, 0.99965, 0.78778),
            (HAM, 0.01907, 0.57507),
            (SPAM, 1.0, 0.97466),
            (HAM, 0.00042, 0.6062),
            (SPAM, 0.99905, 0.51125),
            (HAM, 0.0, 0.64899),
            (HAM, 0.8723, 0.25608),
            (HAM, 0.01135, 0.7743),
            (SPAM, 0.9578, 0.58283),
        ],
    ),
    (
        "graham and burton over words",
        DSA_GRAHAM | DSA_BURTON | DSP_GRAHAM,
        DSZ_WORD,
        0,
        MIXED,
        [
            (SPAM, 0.99556, 0.85745),
            (HAM, 0.0022, 0.88355),
            (HAM, 0.37099, 0.54486),
            (SPAM, 0.97656, 0.77204),
            (HAM, 0.14519, 0.56224),
            (SPAM, 0.99938, 0.97403),
            (HAM, 0.02439, 0.5629),
            (SPAM, 0.99848, 0.54302),
            (HAM, 3e-05, 0.649),
            (HAM, 0.70943, 0.2563),
            (HAM, 0.10064, 0.77396),
            (HAM, 0.08187, 0.51378),
        ],
    ),
    (
        "robinson",
        DSA_ROBINSON | DSP_ROBINSON,
        DSZ_WORD,
        0,
        MIXED,
        [
            (SPAM, 0.85667, 0.85667),
            (HAM, 0.1174, 0.8826),
            (HAM, 0.45581, 0.54419),
            (SPAM, 0.77137, 0.77137),
            (HAM, 0.43792, 0.56208),
            (SPAM, 0.9738, 0.9738),
            (HAM, 0.43695, 0.56305),
            (SPAM, 0.54333, 0.54333),
            (HAM, 0.35117, 0.64883),
            (SPAM, 0.74273, 0.74273),
            (HAM, 0.22682, 0.77318),
            (HAM, 0.48625, 0.51375),
        ],
    ),
    (
        "chi-square",
        DSA_CHI_SQUARE | DSP_ROBINSON,
        DSZ_WORD,
        0,
        EXTREME,
        [
            (SPAM, 0.99685, 0.9738),
            (HAM, 0.26331, 0.60663),
            (HAM, 0.00315, 0.9738),
            (SPAM, 0.98282, 0.98042),
            (HAM, 0.32579, 0.58275),
            (HAM, 0.5, 0.5),
            (HAM, 0.44092, 0.46613),
            (HAM, 0.43592, 0.57528),
            (HAM, 0.5, 0.5),
            (SPAM, 0.68981, 0.58804),
            (HAM, 0.37619, 0.55821),
            (SPAM, 0.98946, 0.98461),
        ],
    ),
    (
        "chi-square over graham",
        DSA_CHI_SQUARE | DSP_GRAHAM,
        DSZ_WORD,
        0,
        EXTREME,
        [
            (SPAM, 0.99685, 0.97403),
            (HAM, 0.26331, 0.60642),
            (HAM, 0.00315, 0.97403),
            (SPAM, 0.98282, 0.98081),
            (HAM, 0.32579, 0.58286),
            (HAM, 0.5, 0.5),
            (HAM, 0.44092, 0.46686),
            (HAM, 0.43592, 0.57437),
            (HAM, 0.5, 0.5),
            (SPAM, 0.68981, 0.58803),
            (HAM, 0.37619, 0.55824),
            (SPAM, 0.98946, 0.98497),
        ],
    ),
    (
        "markov chain",
        DSA_GRAHAM | DSA_BURTON | DSP_MARKOV,
        DSZ_CHAIN,
        0,
        MIXED,
        [
            (SPAM, 0.50194, 0.50194),
            (HAM, 0.49803, 0.50197),
            (SPAM, 0.50007, 0.50007),
            (SPAM, 0.50218, 0.50218),
            (HAM, 0.49921, 0.50079),
            (SPAM, 0.50231, 0.50231),
            (HAM, 0.49884, 0.50116),
            (SPAM, 0.50509, 0.50509),
            (HAM, 0.49929, 0.50071),
            (SPAM, 0.50123, 0.50123),
            (HAM, 0.49949, 0.50051),
            (SPAM, 0.50151, 0.50151),
        ],
    ),
    (
        "markov sbph",
        DSA_GRAHAM | DSA_BURTON | DSP_MARKOV,
        DSZ_SBPH,
        0,
        MIXED,
        [
            (SPAM, 0.50547, 0.50547),
            (HAM, 0.49446, 0.50554),
            (SPAM, 0.50007, 0.50007),
            (SPAM, 0.52285, 0.52285),
            (HAM, 0.49614, 0.50386),
            (SPAM, 0.50693, 0.50693),
            (HAM, 0.49884, 0.50116),
            (SPAM, 0.86562, 0.86562),
            (HAM, 0.49929, 0.50071),
            (SPAM, 0.51344, 0.51344),
            (HAM, 0.48729, 0.51271),
            (SPAM, 0.50463, 0.50463),
        ],
    ),
    (
        "markov osb",
        DSA_BURTON | DSP_MARKOV,
        DSZ_OSB,
        0,
        MIXED,
        [
            (SPAM, 0.50212, 0.50212),
            (HAM, 0.49786, 0.50214),
            (HAM, 0.5, 0.5),
            (SPAM, 0.50355, 0.50355),
            (HAM, 0.49875, 0.50125),
            (SPAM, 0.50277, 0.50277),
            (HAM, 0.49908, 0.50092),
            (SPAM, 0.52196, 0.52196),
            (HAM, 0.5, 0.5),
            (SPAM, 0.50178, 0.50178),
            (HAM, 0.49878, 0.50122),
            (SPAM, 0.50154, 0.50154),
        ],
    ),
    (
        "markov bias",
        DSA_GRAHAM | DSA_BURTON | DSP_MARKOV,
        DSZ_SBPH,
        dspam.DSF_BIAS,
        MIXED,
        [
            (HAM, 0.43437, 0.56563),
            (HAM, 0.42411, 0.57589),
            (HAM, 0.47, 0.53),
            (HAM, 0.39456, 0.60544),
            (HAM, 0.34888, 0.65112),
            (HAM, 0.43685, 0.56315),
            (HAM, 0.42926, 0.57074),
            (HAM, 0.41014, 0.58986),
            (HAM, 0.35316, 0.64684),
            (HAM, 0.35204, 0.64796),
            (HAM, 0.33399, 0.66601),
            (HAM, 0.35293, 0.64707),
        ],
    ),
    (
        "naive",
        DSA_NAIVE | DSP_GRAHAM,
        DSZ_WORD,
        0,
        EQUAL,
        [
            (SPAM, 0.99647, 0.94161),
            (HAM, 0.00353, 0.94161),
            (SPAM, 0.98374, 0.88416),
            (HAM, 0.01626, 0.88416),
            (SPAM, 0.98462, 0.88695),
            (HAM, 0.01538, 0.88695),
            (SPAM, 0.97719, 0.86564),
            (HAM, 0.02281, 0.86564),
            (HAM, 0.88149, 0.26945),
            (HAM, 0.11851, 0.73055),
            (HAM, 0.9, 0.25124),
            (SPAM, 0.97661, 0.86416),
        ],
    ),
]


@cache
def taught(texts: tuple[tuple[str, int, int], ...], tokenizer: int) -> MemoryStore:
    """A dictionary that learned the texts as from a corpus."""
    store = MemoryStore()
    for text, spams, innocents in texts:
        for verdict, times in ((SPAM, spams), (HAM, innocents)):
            ds = context(store, dspam.DSM_PROCESS, tokenizer)
            ds.classification, ds.source = verdict, dspam.DSS_CORPUS
            for _ in range(times):
                ds.process(message(text))
    return store


def context(store: MemoryStore, mode: int, tokenizer: int, flags: int = 0) -> dspam.ctx:
    ds = dspam.ctx("bob", mode, flags)
    ds.attach(store)
    ds.tokenizer = tokenizer
    ds.addattribute("IgnoreHeader", "Subject")
    return ds


def message(text: str) -> bytes:
    return f"Subject: x\n\n{text}\n".encode()


@pytest.mark.parametrize(
    ("algorithms", "tokenizer", "flags", "training", "figures"),
    [
        pytest.param(*case, training, figures, id=f"{name} {number}")
        for name, *case, trainings, all_figures in CASES
        for number, (training, figures) in enumerate(zip(trainings, all_figures, strict=True), 1)
    ],
)
def test_the_figures_are_libdspams(
    algorithms: int, tokenizer: int, flags: int, training: Training, figures: tuple[int, float, float]
) -> None:
    texts, asked = training
    ds = context(taught(texts, tokenizer), dspam.DSM_CLASSIFY, tokenizer, flags)
    ds.algorithms = algorithms
    ds.process(message(asked))
    assert (ds.result, ds.probability, ds.confidence) == pytest.approx(figures, abs=2e-5)
