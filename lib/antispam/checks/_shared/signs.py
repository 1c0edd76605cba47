"""The common part of the checks that look for signs: the evidence, and the tests of the score."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from antispam.mail.findings import Finding
from antispam.mail.score import Hit
from antispam.mail.score_table import TABLE
from antispam.protocols.signs.sign import Sign


@dataclasses.dataclass(frozen=True, kw_only=True)
class SignsFinding(Finding):
    """The signs found in a message."""

    signs: tuple[Sign, ...] = ()

    @property
    def told(self) -> str:
        """The names of the tests, for the log."""
        return ", ".join(dict.fromkeys(one.test for one in self.signs))


def hits(signs: Iterable[Sign]) -> tuple[Hit, ...]:
    """The tests of the score. A sign that is worth only a part of the points carries its own points."""
    return tuple(_hit(one) for one in signs)


def _hit(one: Sign) -> Hit:
    text = f"{one.evidence[:1].upper()}{one.evidence[1:]}."
    return Hit(one.test, text, None if one.share == 1.0 else round(one.share * TABLE[one.test].points, 2))
