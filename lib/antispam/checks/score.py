"""The score: the sum of the tests that a message meets.

Every check may name the tests that its evidence meets (points() in journey/contract.py); mail/score_table.py has their
points. The opinion of the recipient's own dictionary is one of the tests. checks/spam_action.py decides for each
recipient what is done about a score.
"""

from __future__ import annotations

import math

from antispam.journey.services import Services
from antispam.learning.settings import DspamSettings
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.authors import from_our_users
from antispam.mail.connection import Connection
from antispam.mail.evidence import ScoreFinding
from antispam.mail.findings import Findings
from antispam.mail.learned_evidence import OpinionFinding
from antispam.mail.message import Message, Recipient
from antispam.mail.score import Hit, counted, told, total
from antispam.mail.score_settings import Counts, ScoreSettings
from antispam.mail.score_table import TABLE
from antispam.mail.verdicts import Action, Verdict
from antispam.settings import Mode
from antispam.store import StoreError
from dspam.learner import SPAM_AT

NAME = "score"
OTHERWISE = "`TEST = points` in `[score]` changes the points of a test."
Finding = ScoreFinding
Settings = ScoreSettings
ALSO_READS = (DspamSettings,)
READS_HITS = True
DERIVED = True

CALLED_SPAM = 6.0  # points for a message that the dictionary only just calls spam; the default of `mark`
_LEAST = 0.1  # points worth mentioning


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> ScoreFinding | None:
    """None for our own users' mail, unless it is classified."""
    assert message is not None
    assert recipient is not None
    if from_our_users(message) and message.findings.get(OpinionFinding) is None:
        return None
    only_said = services.settings[Settings].mode is Mode.LOG
    try:
        others = recipient.findings.hits(said=only_said) if services.settings[Settings].counts is Counts.ALL else ()
        hits = (*others, *_learned(message, recipient, services))
    except StoreError as error:
        return Finding(error=f"preferences: {error}")
    changes = services.settings[Settings].points
    if changes:
        changes = {name.upper(): points for name, points in changes.items()}
    tests = counted(hits, services.tests, changes)
    return Finding(total=total(tests), tests=tests)


def _learned(message: Message, recipient: Recipient, services: Services) -> tuple[Hit, ...]:
    """The test of the dictionary for this recipient, if it has learned enough. Raises StoreError."""
    found = message.findings.get(OpinionFinding)
    if found is None or found.error or services.people is None:
        return ()
    if services.settings[DspamSettings].mode is not Mode.ENFORCE:  # it is only logged
        return ()
    if NAME not in message.memo:  # users' settings are read once for all
        everybody = map(services.people.user_of, (one.address for one in message.accepted_recipients))
        services.people.ask_for([user for user in everybody if user is not None], services.deadline)
        message.memo[NAME] = True
    user = services.people.user_of(recipient.address)
    opinion = found.of_user(user or "") or found.of_user("")
    if opinion is None:
        return ()
    least = services.people.settings_for(user, services.deadline).least
    points = points_of(opinion.probability)
    if min(opinion.spam, opinion.ham) < least or abs(points) < _LEAST:
        return ()
    test = "BAYES_SPAM" if points > 0 else "BAYES_HAM"
    said = f"The dictionary of {opinion.dictionary} rates it as spam with a probability of {opinion.probability:.4f}."
    return (Hit(test, said, points),)


def points_of(probability: float) -> float:
    """The learner's logit as points, within bounds: CALLED_SPAM at SPAM_AT, 0 at even odds."""
    sure = min(max(probability, 1e-9), 1 - 1e-9)
    points = CALLED_SPAM * math.log(sure / (1 - sure)) / math.log(SPAM_AT / (1 - SPAM_AT))
    return round(min(max(points, TABLE["BAYES_HAM"].points), TABLE["BAYES_SPAM"].points), 2)


def decide(finding: ScoreFinding, findings: Findings, settings: Settings, policy: AccessMap | AccessTable) -> Verdict:
    """The score is only logged here; spam_action decides what follows."""
    return Verdict(Action.CONTINUE, reason=told(finding.total, finding.tests) if finding.tests else "")
