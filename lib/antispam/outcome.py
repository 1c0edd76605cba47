"""What was decided about a message, by whom, and which of it holds."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from antispam.settings import Mode
from antispam.verdicts import Action, Verdict


@dataclasses.dataclass(frozen=True, slots=True)
class Decision:
    """One check's verdict.

    mode  in mode log the verdict is only said
    firm  holds for accepted messages too: what the check looks for is dangerous whoever sent it
    """

    check: str
    verdict: Verdict
    mode: Mode = Mode.ENFORCE
    firm: bool = False

    @property
    def counts(self) -> bool:
        return self.mode is Mode.ENFORCE

    @property
    def stops(self) -> bool:
        """Whether, taken alone, it keeps the message from being delivered as usual."""
        return self.counts and self.verdict.action not in (Action.CONTINUE, Action.ACCEPT)


def accepted_by(decisions: Iterable[Decision]) -> Decision | None:
    """The first decision that ended policy."""
    return next((d for d in decisions if d.counts and d.verdict.action is Action.ACCEPT), None)


def ruling(decisions: Iterable[Decision]) -> Decision | None:
    """The decision that the message must obey: the first that stops it (the table is read top to bottom), unless another one
    accepted it, which leaves only the firm ones. None lets it pass."""
    decisions = list(decisions)
    pardoned = accepted_by(decisions) is not None
    return next((d for d in decisions if d.stops and (d.firm or not pardoned)), None)
