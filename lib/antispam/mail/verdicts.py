"""The verdicts about a connection, a message or a recipient."""

from __future__ import annotations

import dataclasses
import enum

from antispam.text import for_reply

MAX_REPLY_LINES = 32  # libmilter's limit for smfi_setmlreply


class Action(enum.StrEnum):
    """The outcomes. ACCEPT ends policy, not the journey: results are still written and the message still signed. PASS ends
    policy for a message of our own: whatever was found before, only the rows that protect its readers are still asked."""

    CONTINUE = "continue"
    ACCEPT = "accept"
    PASS = "pass"
    REJECT = "reject"
    TEMPFAIL = "tempfail"
    DISCARD = "discard"
    QUARANTINE = "quarantine"  # kept in our store
    HOLD = "hold"  # kept in the MTA's queue
    UNFINISHED = "unfinished"  # of a transaction that its client gave up; no check decides so

    @property
    def refuses(self) -> bool:
        return self in (Action.REJECT, Action.TEMPFAIL)


@dataclasses.dataclass(frozen=True, slots=True)
class Callback:
    """A wish to call the sender back before the message is accepted (checks/callback.py does it).

    word  "CBV": ask whether the address exists; "DSN": and write to it what was found
    tag   what was found, as the access map names it: "spf-softfail"
    """

    word: str
    tag: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """A decision with the two texts that go with it.

    action    the outcome
    code      SMTP reply code (RFC 5321), 0 if the action sends no reply of its own
    enhanced  enhanced status code (RFC 3463, 7372), such as "5.7.23"
    text      for the human who will read the bounce: what was found and what can be done; lines end in a newline
    reason    for the administrator's log
    demerits  offences of the client that this decision stands for: what no honest client does
    callback  the message goes on, if the sender can be called back
    """

    action: Action
    code: int = 0
    enhanced: str = ""
    text: str = ""
    reason: str = ""
    demerits: int = 0
    callback: Callback | None = None

    def reply_lines(self, reference: str = "") -> tuple[str, ...]:
        """The lines of the SMTP reply, safe to send, the reference on the last so that a caller on the phone can quote it."""
        lines = [line for line in (for_reply(part) for part in self.text.splitlines()) if line] or [
            for_reply(self.reason)
        ]
        if reference:
            lines[-1] = f"{lines[-1]} (ref {for_reply(reference, 40)})"
        return tuple(lines[:MAX_REPLY_LINES])


CONTINUE = Verdict(Action.CONTINUE)
BAN = 1_000_000  # demerits of what bans a client at once, however many are allowed


def accept(reason: str) -> Verdict:
    """No check may refuse this message any more."""
    return Verdict(Action.ACCEPT, reason=reason)


def let_pass(reason: str) -> Verdict:
    """Deliver the message whatever was found before; only rows that protect are asked any more."""
    return Verdict(Action.PASS, reason=reason)


def reject(text: str, reason: str, *, code: int = 550, enhanced: str = "5.7.1", demerits: int = 0) -> Verdict:
    """Refuse for good."""
    return Verdict(Action.REJECT, code, enhanced, text, reason, demerits)


def tempfail(text: str, reason: str, *, code: int = 451, enhanced: str = "4.7.1") -> Verdict:
    """Ask the client to try again later."""
    return Verdict(Action.TEMPFAIL, code, enhanced, text, reason)


def discard(reason: str) -> Verdict:
    """Take the message and drop it."""
    return Verdict(Action.DISCARD, reason=reason)


def quarantine(reason: str) -> Verdict:
    """Take the message and keep it in our store."""
    return Verdict(Action.QUARANTINE, reason=reason)


def hold(reason: str) -> Verdict:
    """Let the MTA keep the message in its queue until an administrator looks at it."""
    return Verdict(Action.HOLD, reason=reason)
