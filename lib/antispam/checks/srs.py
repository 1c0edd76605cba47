"""Is a bounce about mail that we sent? Our senders are signed, so a bounce to any other address is about a forgery.

From here on, a recipient with a valid signature is replaced by the plain address, for later checks and for the MTA.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from antispam.checks._shared.srs import UNUSABLE, SrsSettings, State, signature_of
from antispam.journey.services import Services
from antispam.mail import findings as base
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.connection import Connection
from antispam.mail.evidence import ClientClass, ConnectionFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.verdicts import CONTINUE, Action, Verdict, reject
from antispam.net.addresses import parse_mailbox
from antispam.text import from_wire

NAME = "srs"
OTHERWISE = "`[srs] reject_spoofed = no` accepts bounces to senders that we did not sign."
Settings = SrsSettings

_LONGEST = 1000  # characters of an address that srs.py verifies
_ALWAYS = frozenset({"postmaster", "abuse"})  # RFC 5321 section 4.5.1, RFC 2142: people must be able to reach them


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding(base.Finding):
    """A recipient in a domain whose senders are signed.

    bounce    the sender shows that the message is a bounce
    plain     the address that the signed one stands for, "" if it is unknown or cannot be represented
    sender    the sender's local part that marks a bounce, "" for the null sender
    """

    check: ClassVar[str] = NAME
    state: State = State.UNSIGNED
    bounce: bool = True
    plain: str = ""
    sender: str = ""


def applies(settings: Settings) -> bool:
    return settings.signs


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> Finding | None:
    """None for other recipients, for unsigned ones of mail that is not a bounce, and for clients that are not outside."""
    assert message is not None
    assert recipient is not None
    mailbox = parse_mailbox(recipient.address)
    try:
        signature = signature_of(services.settings[Settings], services.clock)
        if signature is None or mailbox.domain not in signature.domains:
            return None
        state, plain = signature.verified(recipient.address)
    except UNUSABLE as error:
        return Finding(error=f"srs: {error}")
    bounce = _is_bounce(message, signature.settings)
    client = message.findings.get(ConnectionFinding)
    outside = client is None or client.client is ClientClass.EXTERNAL
    if state is not State.VALID and (not bounce or not outside or mailbox.local.lower() in _ALWAYS):
        return None
    local = parse_mailbox(message.mail_from).local
    return Finding(state=state, bounce=bounce, plain=_as_it_is(plain), sender=from_wire(local, 64))


def _as_it_is(address: str) -> str:
    """The address; "" if a finding cannot hold it unchanged: mail must not go to a truncated or escaped address."""
    return address if from_wire(address, _LONGEST) == address else ""


def _is_bounce(message: Message, settings: SrsSettings) -> bool:
    local = parse_mailbox(message.mail_from).local.lower()
    return not message.mail_from or local in {user.lower() for user in settings.banned_users}


def decide(finding: Finding, findings: Findings, settings: SrsSettings, policy: AccessMap | AccessTable) -> Verdict:
    """No demerit: a server that bounces forged mail is honest and sends many such bounces."""
    if finding.state is State.VALID or not finding.bounce:
        return CONTINUE
    reason = f"a bounce to {'an' if finding.state is not State.FORGED else 'a'} {finding.state} address"
    if not settings.reject_spoofed:
        return Verdict(Action.CONTINUE, reason=f"{reason}; reject_spoofed is off")
    if finding.state is State.EXPIRED:
        return reject("This bounce is too late: we have not sent such a message for days.", reason)
    text = (
        "We did not send the message that this bounce is about: its sender was forged.\n"
        "Please refuse such mail instead of bouncing it; SPF (RFC 7208) says which servers may send for us."
    )
    if finding.sender:
        text = (
            f"Mail from {finding.sender} counts as a bounce, and this one is not about a message of ours.\n"
            "Please send it from another address; send bounces with the null sender (MAIL FROM:<>)."
        )
    return reject(text, reason)


def readdress(finding: Finding) -> str:
    """The plain address of a recipient with a valid signature, otherwise ""."""
    return finding.plain if finding.state is State.VALID else ""
