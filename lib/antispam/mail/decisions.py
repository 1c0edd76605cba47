"""The decisions about a message, by check, and the one that takes effect."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from antispam.mail.verdicts import Action, Verdict
from antispam.settings import Mode

_ACCEPTING = frozenset({Action.ACCEPT, Action.PASS})
_ENFORCE, _PASS = Mode.ENFORCE, Action.PASS  # to find a member of an enumeration takes longer than to compare it
_STOPPING = frozenset(Action) - {Action.CONTINUE, Action.ACCEPT, Action.PASS}


class Decision(NamedTuple):
    """One check's verdict.

    mode  in mode log the verdict is only logged
    firm  takes effect for accepted messages too: the check looks for dangers that do not depend on the sender
    protects  takes effect for our own messages too, which may carry text written by strangers
    """

    check: str
    verdict: Verdict
    mode: Mode = Mode.ENFORCE
    firm: bool = False
    protects: bool = False

    @property
    def counts(self) -> bool:
        return self.mode is _ENFORCE

    @property
    def stops(self) -> bool:
        """Whether this decision alone keeps the message from normal delivery."""
        return self.counts and self.verdict.action in _STOPPING


def passed_by(decisions: Iterable[Decision]) -> Decision | None:
    """The decision after which only protecting checks are asked, if there is one."""
    for decision in decisions:  # a generator would take three times as long, at every step
        if decision.verdict.action is _PASS and decision.mode is _ENFORCE:
            return decision
    return None


def accepted_by(decisions: Sequence[Decision]) -> Decision | None:
    """The decision that ended policy: the one that ended the whole journey, otherwise the first that accepted the
    message.
    """
    accepting = [d for d in decisions if d.verdict.action in _ACCEPTING and d.counts]
    return (passed_by(accepting) or accepting[0]) if accepting else None


def ruling(decisions: Sequence[Decision]) -> Decision | None:
    """The decision that takes effect for the message: the first firm one that stops it, otherwise the first that stops
    it, unless another accepted it. A message that was let pass is stopped only by a protecting decision. "First" means
    first in the table, from top to bottom. None lets the message pass.
    """
    stopping = [decision for decision in decisions if decision.verdict.action in _STOPPING and decision.counts]
    if not stopping:
        return None  # the usual case, at every step
    if passed_by(decisions) is not None:
        return next((decision for decision in stopping if decision.protects), None)
    firm = next((decision for decision in stopping if decision.firm), None)
    if firm is not None or accepted_by(decisions) is not None:
        return firm
    return next(iter(stopping), None)
