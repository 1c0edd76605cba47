"""SMTP AUTH: may this login use this envelope sender?

An authenticated client is one of our users: faults of its host name, address or HELO are ignored unless an `smtp-auth:`
entry of the access map forbids the sender.
"""

from __future__ import annotations

import dataclasses

from antispam.journey.services import Services
from antispam.mail.access_map import AccessMap, AccessTable, Policy, apply_entry
from antispam.mail.access_map import Action as Wanted
from antispam.mail.connection import Connection
from antispam.mail.evidence import AuthFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.verdicts import CONTINUE, Verdict, accept, reject
from antispam.net.addresses import parse_mailbox
from antispam.settings import CheckSettings, section
from antispam.text import from_wire

NAME = "auth"
OTHERWISE = "`SMTP-Auth:` entries of the access map say which sender addresses a login may use."
Finding = AuthFinding


@section("auth")
class Settings(CheckSettings):
    """[auth]: SMTP AUTH. The access map decides which login may use which sender."""


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> AuthFinding | None:
    if message is None:
        return None
    auth = message.auth
    return AuthFinding(
        login=from_wire(auth.login, 500),
        mechanism=from_wire(auth.mechanism, 100),
        sender=from_wire(message.mail_from, 1000),
    )


def decide(finding: AuthFinding, findings: Findings, settings: Settings, policy: AccessMap | AccessTable) -> Verdict:
    """Anybody may use the null sender: bounces and read receipts have it (RFC 5321 section 4.5.5)."""
    if not finding.login:
        return CONTINUE
    sender = parse_mailbox(finding.sender)
    entry = policy.login_policy(finding.login, sender) if sender.domain else None
    authenticated = f"authenticated as {finding.login}"
    if entry is None:
        return accept(authenticated)
    return _apply_entry(
        entry, finding, f"{authenticated}, MAIL FROM <{finding.sender}>: access map {entry.key} {entry.action}"
    )


def _apply_entry(entry: Policy, finding: AuthFinding, reason: str) -> Verdict:
    """The verdict of an access map entry. CBV and DSN forbid the sender, as upstream does: calling our own user back
    would prove nothing.
    """
    text = (
        f"The login {finding.login} is not authorised to send as {finding.sender}.\n"
        "Please use a sender address of your own, or ask your mail administrator to allow this one."
    )
    if entry.action in (Wanted.OK, Wanted.WHITELIST):
        return accept(reason)
    if entry.action in (Wanted.CBV, Wanted.DSN):
        entry = dataclasses.replace(entry, action=Wanted.REJECT)
    return apply_entry(entry, reject(text, reason))
