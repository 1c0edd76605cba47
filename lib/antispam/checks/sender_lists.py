"""Is the sender on one of our lists: whitelist, blacklist, banned domains?

A whitelist entry counts only if SPF or DKIM proves the sender: anybody can use any address in MAIL FROM.
"""

from __future__ import annotations

from antispam.checks._shared.bans import BanSettings, refusal_of_listed
from antispam.journey.services import Services
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.authors import from_our_users, is_proved_by
from antispam.mail.connection import Connection
from antispam.mail.evidence import SenderListFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.score import Hit
from antispam.mail.verdicts import Action, Verdict
from antispam.net.addresses import parse_mailbox
from antispam.store import StoreError
from antispam.store.lists import Entry, Kind, find, purge
from antispam.text import from_wire

NAME = "sender_lists"
OTHERWISE = "`bms lists` shows and changes the whitelist, the blacklist and the banned domains."
Settings = BanSettings
Finding = SenderListFinding


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> SenderListFinding | None:
    """None for our own users, and for the null sender."""
    assert message is not None
    mailbox = parse_mailbox(message.mail_from)
    if services.store is None or not mailbox.domain or from_our_users(message):
        return None
    sender = from_wire(message.mail_from, 320)
    wanted = [
        (Kind.WHITELIST, message.mail_from),
        (Kind.BLACKLIST, message.mail_from),
        (Kind.BANNED_DOMAIN, mailbox.domain),
    ]
    try:
        entries = find(services.store, wanted, services.clock(), services.deadline)
    except StoreError as error:
        return Finding(sender=sender, error=f"lists: {error}")
    by_kind = {entry.kind: entry for entry in entries}
    return Finding(
        sender=sender,
        whitelisted=_reason(by_kind.get(Kind.WHITELIST)),
        blacklisted=_reason(by_kind.get(Kind.BLACKLIST)),
        banned=_reason(by_kind.get(Kind.BANNED_DOMAIN)),
    )


def _reason(entry: Entry | None) -> str:
    return "" if entry is None else entry.reason or "no reason was given"


def decide(
    finding: SenderListFinding, findings: Findings, settings: BanSettings, policy: AccessMap | AccessTable
) -> Verdict:
    """A blacklisted sender also costs the client a demerit."""
    if finding.banned:
        return refusal_of_listed("The domain of", finding.sender, finding.banned)
    if finding.blacklisted and not settings.learn:  # otherwise checks/blacklisted.py refuses the message at its end
        return refusal_of_listed("The sender", finding.sender, finding.blacklisted)
    return Verdict(Action.CONTINUE, reason=f"on the whitelist: {finding.whitelisted}" if finding.whitelisted else "")


def points(finding: SenderListFinding, findings: Findings, settings: BanSettings) -> tuple[Hit, ...]:
    """Counts only for a sender proved by SPF or DKIM."""
    if not finding.whitelisted or not is_proved_by(findings, parse_mailbox(finding.sender).domain):
        return ()
    return (Hit("KNOWN_CORRESPONDENT", f"The sender {finding.sender} is on the whitelist: {finding.whitelisted}."),)


def tidy(services: Services) -> bool:
    """Delete a slice of the expired entries. True if more may be left."""
    return services.store is not None and purge(services.store, services.clock()) > 0
