"""Mail from our own outbox, recognised by its envelope before anything is refused and before the header arrives.

The pass travels as the envelope identifier (ENVID, RFC 3461 section 4.4), which filters see at MAIL. own_mail
invalidates it at the end of the message.
"""

from __future__ import annotations

from typing import Any

from antispam.checks._shared.outbox_pass import OwnMailSettings, Shown, read_pass
from antispam.journey.services import Services
from antispam.mail.connection import Connection
from antispam.mail.evidence import OwnEnvelopeFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.verdicts import CONTINUE, Verdict, accept
from antispam.protocols import dsn_parameters
from antispam.store import StoreError
from antispam.store.outbox import PASS_ENVID, known_pass

NAME = "own_envelope"
Finding = OwnEnvelopeFinding
Settings = OwnMailSettings


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> Finding | None:
    """None for an envelope without a pass."""
    assert message is not None
    shown = _shown(message.params)
    if shown is None:
        return None
    if services.store is None:
        return Finding(error="there is no store")
    try:
        queued = known_pass(services.store, shown.outbox_id, shown.secret, services.clock(), services.deadline)
    except StoreError as error:
        return Finding(error=f"outbox: {error}")
    return Finding() if queued is None else Finding(outbox_id=shown.outbox_id, kind=queued.kind, ref=queued.ref)


def _shown(params: tuple[str, ...]) -> Shown | None:
    for one in params:
        identifier = dsn_parameters.value(one, "ENVID")
        if identifier.startswith(PASS_ENVID):
            return read_pass(identifier.removeprefix(PASS_ENVID).encode("utf-8", "surrogateescape"))
    return None


def decide(finding: Finding, findings: Findings, settings: OwnMailSettings, policy: Any) -> Verdict:
    if not finding.outbox_id:
        return CONTINUE
    return accept(f"message {finding.outbox_id} of our outbox ({finding.kind} of {finding.ref}), by its envelope")
