"""What the checks that look for signs have in common: the evidence, and the tests of the score that it meets."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from antispam.mail.findings import Finding
from antispam.mail.score import Hit
from antispam.mail.score_table import TABLE
from antispam.protocols.signs.sign import Sign


@dataclasses.dataclass(frozen=True, kw_only=True)
class SignsFinding(Finding):
    """The signs that a message shows."""

    signs: tuple[Sign, ...] = ()

    @property
    def told(self) -> str:
        """For the log: the names of the tests."""
        return ", ".join(dict.fromkeys(one.test for one in self.signs))


def hits(signs: Iterable[Sign]) -> tuple[Hit, ...]:
    """The tests of the score; a sign that is worth a share only has its points with it."""
    return tuple(_hit(one) for one in signs)


def _hit(one: Sign) -> Hit:
    text = f"{one.evidence[:1].upper()}{one.evidence[1:]}."
    return Hit(one.test, text, None if one.share == 1.0 else round(one.share * TABLE[one.test].points, 2))
