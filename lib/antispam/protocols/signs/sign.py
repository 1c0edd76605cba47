"""A sign: the name of a test that a message meets, and the evidence."""

from __future__ import annotations

import dataclasses

from antispam.text import for_log

_SHOWN = 80


@dataclasses.dataclass(frozen=True, slots=True)
class Sign:
    """One sign.

    test      its name in the table of points
    evidence  one sentence of safe text
    share     its share of the test's points, above 0 and at most 1
    """

    test: str
    evidence: str
    share: float = 1.0


def shown(text: str | bytes, limit: int = _SHOWN) -> str:
    """A piece of a message for use in a sentence: on one line, printable, truncated."""
    return for_log(text, limit)
