"""The verdict that an entry of the access map asks for."""

from __future__ import annotations

from antispam.mail.access_map.policy import Action as Wanted
from antispam.mail.access_map.policy import Policy
from antispam.mail.verdicts import BAN, Action, Callback, Verdict, accept, discard, quarantine


def apply_entry(entry: Policy, refusal: Verdict) -> Verdict:
    """The verdict that `entry` asks for, on a message that would otherwise be refused with `refusal`.

    The entry's own reply code, enhanced code and text take precedence over those of `refusal`. Its code decides whether
    the refusal is permanent: a REJECT for a temporary error stays temporary unless the entry gives a 5xx code. CBV, DSN
    and OK let the message go on; the first two ask for something that is done later.
    """
    reason = refusal.reason
    match entry.action:
        case Wanted.WHITELIST:
            return accept(reason)
        case Wanted.REJECT:
            return _prescribed(entry, refusal, refusal.code)
        case Wanted.BAN:
            return _prescribed(entry, refusal, refusal.code)._replace(demerits=BAN)
        case Wanted.TEMPFAIL:
            return _prescribed(entry, refusal, 451)
        case Wanted.DISCARD:
            return discard(reason)
        case Wanted.QUARANTINE:
            return quarantine(reason)
        case Wanted.CBV | Wanted.DSN:
            return Verdict(Action.CONTINUE, reason=reason, callback=Callback(entry.action.value, _tag(entry)))
        case _:
            return Verdict(Action.CONTINUE, reason=reason)


def _prescribed(entry: Policy, refusal: Verdict, code: int) -> Verdict:
    code = entry.code or code
    return Verdict(
        action=Action.TEMPFAIL if code < 500 else Action.REJECT,
        code=code,
        enhanced=entry.enhanced or f"{code // 100}{refusal.enhanced[1:]}",
        text=entry.text or refusal.text,
        reason=refusal.reason,
        demerits=refusal.demerits,
    )


def _tag(entry: Policy) -> str:
    """The tag of the entry: "spf-softfail"; "" for the check's own default."""
    return entry.key.partition(":")[0]
