"""The decisions about a message, by check, and which of them holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from antispam.mail.verdicts import Action, Verdict
from antispam.settings import Mode

_ACCEPTING = frozenset({Action.ACCEPT, Action.PASS})
_STOPPING = frozenset(Action) - {Action.CONTINUE, Action.ACCEPT, Action.PASS}


class Decision(NamedTuple):
    """One check's verdict.

    mode  in mode log the verdict is only said
    firm  holds for accepted messages too: what the check looks for is dangerous, whoever the sender is
    protects  holds for our own messages as well, which may carry what strangers wrote
    """

    check: str
    verdict: Verdict
    mode: Mode = Mode.ENFORCE
    firm: bool = False
    protects: bool = False

    @property
    def counts(self) -> bool:
        return self.mode is Mode.ENFORCE

    @property
    def stops(self) -> bool:
        """Whether, taken alone, it keeps the message from being delivered as usual."""
        return self.counts and self.verdict.action in _STOPPING


def passed_by(decisions: Iterable[Decision]) -> Decision | None:
    """The decision after which only what protects is asked, if there is one."""
    return next((d for d in decisions if d.counts and d.verdict.action is Action.PASS), None)


def accepted_by(decisions: Sequence[Decision]) -> Decision | None:
    """The decision that ended policy: the one that ended the whole journey, or else the first that accepted the message."""
    accepting = [d for d in decisions if d.verdict.action in _ACCEPTING and d.counts]
    return passed_by(accepting) or next(iter(accepting), None)


def ruling(decisions: Sequence[Decision]) -> Decision | None:
    """The decision that holds for the message: the first firm one that stops it; without one, the first that stops it,
    unless another one accepted it. A message that passes is stopped only by what protects. First means first in the table,
    which is read top to bottom. None lets the message pass."""
    if not any(decision.verdict.action in _STOPPING for decision in decisions):
        return None  # as for nearly every message, at every step
    stopping = [decision for decision in decisions if decision.stops]
    if passed_by(decisions) is not None:
        return next((decision for decision in stopping if decision.protects), None)
    firm = next((decision for decision in stopping if decision.firm), None)
    if firm is not None or accepted_by(decisions) is not None:
        return firm
    return next(iter(stopping), None)
