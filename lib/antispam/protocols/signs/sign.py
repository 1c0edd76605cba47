"""A sign: the name of a test that a message meets, and what was seen."""

from __future__ import annotations

import dataclasses

from antispam.text import for_log

_SHOWN = 80


@dataclasses.dataclass(frozen=True, slots=True)
class Sign:
    """One sign.

    test      the name that it has in the table of points
    evidence  one sentence of safe text
    share     the part of the test's points that it is worth, above 0 and at most 1
    """

    test: str
    evidence: str
    share: float = 1.0


def shown(text: str | bytes, limit: int = _SHOWN) -> str:
    """A piece of a message, for a sentence: on one line, printable, cut."""
    return for_log(text, limit)
