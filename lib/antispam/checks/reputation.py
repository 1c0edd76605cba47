"""Reputation: the quality of recent mail from this domain.

An authenticated domain and a merely claimed one have separate reputations: forgers are to blame for the latter.
"""

from __future__ import annotations

from antispam.checks._shared.reputation import votes
from antispam.checks._shared.reputation.asking import ask, asks_others, upkeep
from antispam.checks._shared.reputation.settings import GossipSettings
from antispam.checks._shared.reputation.telling import header, judged, scored
from antispam.journey.services import Services
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.authors import from_our_users
from antispam.mail.connection import Connection
from antispam.mail.draft import Draft
from antispam.mail.evidence import ReputationFinding, SpfFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.score import Hit
from antispam.mail.verdicts import Verdict
from antispam.protocols.spf import Result

NAME = "reputation"
OTHERWISE = (
    "`[gossip] reject_below` is the reputation below which mail is refused; `bms reputation` shows and corrects the "
    "reputation of a domain."
)
Settings = GossipSettings
Finding = ReputationFinding
LOOKS_UP = True

FIELD = "X-GOSSiP"
concluded = votes.remember
tidy = upkeep
TIDY_EVERY = 15.0  # seconds; the log of a busy domain would grow long otherwise


def ready(connection: Connection, message: Message, services: Services) -> bool:
    """Whether no other server must be asked."""
    return not asks_others(services.settings[Settings])


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> ReputationFinding | None:
    """None for senders that SPF does not check (our own users, relays, trusted forwarders), and without a domain."""
    assert message is not None
    spf = message.findings.get(SpfFinding)
    if spf is None or spf.error or from_our_users(message):
        return None
    domain, how = identified(spf)
    return ask(Finding, domain, how, message, services) if domain else None


def identified(spf: SpfFinding) -> tuple[str, str]:
    """The domain responsible for the message, and how it was authenticated; "" if there is none."""
    mailfrom, helo = spf.mailfrom, spf.helo
    if mailfrom is None:
        return "", ""
    if mailfrom.effective is Result.PASS:
        # For the null path, the HELO name passed (RFC 7208 section 2.4).
        how = "HELO" if not mailfrom.mailfrom else "SPF" if mailfrom.result is Result.PASS else "GUESS"
        return mailfrom.domain, how
    if helo is not None and helo.effective is Result.PASS:
        return helo.domain, "HELO"
    return mailfrom.domain, str(mailfrom.effective)


def decide(
    finding: ReputationFinding, findings: Findings, settings: GossipSettings, policy: AccessMap | AccessTable
) -> Verdict:
    return judged(finding, settings)


def points(finding: ReputationFinding, findings: Findings, settings: GossipSettings) -> tuple[Hit, ...]:
    return scored(finding)


def act(finding: ReputationFinding, verdict: Verdict, draft: Draft, services: Services) -> None:
    """Write the reputation into X-GOSSiP."""
    if services.settings[Settings].header and finding.umis:
        draft.append_header(FIELD, header(finding))
