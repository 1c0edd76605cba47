"""Bans: refuse banned clients, and ban clients with enough offences."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from antispam.checks._shared.bans import BanSettings, ban_client, is_shared
from antispam.journey.services import Services
from antispam.mail import findings as base
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.authors import from_our_outbox, from_our_users
from antispam.mail.connection import Connection
from antispam.mail.decisions import Decision
from antispam.mail.evidence import ClientClass, ConnectionFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.verdicts import BAN, CONTINUE, Verdict, reject
from antispam.store import StoreError
from antispam.store.lists import Kind, find
from antispam.text import from_wire

NAME = "banned"
OTHERWISE = (
    "`bms lists remove` lifts a ban; `[milter] max_demerits` and `[bans] ban_client` say when and for how long clients "
    "are banned."
)
Settings = BanSettings


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding(base.Finding):
    """A client from outside.

    reason  the reason for its ban, "" if it is not banned
    until   the end of the ban in seconds since the epoch; None for never
    """

    check: ClassVar[str] = NAME
    ip: str = ""
    reason: str = ""
    until: float | None = None


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> Finding | None:
    """None for our own clients and relays, who are never banned."""
    client = connection.findings.get(ConnectionFinding)
    if services.store is None or (client is not None and client.client is not ClientClass.EXTERNAL):
        return None
    ip = from_wire(connection.ip, 100)
    try:
        found = find(services.store, [(Kind.BANNED_IP, connection.ip)], services.clock(), services.deadline)
    except StoreError as error:
        return Finding(ip=ip, error=f"bans: {error}")
    return Finding(ip=ip, reason=found[0].reason, until=found[0].expires_at) if found else Finding(ip=ip)


def decide(finding: Finding, findings: Findings, settings: BanSettings, policy: AccessMap | AccessTable) -> Verdict:
    return _refusal(finding) if finding.reason else CONTINUE


def _refusal(finding: Finding) -> Verdict:
    text = (
        f"Connections from {finding.ip} are temporarily blocked: {finding.reason}.\n"
        "The administrator of that server can ask our postmaster, from another server, to lift the block."
    )
    return reject(text, f"{finding.ip} is banned: {finding.reason}")


def offended(
    finding: Finding, connection: Connection, message: Message | None, verdict: Verdict, services: Services
) -> None:
    """Ban a client that has reached the limit of demerits, effective at once on this connection. Raises StoreError."""
    settings = services.settings[BanSettings]
    allowed = settings.max_demerits or BAN
    if connection.demerits < allowed or finding.reason or services.store is None:
        return
    if connection.demerits < BAN and message is not None and is_shared(connection, message, settings):
        return
    if message is not None and (from_our_users(message) or from_our_outbox(message)):
        return
    demerits = connection.demerits
    reason = "the access map says so" if demerits >= BAN else f"{demerits} offences: {from_wire(verdict.reason, 200)}"
    connection.demerits = 0  # the next ban starts from zero
    if connection.ip:
        # The rest of this connection is refused even if the store cannot record the ban.
        now_banned = Finding(ip=finding.ip, reason=reason)
        connection.findings.add(now_banned)
        connection.decisions.append(Decision(NAME, _refusal(now_banned), settings.mode))
    ban_client(services.store, settings, connection.ip, reason, NAME, services.clock(), services.deadline, once=True)
