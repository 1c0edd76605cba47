"""Notices to senders (DSN): problems with their mail, and bounces of such notices.

A notice goes to a sender whose address exists (checks/callback.py) if the access map says DSN. If configured, it also
goes to a proved sender whose message is quarantined. Nobody gets more than one a day, and mail from programs is never
answered. A notice has the null reverse path, which cannot bounce; some servers send failures to its From address all
the same. Those are recognised by the Message-ID in them, which only we can have made.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import re
from typing import ClassVar

from antispam.checks._shared.bans import our_domains
from antispam.checks._shared.callback.notice import Facts, Templates, compose, sendable, template_for
from antispam.checks._shared.callback.settings import DsnSettings
from antispam.journey.services import Services
from antispam.learning.answers import should_answer, shown
from antispam.mail import findings as base
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.authors import from_our_users, is_proved
from antispam.mail.connection import Connection
from antispam.mail.decisions import ruling
from antispam.mail.evidence import CallbackFinding, DkimFinding, SpfFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.verdicts import Action, Verdict, discard
from antispam.net.addresses import parents, parse_mailbox
from antispam.net.host_name import own_host_name
from antispam.protocols import notice_id
from antispam.protocols.callback_dialogue import Outcome, Verification
from antispam.settings.outbox import OutboxSettings
from antispam.store import Store, StoreError, callbacks, lists, outbox
from antispam.store.outbox import Kind, QueuedMessage
from antispam.text import for_log, from_wire

NAME = "dsn"
Settings = DsnSettings
ALSO_READS = (OutboxSettings,)

SECRET = "dsn"
QUARANTINE = "quarantine"
_MAX_SEARCHED = 1 << 18  # octets of a failure notice
_REPORT = re.compile(rb"multipart/report\b", re.IGNORECASE)
_FAILED = re.compile(rb"^action[ \t]*:[ \t]*failed\b", re.IGNORECASE | re.MULTILINE)
_SUBJECT = re.compile(r"undeliver|fail(?:ed|ure)|returned mail|delivery status|could not be delivered", re.IGNORECASE)
_SOFT_BREAK = re.compile(rb"=\r?\n")

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding(base.Finding):
    """The notice to send, or our notice that this message reports as failed.

    template  the name of the text; "" for none
    proved    SPF or DKIM proves the sender
    receiver, helo, ip  our MTA's name, and the client
    failed    the recipient of a notice of ours that this message reports as undeliverable; "" for any other message
    """

    check: ClassVar[str] = NAME
    template: str = ""
    proved: bool = False
    receiver: str = ""
    helo: str = ""
    ip: str = ""
    failed: str = ""


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> Finding | None:
    """None if there is no notice to send and none came back."""
    assert message is not None
    if services.store is None or from_our_users(message):
        return None
    try:
        failed = _failure_of(message, services.store, services)
    except StoreError as error:
        return Finding(error=f"dsn: {error}")
    if failed:
        return Finding(failed=from_wire(failed, 320))
    settings = services.settings[Settings]
    found = message.findings.get(CallbackFinding)
    wanted = found is not None and found.word == "DSN" and not found.skipped and found.outcome is Outcome.OK
    if not (wanted or settings.quarantine) or not _may_be_answered(message, services):
        return None
    proved = is_proved(message, parse_mailbox(message.mail_from).domain)
    if not (wanted or proved):
        return None
    return Finding(
        template=template_for(found.tag) if wanted and found is not None else "",
        proved=proved,
        receiver=from_wire(own_host_name(connection.receiver), 255),
        helo=from_wire(connection.helo, 255),
        ip=from_wire(connection.ip, 60),
    )


def _failure_of(message: Message, store: Store, services: Services) -> str:
    """The address of a notice of ours that could not be delivered, according to this message; "" if it does not report
    that. Automatic replies ("I am on holiday") also have our Message-ID, but in the header and without a failure.
    """
    local = parse_mailbox(message.mail_from).local.lower()
    if message.mail_from and local not in ("mailer-daemon", "postmaster"):
        return ""
    body = message.body.content()[:_MAX_SEARCHED]
    if b"<dsn." not in body.lower() or not _tells_failure(message, body):
        return ""
    secret = callbacks.secret(store, SECRET, services.clock(), services.deadline)
    return notice_id.find(_SOFT_BREAK.sub(b"", body), secret, services.clock()) or ""


def _tells_failure(message: Message, body: bytes) -> bool:
    if any(_REPORT.match(header.value.strip()) for header in message.fields(b"content-type")):
        return _FAILED.search(body) is not None
    return any(_SUBJECT.search(header.decoded) for header in message.fields(b"subject"))


def _may_be_answered(message: Message, services: Services) -> bool:
    """Whether the sender may get a notice: never the null sender, a program, a list, one of us, or a non-ASCII address."""
    sender = parse_mailbox(message.mail_from)
    ours = {parse_mailbox(one.address).domain for one in message.recipients} | set(our_domains(services.settings))
    if not sendable(message.mail_from) or any(name in ours for name in parents(sender.domain)):
        return False
    # Resent fields would limit the search to the fields above them.
    fields = [(one.key, one.value) for one in message.headers if not one.key.startswith(b"resent-")]
    return should_answer(message.mail_from, fields)


def decide(finding: Finding, findings: Findings, settings: DsnSettings, policy: AccessMap | AccessTable) -> Verdict:
    """A failure of our own notice is dropped: nobody needs to read it."""
    if finding.failed:
        return discard(f"our notice to {finding.failed} could not be delivered: its sender is blacklisted")
    return Verdict(Action.CONTINUE, reason=f"DSN {finding.template}" if finding.template else "")


def afterwards(finding: Finding, message: Message, services: Services) -> None:
    """After the message was accepted: notify its sender, or record that this is impossible."""
    if services.store is None:
        return
    try:
        if finding.failed:
            _note_failure(finding.failed, services.store, services)
        else:
            _write(finding, message, services.store, services)
    except StoreError as error:
        log.warning("[%s] the notice cannot be queued: %s", message.ref, for_log(str(error)))


def _note_failure(address: str, store: Store, services: Services) -> None:
    """Record for callbacks that the address takes no bounces, and blacklist the sender."""
    settings, now = services.settings[Settings], services.clock()
    if not settings.blacklist:
        return
    detail = "a notice to it could not be delivered"
    callbacks.remember(store, address, Verification(Outcome.FAILED, detail), now, settings.blacklist, services.deadline)
    try:
        lists.add(
            store,
            lists.Kind.BLACKLIST,
            address,
            reason=detail,
            by=NAME,
            now=now,
            expires_at=now + settings.blacklist,
            deadline=services.deadline,
        )
    except lists.BadName as error:
        log.info("not blacklisted: %s", for_log(str(error)))


def _write(finding: Finding, message: Message, store: Store, services: Services) -> None:
    """Queue the notice if this sender may get one, in one transaction."""
    settings, now = services.settings[Settings], services.clock()
    template, about = finding.template, _with_action(message, None, Action.HOLD)
    kept = _with_action(message, Action.QUARANTINE)
    if kept and settings.quarantine and finding.proved:
        template, about = QUARANTINE, kept
    if not template or not about:
        return  # the notice would be wrong for a message that nobody gets
    sender = settings.sender or f"postmaster@{finding.receiver}"
    if not sendable(sender):
        log.warning("[%s] no notice is sent: set [dsn] sender, because the MTA gives no name", message.ref)
        return
    secret = callbacks.secret(store, SECRET, now, services.deadline)
    name = notice_id.signed(message.mail_from, sender.rpartition("@")[2], secret, now)
    content = compose(
        template,
        facts_of(finding, message, about, now),
        settings.templates or _shipped(),
        sender=sender,
        message_id=name,
    )
    signed = services.sign(content, services)
    queued = QueuedMessage(Kind.DSN, message.ref, "", (message.mail_from,), signed, once=f"dsn {message.ref}")
    with store.write(services.deadline) as connection:
        due = callbacks.may_notice(store, connection, message.mail_from, message.ref, now, settings.every)
        if due:
            outbox.post(store, connection, queued, now)
    if due:
        log.info("[%s] NOTICE %s to <%s>", message.ref, template, for_log(message.mail_from))


@functools.cache
def _shipped() -> Templates:
    return Templates()


def _with_action(message: Message, *actions: Action | None) -> list[str]:
    """The recipients to whom one of these actions applies; None stands for delivery."""
    ruled = [(one.address, ruling([*message.decisions, *one.decisions])) for one in message.accepted_recipients]
    return [address for address, decision in ruled if (decision and decision.verdict.action) in actions]


def facts_of(finding: Finding, message: Message, about: list[str], now: float) -> Facts:
    spf, dkim = message.findings.get(SpfFinding), message.findings.get(DkimFinding)
    outcome = spf.mailfrom if spf is not None else None
    if finding.template == "helo" and spf is not None and spf.helo is not None:
        outcome = spf.helo
    problem = outcome.problem if outcome is not None else ""
    if finding.template == "dkim":
        signatures = dkim.signatures if dkim is not None else ()
        problem = "; ".join(f"{one.result} {one.reason}".strip() for one in signatures[:3]) or "there is none"
    return Facts(
        sender=message.mail_from,
        recipients=about,
        receiver=finding.receiver,
        ref=message.ref,
        now=now,
        received_at=message.received_at,
        ip=finding.ip,
        helo=finding.helo,
        result=str(outcome.effective) if outcome is not None else "",
        problem=problem,
        subject=next((shown(one.decoded) for one in message.fields(b"subject")), ""),
        fields=[(one.name.decode("ascii", "replace").strip(), one.text) for one in message.headers[:200]],
    )
