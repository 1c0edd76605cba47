"""The findings and their reasons: terms shared by the package, the check and the history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import _unpacking
import _zipscan

REPLACE = "replace"
STRIP = "strip"
REPORT = "report"

EXTENSION = "extension"
PROGRAM = "program"  # recognised by its octets, whatever its name
BIDI = "bidi-override"
SCRIPT = "script"
MARKUP = "markup"  # an HTML or SVG file that the rules do not allow
MACRO = "macro"
PARTIAL = "partial-message"
LIMIT = _unpacking.LIMIT
OPAQUE = "opaque"
ENCRYPTED = _zipscan.ENCRYPTED
UNREADABLE = _unpacking.UNREADABLE
# The content is unknown: one setting decides what to do.
CLOSED = frozenset({ENCRYPTED, UNREADABLE})


@dataclass(frozen=True, slots=True)
class Finding:
    """A danger: its part (child numbers from 1, () for the message), its name, and the reason.

    `remedy` is the action of `rewrite`: REPLACE the part, STRIP its scripts, or only REPORT.
    """

    path: tuple[int, ...]
    name: str
    reason: str
    detail: str = ""
    remedy: str = REPLACE

    def to_json(self) -> dict[str, Any]:
        """A dictionary of JSON types."""
        return asdict(self) | {"path": list(self.path)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Finding:
        """The inverse of `to_json`."""
        return cls(**{**stored, "path": tuple(stored["path"])})


def printable(text: str, length: int = 200) -> str:
    """Text from mail made safe for logs and replies: at most `length` characters, with harmful ones replaced."""
    shown = "".join(character if character.isprintable() else "\ufffd" for character in text[: length + 1])
    return shown if len(shown) <= length else shown[:length] + "…"
