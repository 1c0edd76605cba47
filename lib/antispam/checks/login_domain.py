"""Our own users, wherever they are, may use only our domains, unless the access map allows a login others.

It is a separate row because SMTP AUTH excuses other faults of a sender.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from antispam.journey.services import Services
from antispam.mail import findings as base
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.connection import Connection
from antispam.mail.evidence import SenderDomainFinding, SenderFault
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.verdicts import Verdict, reject
from antispam.settings import CheckSettings, section

NAME = "login_domain"
OTHERWISE = "An `SMTP-Auth:` entry of the access map allows a login to use a domain that is not yours."


@section("sender_domain")
class Settings(CheckSettings):
    """[sender_domain]: shares mode and on_error with the rules for clients."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding(base.Finding):
    """A login that uses a sender of another domain."""

    check: ClassVar[str] = NAME
    login: str = ""
    sender: str = ""


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> Finding | None:
    """None for everybody else."""
    assert message is not None
    found = message.findings.get(SenderDomainFinding)
    if found is None or found.fault is not SenderFault.LOGIN:
        return None
    return Finding(login=found.login, sender=found.sender)


def decide(finding: Finding, findings: Findings, settings: Settings, policy: AccessMap | AccessTable) -> Verdict:
    text = (
        f"The login {finding.login} may not send as {finding.sender}, which is not one of our addresses.\n"
        "Please use your own address as the sender, or ask your mail administrator to allow this one."
    )
    return reject(text, f"MAIL FROM <{finding.sender}>, authenticated as {finding.login}")
