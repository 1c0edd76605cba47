"""libdspam's numbers, under libdspam's names.

The values are those of libdspam 3.10 (its public header): programs store and compare them, so they must never change.
"""

from __future__ import annotations

from typing import Final

# What a context is for.
DSM_PROCESS: Final = 0x00
"""Classify, then learn as the training mode says."""
DSM_TOOLS: Final = 0x01
"""Look at totals and signatures only; process() refuses."""
DSM_CLASSIFY: Final = 0x02
"""Classify and change nothing."""
DSM_NONE: Final = 0xFF

# The class of a message: found by process(), or given to it.
DSR_ISSPAM: Final = 0x01
DSR_ISINNOCENT: Final = 0x02
DSR_NONE: Final = 0xFF

# The source of a given class.
DSS_ERROR: Final = 0x00
"""The filter was wrong: take back what it learned, and learn the opposite."""
DSS_CORPUS: Final = 0x01
"""A message that was never processed before."""
DSS_INOCULATION: Final = 0x02
"""A message worth more than one: from a honeypot, or from another user's report."""
DSS_NONE: Final = 0xFF

# Options of a context; a set of bits.
DSF_SIGNATURE: Final = 0x02
"""A signature is wanted (process a message) or given (process a signature)."""
DSF_BIAS: Final = 0x04
"""Count innocent hits twice, as Graham does, so that honest mail is lost less often."""
DSF_NOISE: Final = 0x08
"""Bayesian noise reduction."""
DSF_WHITELIST: Final = 0x10
"""Automatic whitelisting."""
DSF_MERGED: Final = 0x20
"""The group's dictionary is read together with the user's."""
DSF_UNLEARN: Final = 0x80
"""Take a training back."""

# Tokenizers.
DSZ_WORD: Final = 0x01
DSZ_CHAIN: Final = 0x02
DSZ_SBPH: Final = 0x03
DSZ_OSB: Final = 0x04

# Training modes.
DST_TEFT: Final = 0x00
"""Train on everything."""
DST_TOE: Final = 0x01
"""Train on error."""
DST_TUM: Final = 0x02
"""Train until mature."""
DST_NOTRAIN: Final = 0xFE
DST_DEFAULT: Final = 0xFF

# How token values are combined into a score (DSA_), and how they are computed from counts (DSP_); a set of bits.
DSA_GRAHAM: Final = 0x01
DSA_BURTON: Final = 0x02
DSA_ROBINSON: Final = 0x04
DSA_CHI_SQUARE: Final = 0x08
DSP_ROBINSON: Final = 0x10
DSP_GRAHAM: Final = 0x20
DSP_MARKOV: Final = 0x40
DSA_NAIVE: Final = 0x80

LIBDSPAM_VERSION: Final = (3, 10, 2)
"""The version of libdspam whose behaviour this package takes over."""
