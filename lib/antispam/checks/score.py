"""What do the tests that a message meets add up to?

Every check may say which named tests its evidence meets (points() in journey/contract.py); their points stand in
mail/score_table.py. What is done about a score is each recipient's own question: checks/spam_action.py.
"""

from __future__ import annotations

from antispam.journey.services import Services
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.authors import from_our_users
from antispam.mail.connection import Connection
from antispam.mail.evidence import ScoreFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.score import counted, total
from antispam.mail.score_settings import ScoreSettings
from antispam.mail.verdicts import Action, Verdict

NAME = "score"
OTHERWISE = "`TEST = points` in `[score]` changes what a test counts."
Finding = ScoreFinding
Settings = ScoreSettings
READS_HITS = True


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> ScoreFinding | None:
    """None for mail of our own users."""
    assert message is not None
    assert recipient is not None
    if from_our_users(message):
        return None
    changes = {name.upper(): points for name, points in services.settings[Settings].points.items()}
    tests = counted(recipient.findings.hits(), services.tests, changes)
    return Finding(total=total(tests), tests=tests)


def decide(finding: ScoreFinding, findings: Findings, settings: Settings, policy: AccessMap | AccessTable) -> Verdict:
    """The score is only said: what follows from it, spam_action decides."""
    if not finding.tests:
        return Verdict(Action.CONTINUE)
    told = ", ".join(f"{one.test}={one.points:g}" for one in finding.tests)
    return Verdict(Action.CONTINUE, reason=f"{finding.total:.1f} ({told})")
