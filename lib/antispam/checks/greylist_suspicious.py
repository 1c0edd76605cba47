"""Greylisting by suspicion: a client must try again only if its message looks like spam or nothing about it is proved.

It acts at the end of the message, when the score is known. Honest servers with SPF, DKIM or a host name of their own
are not delayed when people first write to each other.
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
from antispam.checks._shared.own_lists import OwnListSettings, allowed_by
from antispam.journey.services import Services
from antispam.learning.settings import DspamSettings
from antispam.mail.authors import from_our_outbox, proved_domains
from antispam.mail.connection import Connection
from antispam.mail.evidence import (
    ConnectionFinding,
    ReputationFinding,
    ScoreFinding,
    SignedReputationFinding,
    SpfFinding,
)
from antispam.mail.findings import Finding as BaseFinding
from antispam.mail.findings import Findings
from antispam.mail.learned_evidence import TrainingFinding
from antispam.mail.message import Message, Recipient
from antispam.mail.verdicts import Verdict
from antispam.store import StoreError
from antispam.text import from_wire

NAME = "greylist_suspicious"
OTHERWISE = (
    "Nothing, if the client tries again. `[greylist] exempt_clients` and `exempt_recipients` name who never waits; "
    "`[score] greylist` says from how many points on."
)
Settings = GreylistSettings
ALSO_READS = (DspamSettings, OwnListSettings)
tidy = forget

_UNPROVED = "nothing proves who the client is"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding(BaseFinding):
    """The reason why the client must wait, and the state of the triplet.

    because  the reason for the log
    client   the network or authenticated domain that was looked up
    state    of the triplet "new", "early", "passed" or "known"; "client" if its network is known, "trusted" if the
             sender's or signer's domain has a good reputation
    wait     seconds left until a retry may pass
    """

    check: ClassVar[str] = NAME
    because: str = ""
    client: str = ""
    state: str = ""
    wait: float = 0.0


def applies(settings: GreylistSettings) -> bool:
    return settings.when is When.SUSPICIOUS


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> Finding | None:
    """None if nothing is suspicious or the client need not wait. That includes bounces, whose author cannot be proved,
    and reports.
    """
    settings = services.settings[Settings]
    assert message is not None
    assert recipient is not None
    if not message.mail_from or from_our_outbox(message) or recipient.findings.get(TrainingFinding) is not None:
        return None
    if is_exempt(connection, message, recipient, settings) or allowed_by(recipient, services):
        return None
    try:
        because = _suspicion(message, recipient, services)
        if not because:
            return None
        client = from_wire(client_of(connection, message, settings), 255)
        known = (message.findings.get(ReputationFinding), message.findings.get(SignedReputationFinding))
        if any(one is not None and one.trusted for one in known):
            return Finding(because=because, client=client, state="trusted")
        if services.store is None:
            return Finding(because=because, client=client, error="there is no store")
        answer = ask(services.store, connection, message, recipient, services)
    except StoreError as error:
        return Finding(error=f"greylist: {error}")
    return Finding(because=because, client=from_wire(answer.client, 255), state=answer.state, wait=answer.wait)


def _suspicion(message: Message, recipient: Recipient, services: Services) -> str:
    """The reason why this message must wait; "" for none. Raises StoreError."""
    score = recipient.findings.get(ScoreFinding)
    if score is not None and not score.error and services.people is not None:
        user = services.people.user_of(recipient.address)
        if score.total >= services.people.settings_for(user, services.deadline).greylist:
            return f"score {score.total:.1f}"
    return "" if _is_proved(message) else _UNPROVED


def _is_proved(message: Message) -> bool:
    """Whether anything proves the sender: SPF or DKIM passes for any domain, or the client has a confirmed host name
    that is not one of a pool.
    """
    spf, client = message.findings.get(SpfFinding), message.findings.get(ConnectionFinding)
    if proved_domains(message):
        return True
    if spf is not None and (spf.named or spf.helo_valid or spf.forwarder):
        return True
    return client is not None and client.iprev == "pass" and not client.dynamic


def concluded(
    finding: Finding, connection: Connection, message: Message | None, verdict: Verdict, services: Services
) -> None:
    """Note the client's network if it is now known to be good. Raises StoreError."""
    if finding.state != "client":
        vouch_for(connection, message, verdict, services)


def decide(finding: Finding, findings: Findings, settings: GreylistSettings, policy: Any) -> Verdict:
    why = "your server is new here, and not everything about the message speaks for it"
    return answered(finding.client, finding.state, finding.wait, why, f"; {finding.because}")
