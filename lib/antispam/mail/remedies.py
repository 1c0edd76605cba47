"""The remedies for a fault that an administrator can choose. All settings use the same words."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

from antispam.mail.verdicts import Action, Verdict, hold, quarantine, reject, tempfail
from antispam.settings import option
from antispam.settings.values import choice


class Remedy(enum.StrEnum):
    """A way to deal with a fault. A setting offers some of these: see remedy_option()."""

    IGNORE = "ignore"  # deliver; the evidence still stands in the history and the log
    DELIVER = "deliver"  # the same for spam: delivered like other mail, with header fields that say so
    TAG = "tag"  # deliver, marked as spam
    REPLACE = "replace"  # deliver, with a notice in place of dangerous parts
    FIX = "fix"  # deliver, with the fault corrected
    TEMPFAIL = "tempfail"
    QUARANTINE = "quarantine"
    HOLD = "hold"
    REJECT = "reject"


USUAL = (Remedy.IGNORE, Remedy.QUARANTINE, Remedy.TEMPFAIL, Remedy.REJECT)


def remedy_option(
    default: Remedy, help: str, *, allowed: tuple[Remedy, ...] = USUAL, check: Callable[[Any], object] | None = None
) -> Any:
    """An option whose value is one of the `allowed` remedies; the error for any other value lists them. The other
    arguments are those of option().
    """
    return option(default, help, parse=choice(Remedy, allowed), check=check)


def verdict_for(remedy: Remedy, text: str, reason: str, *, status: str = "7.1") -> Verdict:
    """The verdict that a remedy asks for; CONTINUE for those that deliver.

    text    for the sender
    reason  for the log
    status  the enhanced status code without its class: "7.26" becomes 5.7.26 or 4.7.26
    """
    match remedy:
        case Remedy.REJECT:
            return reject(text, reason, enhanced=f"5.{status}")
        case Remedy.TEMPFAIL:
            return tempfail(text, reason, enhanced=f"4.{status}")
        case Remedy.QUARANTINE:
            return quarantine(reason)
        case Remedy.HOLD:
            return hold(reason)
    return Verdict(Action.CONTINUE, reason=reason)
