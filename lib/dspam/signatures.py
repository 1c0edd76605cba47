"""What a signature holds: the tokens that were seen, and what was learned of them, so that a mistake is taken back exactly.

libdspam's signatures hold tokens and frequencies only, and retraining guesses from the training mode what had been learned.
Here each token says whether it was, and the whole says as what: retraining twice teaches once, in every training mode.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Mapping
from typing import NamedTuple

from .constants import DSR_ISINNOCENT, DSR_ISSPAM, DSR_NONE

_HEAD = struct.Struct("<cBBB")
_RECORD = struct.Struct("<qB")
_MAGIC = b"D"
_VERSION = 1
_LEARNED = 0x80


class Standing(enum.IntEnum):
    """How the totals count the message."""

    UNCOUNTED = 0
    CLASSIFIED = 1
    LEARNED = 2


class Seen(NamedTuple):
    """How often a token was in the message (1 to 127), and whether it was learned."""

    frequency: int
    learned: bool


class Signature(NamedTuple):
    """A processed message.

    `verdict` (DSR_*) is what it was found or said to be; as that it is counted (`standing`), and as that those of its
    tokens were learned that say so.
    """

    verdict: int
    standing: Standing
    tokens: Mapping[int, Seen]

    def pack(self) -> bytes:
        """The bytes that a store keeps: nine for each token."""
        records = [
            _RECORD.pack(key, min(seen.frequency, 127) | (_LEARNED if seen.learned else 0))
            for key, seen in self.tokens.items()
        ]
        return b"".join([_HEAD.pack(_MAGIC, _VERSION, self.verdict, self.standing), *records])

    def marked(self, verdict: int, standing: Standing, learned: bool) -> Signature:
        """The same tokens, all of them learned or none."""
        return Signature(verdict, standing, {key: Seen(seen.frequency, learned) for key, seen in self.tokens.items()})


def unpack(content: bytes) -> Signature:
    """Read what `pack` wrote.  Raises ValueError for anything else."""
    size = len(content) - _HEAD.size
    if size < 0 or size % _RECORD.size:
        raise ValueError("not a signature: its length is wrong")
    magic, version, verdict, standing = _HEAD.unpack_from(content)
    if (magic, version) != (_MAGIC, _VERSION) or verdict not in {DSR_ISSPAM, DSR_ISINNOCENT, DSR_NONE}:
        raise ValueError("not a signature of this version")
    tokens = {key: Seen(bits & 0x7F, bool(bits & _LEARNED)) for key, bits in _RECORD.iter_unpack(content[_HEAD.size :])}
    return Signature(verdict, Standing(standing), tokens)
