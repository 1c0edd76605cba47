"""The verdict that follows from a reputation, and the reply to the sender."""

from __future__ import annotations

from antispam.checks._shared.reputation.settings import GossipSettings
from antispam.mail.evidence import ReputationFinding
from antispam.mail.score import Hit
from antispam.mail.score_table import TABLE
from antispam.mail.verdicts import Action, Verdict, reject

_LEAST = 0.1  # points worth mentioning
_PROVED_BY = {
    "SPF": "its SPF record permits your server",
    "DKIM": "it signed the message",
    "GUESS": "your server appears to belong to it",
    "HELO": "your server uses that name at HELO",
}


def judged(finding: ReputationFinding, settings: GossipSettings) -> Verdict:
    """The verdict: refused if the reputation is bad enough, with enough confidence."""
    reason = told(finding)
    low = settings.reject_below is not None and finding.reputation < settings.reject_below
    if not low or finding.confidence <= settings.reject_confidence:
        return Verdict(Action.CONTINUE, reason=reason)
    return reject("\n".join(_explained(finding)), reason)


def told(finding: ReputationFinding) -> str:
    """The reputation in words for the log; "" for an unknown domain."""
    if not finding.confidence and not finding.spam + finding.ham:
        return ""
    peers = f", {finding.peers} peers" if finding.peers else ""
    return (
        f"{finding.how} {finding.domain} has reputation {finding.reputation:.0f}, confidence {finding.confidence:.0f} "
        f"({finding.spam} spam, {finding.ham} ham{peers})"
    )


def scored(finding: ReputationFinding) -> tuple[Hit, ...]:
    """The tests of the score. A better known reputation counts more; a good one counts only if the domain is proved."""
    sure = min(max(finding.confidence, 0.0), 100.0) / 100
    good = min(max(finding.reputation, -100.0), 100.0) / 100
    if good < 0:
        test = "REPUTATION_BAD"
    elif finding.how in ("SPF", "DKIM"):
        test = "REPUTATION_GOOD"
    else:
        return ()
    points = round(abs(good) * sure * TABLE[test].points, 2)
    return (Hit(test, f"{told(finding)}.", points),) if abs(points) >= _LEAST else ()


def _explained(finding: ReputationFinding) -> list[str]:
    domain = finding.domain
    lines = [f"Nearly all recent mail from {domain} was spam (reputation {finding.reputation:.0f} of -100 to 100)."]
    if finding.how in _PROVED_BY:
        return [
            *lines,
            f"We know that it came from there, because {_PROVED_BY[finding.how]}. Please ask its administrator to "
            "stop the spam;",
            "the reputation recovers by itself once less spam comes from there.",
        ]
    return [
        *lines,
        f"Nothing proves that the mail came from {domain} (SPF {finding.how}), so forgeries count as well. Please ask "
        "its administrator",
        "to publish an SPF record that passes; then only its own mail counts.",
    ]


def header(finding: ReputationFinding) -> str:
    """The value of X-GOSSiP, as pygossip writes it."""
    return f"{finding.umis},{int(finding.reputation)},{int(finding.confidence)}"
