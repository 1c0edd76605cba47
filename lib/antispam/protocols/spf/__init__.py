"""Sender Policy Framework, RFC 7208: whether a host may use a domain.

pyspf does the evaluation. This package adds: DNS queries through our resolver with one deadline, limits and cleaning of
hostile records and identities, explanations fetched only on demand, and corrections where pyspf departs from the RFC.
"""

from antispam.protocols.spf.check import check_host
from antispam.protocols.spf.query import MAX_QUESTIONS
from antispam.protocols.spf.received import received_spf
from antispam.protocols.spf.result import (
    BEST_GUESS,
    BEST_GUESS_DYNAMIC,
    BEST_GUESS_HELO,
    Identity,
    Result,
    SpfOptions,
    SpfResult,
)

__all__ = [
    "BEST_GUESS",
    "BEST_GUESS_DYNAMIC",
    "BEST_GUESS_HELO",
    "MAX_QUESTIONS",
    "Identity",
    "Result",
    "SpfOptions",
    "SpfResult",
    "check_host",
    "received_spf",
]
