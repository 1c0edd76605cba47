"""ARC (RFC 8617): authentication results of intermediate servers, sealed against later changes.

Pure, like the DKIM code that it uses: look-ups and the time are arguments.
"""

from antispam.protocols.arc.chain import MAX_SETS, ArcResult, Chain, Hop
from antispam.protocols.arc.reported import Reported, reported
from antispam.protocols.arc.seal import SealingPolicy, seal
from antispam.protocols.arc.verify import verify_chain

__all__ = [
    "MAX_SETS",
    "ArcResult",
    "Chain",
    "Hop",
    "Reported",
    "SealingPolicy",
    "reported",
    "seal",
    "verify_chain",
]
