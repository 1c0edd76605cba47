"""Sender Policy Framework, RFC 7208: may this host use that domain?

Evaluation is pyspf's. What is added here: DNS goes through our resolver under one deadline, hostile records and
identities are bounded and made safe before anybody reads them, explanations are fetched only when somebody wants them,
and a few places where pyspf departs from the RFC follow it.
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
