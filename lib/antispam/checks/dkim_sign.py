"""DKIM: sign mail of our own users. This is the last row, because a signature covers the edits of all others."""

from __future__ import annotations

import dataclasses
import logging
import re
from typing import ClassVar

from antispam.checks._shared.dkim_keys.signing import SigningSettings
from antispam.journey.services import Services
from antispam.mail import findings as base
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.authors import authors, authors_in, from_our_users
from antispam.mail.connection import Connection
from antispam.mail.draft import Draft
from antispam.mail.evidence import AuthorFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Header, Message, Recipient
from antispam.mail.verdicts import Action, Verdict
from antispam.net.addresses import Mailbox, parse_mailbox
from antispam.protocols.dkim import UnusablePrivateKey, sign
from antispam.settings import Mode
from antispam.text import for_log, from_wire

NAME = "dkim_sign"
Settings = SigningSettings

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding(base.Finding):
    """Our signing keys for the author.

    domains    domains that will sign, in the order of the keys; empty if we have no key for the author
    too_large  the message was not kept whole, so that it can't be signed
    """

    check: ClassVar[str] = NAME
    domains: tuple[str, ...] = ()
    too_large: bool = False


def applies(settings: SigningSettings) -> bool:
    return settings.can_sign


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> Finding | None:
    """None unless an internal client or an authenticated sender sent the message."""
    settings = services.settings[Settings]
    if message is None or not applies(settings) or not from_our_users(message):
        return None
    try:
        signers = settings.signers_of(_authors(message))
    except UnusablePrivateKey as error:
        return Finding(error=from_wire(str(error)))
    names = tuple(dict.fromkeys(signer.domain for signer in signers))
    return Finding(domains=names, too_large=not message.body.complete)


def _authors(message: Message) -> tuple[Mailbox, ...]:
    """The authors in From when the message leaves."""
    found = message.findings.get(AuthorFinding)
    return (parse_mailbox(found.becomes),) if found is not None and found.becomes else authors(message)


def decide(finding: Finding, findings: Findings, settings: SigningSettings, policy: AccessMap | AccessTable) -> Verdict:
    """Signing never causes a refusal."""
    if finding.too_large:
        return Verdict(Action.CONTINUE, reason="not signed: the message is larger than max_message")
    if not finding.domains:
        return Verdict(Action.CONTINUE, reason="not signed: no key for the author's domain")
    return Verdict(Action.CONTINUE, reason=f"signed by {', '.join(finding.domains)}")


def act(finding: Finding, verdict: Verdict, draft: Draft, services: Services) -> None:
    """Put the signatures on top of the message as it will leave."""
    if finding.too_large or not finding.domains:
        return
    settings = services.settings[Settings]
    draft.fold_long_lines()
    headers = draft.headers
    signers = settings.signers_of(authors_in(header for header in headers if header.key == b"from"))
    values = sign(headers, draft.body, signers, now=int(services.clock()), policy=settings.policy)
    for value in reversed(values):
        draft.insert_header("DKIM-Signature", value)


_OWN_FIELD = re.compile(rb"([!-9;-~]+):((?:[^\r\n]|\r\n[ \t])*)\r\n")


def sign_own(queued: bytes, services: Services) -> bytes:
    """Our own message (all octets, with CRLF) with the signatures for its author; unsigned if signing fails. It is
    delivered exactly as it is queued (checks/own_mail.py), so nothing signs it later.
    """
    settings = services.settings[Settings]
    if settings.mode is not Mode.ENFORCE:
        return queued
    head, _, body = queued.partition(b"\r\n\r\n")
    fields = [Header(name, value) for name, value in _OWN_FIELD.findall(head + b"\r\n")]
    try:
        signers = settings.signers_of(authors_in(header for header in fields if header.key == b"from"))
    except UnusablePrivateKey as error:
        log.warning("a message of ours is not signed: %s", for_log(str(error)))
        return queued
    values = sign(fields, body, signers, now=int(services.clock()), policy=settings.policy) if signers else ()
    folded = (value.replace("\r\n", "\n").replace("\n", "\r\n") for value in values)
    return "".join(f"DKIM-Signature: {value}\r\n" for value in folded).encode("ascii") + queued
