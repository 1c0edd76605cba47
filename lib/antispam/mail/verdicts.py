"""The verdicts about a connection, a message or a recipient."""

from __future__ import annotations

import dataclasses
import enum
from typing import NamedTuple

from antispam.text import for_reply

MAX_REPLY_LINES = 32  # libmilter's limit for smfi_setmlreply


class Action(enum.StrEnum):
    """The outcomes. ACCEPT ends policy, not the journey: results are still written and the message is still signed.
    PASS ends policy for our own messages, whatever was found before: only the rows that protect readers are still
    asked.
    """

    CONTINUE = "continue"
    ACCEPT = "accept"
    PASS = "pass"
    REJECT = "reject"
    TEMPFAIL = "tempfail"
    DISCARD = "discard"
    QUARANTINE = "quarantine"  # kept in our store
    HOLD = "hold"  # kept in the MTA's queue
    UNFINISHED = "unfinished"  # the client gave the transaction up; no check returns this

    @property
    def refuses(self) -> bool:
        return self in _REFUSING


_REFUSING = frozenset({Action.REJECT, Action.TEMPFAIL})


@dataclasses.dataclass(frozen=True, slots=True)
class Callback:
    """A request to call the sender back before the message is accepted (done by checks/callback.py).

    word  "CBV": ask whether the address exists; "DSN": also notify it of what was found
    tag   the tag of the access map's entry: "spf-softfail"
    """

    word: str
    tag: str = ""


class Verdict(NamedTuple):
    """A decision with the two texts that go with it.

    action    the outcome
    code      SMTP reply code (RFC 5321), 0 if the action sends no reply of its own
    enhanced  enhanced status code (RFC 3463, 7372), such as "5.7.23"
    text      for the person who reads the bounce: what was found and what they can do; lines end in a newline
    reason    for the administrator's log
    demerits  offences of the client that led to this decision: things that no honest client does
    callback  the message goes on if a call to the sender succeeds
    """

    action: Action
    code: int = 0
    enhanced: str = ""
    text: str = ""
    reason: str = ""
    demerits: int = 0
    callback: Callback | None = None

    def reply_lines(self, reference: str = "") -> tuple[str, ...]:
        """The lines of the SMTP reply, safe to send. The last has the reference, so that people can quote it on the
        phone.
        """
        lines = [line for line in (for_reply(part) for part in self.text.splitlines()) if line] or [
            for_reply(self.reason)
        ]
        if reference:
            lines[-1] = f"{lines[-1]} (ref {for_reply(reference, 40)})"
        return tuple(lines[:MAX_REPLY_LINES])


CONTINUE = Verdict(Action.CONTINUE)
BAN = 1_000_000  # demerits that ban a client at once, whatever the limit


def accept(reason: str) -> Verdict:
    """Accept the message: no later check may refuse it."""
    return Verdict(Action.ACCEPT, reason=reason)


def let_pass(reason: str) -> Verdict:
    """Deliver the message whatever was found before. Only protecting rows are still asked."""
    return Verdict(Action.PASS, reason=reason)


def reject(text: str, reason: str, *, code: int = 550, enhanced: str = "5.7.1", demerits: int = 0) -> Verdict:
    """Refuse permanently."""
    return Verdict(Action.REJECT, code, enhanced, text, reason, demerits)


def tempfail(text: str, reason: str, *, code: int = 451, enhanced: str = "4.7.1") -> Verdict:
    """Ask the client to try again later."""
    return Verdict(Action.TEMPFAIL, code, enhanced, text, reason)


def discard(reason: str) -> Verdict:
    """Accept the message and drop it."""
    return Verdict(Action.DISCARD, reason=reason)


def quarantine(reason: str) -> Verdict:
    """Accept the message and keep it in the quarantine."""
    return Verdict(Action.QUARANTINE, reason=reason)


def hold(reason: str) -> Verdict:
    """Let the MTA keep the message in its queue until an administrator looks at it."""
    return Verdict(Action.HOLD, reason=reason)
