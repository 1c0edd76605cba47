"""Reputation of the domain that signed the message: it stays the same when mail is forwarded."""

from __future__ import annotations

from antispam.checks._shared.reputation import votes
from antispam.checks._shared.reputation.asking import ask, asks_others
from antispam.checks._shared.reputation.settings import GossipSettings
from antispam.checks._shared.reputation.telling import judged, scored
from antispam.journey.services import Services
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.authors import from_our_users
from antispam.mail.connection import Connection
from antispam.mail.evidence import DkimFinding, ReputationFinding, SignedReputationFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.score import Hit
from antispam.mail.verdicts import Verdict
from antispam.net.addresses import parents, parse_mailbox
from antispam.protocols.dkim import DkimResult

NAME = "reputation_signed"
OTHERWISE = (
    "`[gossip] reject_below` is the reputation below which mail is refused; `bms reputation` shows and corrects the "
    "reputation of a domain."
)
Settings = GossipSettings
Finding = SignedReputationFinding
LOOKS_UP = True

concluded = votes.remember


def ready(connection: Connection, message: Message, services: Services) -> bool:
    """Whether no other server must be asked."""
    return not asks_others(services.settings[Settings])


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> SignedReputationFinding | None:
    """None without a valid signature."""
    assert message is not None
    message.memo[votes.REACHED_END] = True
    dkim = message.findings.get(DkimFinding)
    if dkim is None or dkim.error or from_our_users(message):
        return None
    domain = signer(dkim)
    return ask(Finding, domain, "DKIM", message, services) if domain else None


def signer(dkim: DkimFinding) -> str:
    """The domain whose signature passed: the author's or a parent of it if there is one, otherwise the first."""
    passed = [one.domain for one in dkim.signatures if one.result is DkimResult.PASS and one.domain]
    authors = set(parents(parse_mailbox(dkim.author).domain)) if dkim.author else set()
    return next((domain for domain in passed if domain in authors), next(iter(passed), ""))


def decide(
    finding: ReputationFinding, findings: Findings, settings: GossipSettings, policy: AccessMap | AccessTable
) -> Verdict:
    return judged(finding, settings)


def points(finding: SignedReputationFinding, findings: Findings, settings: GossipSettings) -> tuple[Hit, ...]:
    return scored(finding)
