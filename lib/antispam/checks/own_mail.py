"""Mail from our own outbox, which passes through the filter like any other. Policy does not apply to it, but protection
does.
"""

from __future__ import annotations

from typing import Any

from antispam.checks._shared.outbox_pass import OwnMailSettings, read_pass
from antispam.journey.services import Services
from antispam.mail.connection import Connection
from antispam.mail.evidence import OwnMailFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.verdicts import Action, Verdict, let_pass
from antispam.settings.outbox import OutboxSettings
from antispam.store import StoreError
from antispam.store.outbox import PASS_FIELD, Kind, known_pass, purge, use_pass

NAME = "own_mail"
Finding = OwnMailFinding
Settings = OwnMailSettings
ALSO_READS = (OutboxSettings,)

NAMES_KEPT = 30 * 86400.0  # seconds for which the name of a sent message prevents a second one

_UNMODIFIED = frozenset({Kind.COPY, Kind.ORIGINAL})
_FIELD = PASS_FIELD.encode()


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> Finding | None:
    """None for a message without the field.

    Our field is on top of the message, and only its first word counts. A queued message may be a stranger's with such
    fields of its own, and must pass all the same.
    """
    assert message is not None
    fields = message.fields(_FIELD)
    if not fields:
        return None
    words = fields[0].value.split(maxsplit=1)
    shown = read_pass(words[0]) if words else None
    if shown is None:
        return Finding()
    if services.store is None:
        return Finding(error="there is no store")
    try:
        queued = known_pass(services.store, shown.outbox_id, shown.secret, services.clock(), services.deadline)
    except StoreError as error:
        return Finding(error=f"outbox: {error}")
    if queued is None:
        return Finding()
    message.memo[NAME] = shown.secret
    return Finding(outbox_id=shown.outbox_id, kind=queued.kind, ref=queued.ref, unmodified=queued.kind in _UNMODIFIED)


def perform(finding: Finding, message: Message | None, recipient: Recipient | None, services: Services) -> Finding:
    """Invalidate the pass: it lets one message through, once."""
    if not finding.outbox_id:
        return finding
    assert message is not None
    assert services.store is not None
    secret: str = message.memo[NAME]
    try:
        used = use_pass(services.store, finding.outbox_id, secret, services.clock(), services.deadline)
    except StoreError as error:
        return Finding(error=f"outbox: {error}")
    return finding if used else Finding()


def tidy(services: Services) -> bool:
    """Delete a slice of the names of messages sent long ago. True if more may be left."""
    return services.store is not None and purge(services.store, services.clock() - NAMES_KEPT) > 0


def decide(finding: Finding, findings: Findings, settings: OwnMailSettings, policy: Any) -> Verdict:
    if not finding.outbox_id:
        return Verdict(Action.CONTINUE, reason=f"{PASS_FIELD} of a stranger, or used before; removed")
    return let_pass(f"message {finding.outbox_id} of our outbox ({finding.kind} of {finding.ref})")
