"""The history rows of a finished transaction."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from antispam.mail.authors import authors
from antispam.mail.decisions import Decision, ruling
from antispam.mail.findings import essential
from antispam.mail.learned_evidence import SpamFinding
from antispam.mail.message import Message, Recipient
from antispam.mail.remedies import Remedy
from antispam.mail.subject import Subject, all_decisions
from antispam.mail.verdicts import Action, Verdict
from antispam.net.addresses import Mailbox, parse_mailbox
from antispam.settings import Mode
from antispam.store.history_search import Became, Role
from antispam.text import from_wire

_MAX_ADDRESSES = 1000  # by which one message is found


def row_for(subject: Subject, verdict: Verdict, node: str, *, with_subject: bool = True) -> dict[str, Any]:
    """The history row of a finished transaction. Its Subject is left out if it is not to be stored."""
    message, connection = subject.message, subject.connection
    assert message is not None
    author = next(iter(authors(message)), "")
    return {
        "ref": message.ref,
        "received_at": message.received_at,
        "node": node,
        "queue_id": from_wire(message.queue_id, 64),
        "client_ip": connection.ip[:45],
        "client_name": from_wire(connection.name, 255),
        "helo": from_wire(connection.helo, 255),
        "mail_from": from_wire(message.mail_from, 320),
        "message_id": from_wire(_first(message, b"message-id").strip("<> "), 255),
        "author": from_wire(str(author), 320),
        "subject": from_wire(_first(message, b"subject"), 255) if with_subject else "",
        "size": message.body.size,
        "action": str(verdict.action),
        "code": verdict.code,
        "reason": from_wire(verdict.reason),
        "recipients": _json([_recipient(recipient) for recipient in message.recipients]),
        "findings": _json(message.findings.essentials()),
        "decisions": _json([_decision(decision) for decision in all_decisions(subject)]),
    }


def address_rows(subject: Subject, verdict: Verdict) -> Iterator[dict[str, Any]]:
    """The index rows by which people find the message: its senders and recipients, including refused ones. A recipient with
    +detail (RFC 5233) is also indexed without it, because people search for that."""
    message = subject.message
    assert message is not None
    named = itertools.chain(
        [(Role.SENDER, parse_mailbox(message.mail_from), None)],
        ((Role.AUTHOR, author, None) for author in authors(message)),
        (
            (Role.RECIPIENT, mailbox, became(subject._replace(recipient=recipient), verdict))
            for recipient in message.recipients
            for mailbox in _with_plain(parse_mailbox(recipient.address))
        ),
    )
    known: dict[tuple[Role, str, str], Became | None] = {}
    for role, one, result in named:
        if len(known) >= _MAX_ADDRESSES:
            break
        if one:
            known.setdefault((role, from_wire(one.domain, 255), from_wire(one.local.lower(), 255)), result)
    common = {"received_at": message.received_at, "ref": message.ref}
    for (role, domain, local), result in known.items():
        yield {"domain": domain, "local": local, "role": str(role), "became": result and str(result)} | common


def _with_plain(address: Mailbox) -> list[Mailbox]:
    plain, plus, _ = address.local.partition("+")
    return [address, Mailbox(plain, address.domain)] if plus and plain else [address]


SPOKEN: Mapping[Action, Became] = {
    Action.REJECT: Became.REFUSED,
    Action.TEMPFAIL: Became.LATER,
    Action.HOLD: Became.HELD,
    Action.DISCARD: Became.DROPPED,
    Action.UNFINISHED: Became.UNFINISHED,
}


def became(subject: Subject, verdict: Verdict) -> Became:
    """The outcome of a message for the subject's recipient; `verdict` is the reply for the message as a whole."""
    recipient = subject.recipient
    assert recipient is not None
    if recipient.refused is not None:
        return SPOKEN.get(recipient.refused.verdict.action, Became.REFUSED)
    if verdict.action in SPOKEN:
        return SPOKEN[verdict.action]
    decision = ruling(all_decisions(subject))
    if decision is None:
        return Became.MARKED if is_marked(recipient) else Became.DELIVERED
    # A refusal that others do not share is kept: a bounce would hit the owner of a forged address.
    return Became.DROPPED if decision.verdict.action is Action.DISCARD else Became.KEPT


def is_marked(recipient: Recipient) -> bool:
    """Whether the recipient gets the message marked as spam."""
    found = recipient.findings.get(SpamFinding)
    return found is not None and found.is_spam and found.action is not Remedy.DELIVER


def _first(message: Message, name: bytes) -> str:
    return next((header.decoded.strip() for header in message.fields(name)), "")


def _recipient(recipient: Recipient) -> dict[str, Any]:
    row: dict[str, Any] = {"address": from_wire(recipient.address, 320)}
    if recipient.refused is not None:
        row["refused"] = _decision(recipient.refused)
    if found := recipient.findings.own():
        row["findings"] = {finding.check: essential(finding) for finding in found}
    if recipient.decisions:
        row["decisions"] = [_decision(decision) for decision in recipient.decisions]
    return row


def _decision(decision: Decision) -> dict[str, Any]:
    """One decision as stored, without the defaults of antispam.store.history_search.Decision."""
    verdict = decision.verdict
    row: dict[str, Any] = {"check": decision.check}
    if verdict.action is not Action.CONTINUE:
        row["action"] = verdict.action
    if verdict.code:
        row["code"] = verdict.code
    if decision.mode is not Mode.ENFORCE:
        row["mode"] = decision.mode
    if verdict.reason:
        row["reason"] = from_wire(verdict.reason)
    if verdict.action.refuses:
        row |= {"enhanced": verdict.enhanced, "text": from_wire(verdict.text)}
    return row


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode("utf-8")
