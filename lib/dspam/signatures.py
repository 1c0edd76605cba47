"""The content of a signature: the tokens of a message, and which of them were learned, so that a mistake can be undone exactly.

libdspam's signatures hold tokens and frequencies only, and retraining guesses from the training mode what had been learned.
Here each token records whether it was learned, and the signature records as what: retraining twice has the effect of once, in
every training mode. Each state of a message has its own serial number, so of several reports that read the same signature only
one is learned.
"""

from __future__ import annotations

import enum
import secrets
import struct
from collections.abc import Mapping
from typing import NamedTuple

from .constants import DSR_ISINNOCENT, DSR_ISSPAM, DSR_NONE
from .tokenizers import Tokens

_HEAD = struct.Struct("<cBBB")
_SERIAL = struct.Struct("<Q")
_RECORD = struct.Struct("<qB")
_MAGIC = b"D"
_VERSION = 2
_WITHOUT_SERIAL = 1
_LEARNED = 0x80


class Standing(enum.IntEnum):
    """How the totals count this message."""

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
    tokens were learned that say so.  `serial` is 0 for a state that was not kept yet, and in signatures of version 1.
    """

    verdict: int
    standing: Standing
    tokens: Mapping[int, Seen]
    serial: int = 0

    def numbered(self) -> Signature:
        """The same with a unique serial number, unless it has one already."""
        return self if self.serial else self._replace(serial=secrets.randbits(64) or 1)

    def pack(self) -> bytes:
        """The bytes that a store keeps: twelve, and nine for each token."""
        records = [
            _RECORD.pack(key, min(seen.frequency, 127) | (_LEARNED if seen.learned else 0))
            for key, seen in self.tokens.items()
        ]
        head = _HEAD.pack(_MAGIC, _VERSION, self.verdict, self.standing) + _SERIAL.pack(self.serial)
        return b"".join([head, *records])

    def marked(self, verdict: int, standing: Standing, learned: bool) -> Signature:
        """The same tokens, all marked as learned or none, with a serial number of its own."""
        return Signature(verdict, standing, {key: Seen(seen.frequency, learned) for key, seen in self.tokens.items()})


def unpack(content: bytes) -> Signature:
    """Read what `pack` wrote.  Raises ValueError for anything else."""
    if len(content) < _HEAD.size:
        raise ValueError("not a signature: its length is wrong")
    magic, version, verdict, standing = _HEAD.unpack_from(content)
    known = magic == _MAGIC and version in {_VERSION, _WITHOUT_SERIAL}
    if not known or verdict not in {DSR_ISSPAM, DSR_ISINNOCENT, DSR_NONE}:
        raise ValueError("not a signature of this version")
    numbered = version == _VERSION
    begin = _HEAD.size + _SERIAL.size * numbered
    size = len(content) - begin
    if size < 0 or size % _RECORD.size:
        raise ValueError("not a signature: its length is wrong")
    serial = _SERIAL.unpack_from(content, _HEAD.size)[0] if numbered else 0
    tokens = {key: Seen(bits & 0x7F, bool(bits & _LEARNED)) for key, bits in _RECORD.iter_unpack(content[begin:])}
    return Signature(verdict, Standing(standing), tokens, serial)


def seen_in(tokens: Tokens) -> dict[int, Seen]:
    """The signature of a message from which nothing was learned yet."""
    seen = {key: Seen(token.frequency, False) for key, token in tokens.table.items()}
    if tokens.sender:
        seen[tokens.sender] = Seen(1, False)
    return seen
