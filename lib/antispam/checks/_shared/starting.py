"""Initial training of an empty dictionary, from mail that the score's other tests classify beyond doubt."""

from __future__ import annotations

from antispam.checks._shared.lessons import learn_some, may_teach, wants_ham, wants_spam
from antispam.journey.services import Services
from antispam.learning.settings import DspamSettings
from antispam.mail.evidence import ScoreFinding
from antispam.mail.message import Message
from antispam.mail.verdicts import Action, Verdict
from dspam.hashing import Keys

_FINGERPRINT = "FINGERPRINT_"
_LEARNER = "BAYES_"  # the learner's own tests are not evidence


def start(message: Message, keys: Keys, proved: bool, verdict: Verdict, services: Services) -> None:
    """Train the first screener with the message if its class is clear and fewer than `least` of that class were
    learned. A report undoes it. Raises StoreError.

    proved   whether SPF or DKIM prove the author
    verdict  the outcome; a message that will be retried trains nothing yet
    """
    settings = services.settings[DspamSettings]
    if not settings.dspam_screener or verdict.action is Action.TEMPFAIL:
        return
    name = settings.dspam_screener[0]
    scores = [_without_learner(one.findings.get(ScoreFinding)) for one in message.accepted_recipients]
    if not scores or None in scores:
        return
    known = [score for score in scores if score is not None]
    if _is_spam(known, settings) and wants_spam(name, services):
        learn_some(f"clear spam {name}", name, True, message, keys, services)
    honest = proved and not verdict.action.refuses and max(total for total, _ in known) < 0
    # Strangers choose what they send, and one stranger can own all names of a domain.
    if honest and wants_ham(name, services) and may_teach(message, services):
        learn_some(f"clear ham {name}", name, False, message, keys, services)


def _without_learner(found: ScoreFinding | None) -> tuple[float, bool] | None:
    """The points of all other tests, and whether the message resembles reported spam; None for one without a score."""
    if found is None or found.error:
        return None
    others = [one for one in found.tests if not one.test.startswith(_LEARNER)]
    return sum(one.points for one in others), any(one.test.startswith(_FINGERPRINT) for one in others)


def _is_spam(scores: list[tuple[float, bool]], settings: DspamSettings) -> bool:
    """Whether every recipient's score would refuse it, or would mark what resembles reported spam."""
    return all(total >= settings.refuse or (resembles and total >= settings.mark) for total, resembles in scores)
