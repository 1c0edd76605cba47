"""What an administrator can have done about one particular fault, where a whole check has several."""

from __future__ import annotations

import enum

from antispam.mail.verdicts import Action, Verdict, quarantine, reject, tempfail


class Answer(enum.StrEnum):
    """The setting of one rule. IGNORE still leaves the evidence in the history and the log."""

    IGNORE = "ignore"
    QUARANTINE = "quarantine"
    TEMPFAIL = "tempfail"
    REJECT = "reject"


def answered(answer: Answer, text: str, reason: str, *, status: str = "7.1") -> Verdict:
    """The verdict that `answer` asks for; `text` is for the sender and `reason` for the log. `status` is the enhanced status
    code behind its class: "7.26" becomes 5.7.26 or 4.7.26."""
    match answer:
        case Answer.REJECT:
            return reject(text, reason, enhanced=f"5.{status}")
        case Answer.TEMPFAIL:
            return tempfail(text, reason, enhanced=f"4.{status}")
        case Answer.QUARANTINE:
            return quarantine(reason)
    return Verdict(Action.CONTINUE, reason=reason)
