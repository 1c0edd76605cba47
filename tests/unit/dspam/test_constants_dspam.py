"""libdspam's constants keep libdspam's values."""

from __future__ import annotations

import functools
import operator

import pytest

import dspam

VALUES = {
    "DSM_PROCESS": 0,
    "DSM_TOOLS": 1,
    "DSM_CLASSIFY": 2,
    "DSM_NONE": 0xFF,
    "DSR_ISSPAM": 1,
    "DSR_ISINNOCENT": 2,
    "DSR_NONE": 0xFF,
    "DSS_ERROR": 0,
    "DSS_CORPUS": 1,
    "DSS_INOCULATION": 2,
    "DSS_NONE": 0xFF,
    "DSF_SIGNATURE": 0x02,
    "DSF_BIAS": 0x04,
    "DSF_NOISE": 0x08,
    "DSF_WHITELIST": 0x10,
    "DSF_MERGED": 0x20,
    "DSF_UNLEARN": 0x80,
    "DSZ_WORD": 1,
    "DSZ_CHAIN": 2,
    "DSZ_SBPH": 3,
    "DSZ_OSB": 4,
    "DST_TEFT": 0,
    "DST_TOE": 1,
    "DST_TUM": 2,
    "DST_NOTRAIN": 0xFE,
    "DST_DEFAULT": 0xFF,
    "DSA_GRAHAM": 1,
    "DSA_BURTON": 2,
    "DSA_ROBINSON": 4,
    "DSA_CHI_SQUARE": 8,
    "DSA_NAIVE": 0x80,
    "DSP_ROBINSON": 0x10,
    "DSP_GRAHAM": 0x20,
    "DSP_MARKOV": 0x40,
}


@pytest.mark.parametrize(("name", "value"), VALUES.items())
def test_a_constant_has_the_value_of_libdspams_header(name: str, value: int) -> None:
    assert getattr(dspam, name) == value


def test_a_star_import_brings_every_constant() -> None:
    assert set(VALUES) <= set(dspam.__all__)


@pytest.mark.parametrize("prefixes", [("DSF_",), ("DSA_", "DSP_")])
def test_flags_that_may_be_combined_share_no_bit(prefixes: tuple[str, ...]) -> None:
    bits = [value for name, value in VALUES.items() if name.startswith(prefixes)]
    assert sum(bits) == functools.reduce(operator.or_, bits)
