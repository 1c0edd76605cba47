"""The account of one message in plain sentences: who sent it, what each check found, what decided, and where it is now.

It is made from the history row of the message, from related rows in the store, and from the table of checks. Text from the
message is included unescaped: code that shows an account must escape it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import msgspec

from antispam.journey.table import Journey
from antispam.mail.evidence import ScoreFinding
from antispam.mail.kept_because import marked
from antispam.mail.learned_evidence import SpamFinding
from antispam.mail.score import Counted
from antispam.settings import Mode
from antispam.store import Store, outbox, quarantine
from antispam.store.history_search import Decision, Recipient, Transaction
from antispam.store.quarantine import State
from antispam.text import local_time

_PASSES = ("continue", "accept", "pass")
_BECAME = {
    "continue": "delivered",
    "accept": "delivered",
    "pass": "delivered",
    "reject": "refused",
    "tempfail": "the client was asked to come again",
    "quarantine": "quarantined",
    "hold": "held in the mail server's queue",
    "discard": "dropped",
    "unfinished": "given up by its client",
}
_TEACH = marked(
    "If it is spam: forward it to the training address, or teach it with `bms train spam`. `bms lists add blacklist` "
    "refuses the sender from now on."
)


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """What one check said. `asks` is its question; `effect` is False for a check in mode log."""

    check: str
    asks: str
    action: str
    said: str
    effect: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Score:
    """The total of the tests for these recipients."""

    recipients: tuple[str, ...]
    total: float
    tests: tuple[Counted, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Account:
    """What became of a message.

    facts      label and text, for the head
    became     what became of it, a sentence
    reply      what the client was told where it was refused, line by line
    recipients of each recipient whose mail went another way, the address and a sentence
    steps      what the checks said, those that said nothing left out
    scores     a table for each total
    now        where it is now, sentences
    otherwise  the check that decided, and what would make it decide otherwise
    """

    ref: str
    facts: tuple[tuple[str, str], ...]
    became: str
    reply: tuple[str, ...]
    recipients: tuple[tuple[str, str], ...]
    steps: tuple[Step, ...]
    scores: tuple[Score, ...]
    now: tuple[str, ...]
    otherwise: tuple[tuple[str, str], ...]


def account(store: Store, journey: Journey, found: Transaction, now: float) -> Account:
    """The account of a message of the history; `now` in seconds since the epoch. Raises StoreError."""
    asks = {row.check.NAME: row.asks for row in journey.rows}
    stops = list(stopping(found))
    return Account(
        ref=found.ref,
        facts=tuple(_facts(found)),
        became=_sentence(found),
        reply=_reply(found),
        recipients=tuple(_apart(found)),
        steps=tuple(_steps(found, asks)),
        scores=tuple(_scores(found)),
        now=tuple(_now(store, found, now)),
        otherwise=tuple(_otherwise(journey, found, stops)),
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """What some of the recipients may know of a message.

    recipients  those of them who are meant
    decided     what kept it from them; None if it was delivered
    scores      theirs
    called_spam whether the filter considered it spam
    """

    recipients: tuple[str, ...]
    decided: Decision | None
    scores: tuple[Score, ...]
    called_spam: bool


def part_of(found: Transaction, mine: Callable[[str], bool]) -> Part:
    """The part of a message in the history that concerns the recipients whose address is `mine`, and nothing about the
    others."""
    recipients = [one for one in found.recipients if mine(one.address)]
    narrowed = msgspec.structs.replace(found, recipients=recipients)
    spam = (one.findings.get(SpamFinding.check) for one in recipients)
    return Part(
        recipients=tuple(one.address for one in recipients),
        decided=next(stopping(narrowed), None),
        scores=tuple(_scores(narrowed)),
        called_spam=any(isinstance(one, dict) and bool(one.get("is_spam")) for one in spam),
    )


def _facts(found: Transaction) -> Iterator[tuple[str, str]]:
    where = [f"taken by {found.node}"] if found.node else []
    where += [f"queue ID {found.queue_id}"] if found.queue_id else []
    yield "received", ", ".join([local_time(found.received_at), *where, f"{found.size} octets"])
    yield "client", f"{found.client_name or 'no confirmed host name'} [{found.client_ip}], HELO {found.helo or 'none'}"
    yield "envelope", f"<{found.mail_from}> to {_some([f'<{one.address}>' for one in found.recipients])}"
    for label, text in (("author", found.author), ("subject", found.subject), ("Message-ID", found.message_id)):
        if text:
            yield label, text


def _some(names: Sequence[str], most: int = 10) -> str:
    """The names; only the first ones if there are many."""
    more = [f"and {len(names) - most} more"] if len(names) > most else []
    return ", ".join([*names[:most], *more]) or "nobody"


def became(found: Transaction) -> str:
    """What became of a message, in a few words."""
    if found.action in _PASSES and not any(one.refused is None for one in found.recipients):
        return "given up by its client before it was taken" if not found.recipients else "refused for every recipient"
    return _BECAME.get(found.action, found.action)


def _sentence(found: Transaction) -> str:
    status = f" with {found.code}" if found.code else ""
    return f"{became(found)}{status}" + (f": {found.reason}" if found.reason else "")


def stopping(found: Transaction) -> Iterator[Decision]:
    """The decisions that kept the message from somebody."""
    decisions = [*found.decisions, *(one for recipient in found.recipients for one in _of(recipient))]
    return (one for one in decisions if one.action not in _PASSES and one.mode == Mode.ENFORCE)


def _of(recipient: Recipient) -> list[Decision]:
    refused = [recipient.refused] if recipient.refused is not None else []
    return [one for one in [*refused, *recipient.decisions] if one is not None]


def _reply(found: Transaction) -> tuple[str, ...]:
    """The text of the refusal for all; the reference stood at the end of its last line."""
    spoken = next((one for one in stopping(found) if one.text and one.reason == found.reason), None)
    if spoken is None:
        return ()
    first, *rest = spoken.text.splitlines()
    return (" ".join(filter(None, [str(spoken.code), spoken.enhanced, first])), *rest)


def _apart(found: Transaction) -> Iterator[tuple[str, str]]:
    """The recipients who were treated differently from the message as a whole."""
    for one in found.recipients:
        decision = next((d for d in _of(one) if d.action not in _PASSES and d.mode == Mode.ENFORCE), None)
        if decision is not None and (decision.action, decision.reason) != (found.action, found.reason):
            done = _BECAME.get(decision.action, decision.action)
            yield one.address, f"{done} by {decision.check}: {decision.reason or 'it gave no reason'}"


def _steps(found: Transaction, asks: dict[str, str]) -> Iterator[Step]:
    """The steps in the order of the journey, those of recipients last. Equal statements are listed once."""
    decisions = [*found.decisions, *(one for recipient in found.recipients for one in _of(recipient))]
    known = dict.fromkeys((one.check, one.action, one.reason, one.mode) for one in decisions)
    for check, action, reason, mode in known:
        if reason or action not in _PASSES:
            yield Step(check, asks.get(check, ""), action, reason, mode != Mode.LOG)


def _scores(found: Transaction) -> Iterator[Score]:
    of: dict[tuple[float, tuple[Counted, ...]], list[str]] = {}
    for recipient in found.recipients:
        stored = recipient.findings.get(ScoreFinding.check)
        if isinstance(stored, dict):
            tests = tuple(
                Counted(str(one.get("test", "")), float(one.get("points", 0.0)), str(one.get("evidence", "")))
                for one in stored.get("tests", ())
            )
            of.setdefault((float(stored.get("total", 0.0)), tests), []).append(recipient.address)
    for (total, tests), addresses in of.items():
        yield Score(tuple(addresses), total, tests)


_STATES = {
    State.KEPT: "in the quarantine of {user}; `bms quarantine release {ref}` delivers it",
    State.UNDER_WAY: "released to {user}, and on its way",
    State.RELEASED: "released to {user}; the mail server took it",
    State.FAILED: "in the quarantine of {user}; the mail server did not take what was released",
}


_KINDS = {
    outbox.Kind.COPY: "the copy for {to}",
    outbox.Kind.RELEASE: "the released message for {to}",
    outbox.Kind.ORIGINAL: "the released message, unchanged, for {to}",
    outbox.Kind.ANSWER: "an answer to {to}",
    outbox.Kind.DSN: "a notice to {to}",
    outbox.Kind.REPORT: "a DMARC report to {to}",
}


def _queued(entry: outbox.Entry) -> str:
    """The state of its copies in the outbox, as a sentence."""
    kind = _KINDS.get(outbox.Kind(entry.kind), entry.kind) if entry.kind in set(outbox.Kind) else entry.kind
    what = kind.format(to=_some(entry.recipients, 3))
    match entry.state:
        case outbox.State.SENT:
            return f"{what} was taken by the mail server"
        case outbox.State.FAILED:
            return f"{what} could not be sent: {entry.last_error}; `bms outbox retry {entry.id}` tries again"
    return f"{what} waits in the outbox (number {entry.id})" + (f": {entry.last_error}" if entry.last_error else "")


def _now(store: Store, found: Transaction, now: float) -> Iterator[str]:
    try:
        entries = quarantine.of_ref(store, found.ref)
    except quarantine.NoEntry:
        entries = []
    for entry in entries:
        yield _STATES[entry.state].format(user=entry.user, ref=found.ref)
    for queued in outbox.of_ref(store, found.ref, now):
        yield _queued(queued)
    kept = any(one.action == "quarantine" for one in stopping(found))
    if kept and not entries:
        yield "no longer in the quarantine: it was deleted, or its time was up"


def _otherwise(journey: Journey, found: Transaction, stops: Sequence[Decision]) -> Iterator[tuple[str, str]]:
    texts = {row.check.NAME: getattr(row.check, "OTHERWISE", "") for row in journey.rows}
    for check in dict.fromkeys(one.check for one in stops):
        if texts.get(check):
            yield check, texts[check]
    if not stops and found.action in _PASSES:
        yield "", _TEACH
