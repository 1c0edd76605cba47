"""Traditional greylisting (RFC 6647): an unknown client is asked at RCPT to try again in a few minutes.

checks/greylist_suspicious.py asks only clients with a suspicious message.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from antispam.checks._shared.greylisting import (
    GreylistSettings,
    When,
    answered,
    ask,
    client_of,
    forget,
    is_exempt,
    vouch_for,
)
from antispam.journey.services import Services
from antispam.mail.connection import Connection
from antispam.mail.evidence import ReputationFinding
from antispam.mail.findings import Finding as BaseFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.verdicts import Verdict
from antispam.store import StoreError
from antispam.text import from_wire

NAME = "greylist"
OTHERWISE = (
    "Nothing, if the client tries again. `[greylist] exempt_clients` and `exempt_recipients` name those who never wait."
)
Settings = GreylistSettings
tidy = forget


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding(BaseFinding):
    """The state of the triplet.

    client  the network or authenticated domain that was looked up
    state   of the triplet "new", "early", "passed" or "known"; "client" if its network is known, "trusted" if the
            sender's domain has a good reputation
    wait    seconds left until a retry may pass
    """

    check: ClassVar[str] = NAME
    client: str = ""
    state: str = ""
    wait: float = 0.0


def applies(settings: GreylistSettings) -> bool:
    return settings.when is When.ALWAYS


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> Finding | None:
    """None if the client need not wait."""
    settings = services.settings[Settings]
    assert message is not None
    assert recipient is not None
    if is_exempt(connection, message, recipient, settings):
        return None
    client = from_wire(client_of(connection, message, settings), 255)
    known = message.findings.get(ReputationFinding)
    if known is not None and known.trusted:
        return Finding(client=client, state="trusted")
    if services.store is None:
        return Finding(client=client, error="there is no store")
    try:
        answer = ask(services.store, connection, message, recipient, services)
    except StoreError as error:
        return Finding(client=client, error=f"greylist: {error}")
    return Finding(client=from_wire(answer.client, 255), state=answer.state, wait=answer.wait)


def concluded(
    finding: Finding, connection: Connection, message: Message | None, verdict: Verdict, services: Services
) -> None:
    """Note the client's network if it is now known to be good. Raises StoreError."""
    if finding.state != "client":
        vouch_for(connection, message, verdict, services)


def decide(finding: Finding, findings: Findings, settings: GreylistSettings, policy: Any) -> Verdict:
    why = "your server has not recently sent mail from this sender to this recipient"
    return answered(finding.client, finding.state, finding.wait, why)
