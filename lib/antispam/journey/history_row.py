"""From a finished transaction to its row of the history."""

from __future__ import annotations

from typing import Any

import msgspec

from antispam.mail.decisions import Decision
from antispam.mail.subject import Subject, all_decisions
from antispam.mail.verdicts import Verdict
from antispam.text import from_wire


def row_for(subject: Subject, verdict: Verdict, node: str) -> dict[str, Any]:
    """The history row of a finished transaction."""
    message, connection = subject.message, subject.connection
    assert message is not None
    return {
        "ref": message.ref,
        "received_at": message.received_at,
        "node": node,
        "queue_id": from_wire(message.queue_id, 64),
        "client_ip": connection.ip[:45],
        "client_name": from_wire(connection.name, 255),
        "helo": from_wire(connection.helo, 255),
        "mail_from": from_wire(message.mail_from, 320),
        "size": message.body.size,
        "action": str(verdict.action),
        "code": verdict.code,
        "reason": from_wire(verdict.reason),
        "recipients": _json([_recipient(recipient) for recipient in message.recipients]),
        "findings": _json(message.findings.to_builtins()),
        "decisions": _json([_decision(decision) for decision in all_decisions(subject)]),
    }


def _recipient(recipient: Any) -> dict[str, Any]:
    return {
        "address": from_wire(recipient.address, 320),
        "refused": recipient.refused and _decision(recipient.refused),
        "findings": {finding.check: msgspec.to_builtins(finding) for finding in recipient.findings.own()},
        "decisions": [_decision(decision) for decision in recipient.decisions],
    }


def _decision(decision: Decision) -> dict[str, Any]:
    verdict = decision.verdict
    return {
        "check": decision.check,
        "action": str(verdict.action),
        "code": verdict.code,
        "mode": str(decision.mode),
        "reason": from_wire(verdict.reason),
    }


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode("utf-8")
