"""The recipient's action on spam, and the header fields for mail programs.

The one place for what happens to spam: from `[score] mark` on, spam_action in [dspam] applies; higher thresholds do
more.
"""

from __future__ import annotations

import math
from collections.abc import Hashable

from antispam.checks._shared.own_lists import OwnListSettings, allowed_by
from antispam.journey.services import Services
from antispam.learning.people import address_list, is_listed
from antispam.learning.settings import DspamSettings, SignaturePlace
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.authors import is_whitelisted
from antispam.mail.connection import Connection
from antispam.mail.decisions import accepted_by
from antispam.mail.draft import Draft
from antispam.mail.evidence import ScoreFinding
from antispam.mail.findings import Findings
from antispam.mail.learned_evidence import Opinion, OpinionFinding, Reached, SpamFinding
from antispam.mail.message import Message, Recipient
from antispam.mail.remedies import Remedy, verdict_for
from antispam.mail.score import told
from antispam.mail.score_settings import ScoreSettings
from antispam.mail.verdicts import Action, Verdict, discard
from antispam.settings import Mode
from antispam.store import StoreError
from dspam.tags import with_tag

NAME = "spam_action"
OTHERWISE = (
    "Training changes the filter's opinion (forward the message, release it with `bms quarantine release`, or use `bms "
    "train`); `bms preferences` says what happens to spam for this user."
)
Finding = SpamFinding
Settings = ScoreSettings
ALSO_READS = (DspamSettings, OwnListSettings)
DERIVED = True

_MAX_LEVEL = 50  # stars
_FOLD_AT = 62  # octets of a line of a field, without its name
_HONEYPOT = "honeypot"
_REFUSAL = (
    "The message looks like spam to our filter.\n"
    "If it is not, please tell the recipient in another way and quote the reference."
)


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> SpamFinding | None:
    """None if the message was not classified."""
    if message is None or recipient is None or services.people is None:
        return None
    found = _classified(message, services)
    score = recipient.findings.get(ScoreFinding)
    if found is None and (score is None or score.error):
        return None
    try:
        user = services.people.user_of(recipient.address)
        in_text = _in_text(message, services)  # first, because it reads the settings of all
        settings = services.people.settings_for(user, services.deadline)
    except StoreError as error:
        return Finding(error=f"preferences: {error}")
    if settings.opt_out or recipient.address in address_list(settings.dspam_exempt):
        return Finding(user=user or "", in_text=in_text, because="not to be filtered")
    opinion = _opinion(found, user)
    reached = _reached(score.total, settings) if score is not None and not score.error else Reached.NONE
    reached, because = _judged(message, found, opinion, settings, reached)
    if allowed := allowed_by(recipient, services):
        reached, because = Reached.NONE, f"the recipient allows {allowed}"
    if found is not None and recipient.address in address_list(settings.honeypot):
        because = _HONEYPOT
    refused = recipient.address in address_list(settings.dspam_reject)
    return Finding(
        user=user or "",
        action=Remedy.REJECT if refused else settings.spam_action,
        subject=settings.spam_subject,
        in_text=in_text if user is None else settings.signature_location is SignaturePlace.MESSAGE,
        opinion=opinion,
        is_spam=reached is not Reached.NONE,
        reached=reached,
        required=None if math.isinf(settings.mark) else settings.mark,
        because=because,
    )


def _classified(message: Message, services: Services) -> OpinionFinding | None:
    """The learner's finding, unless it is only to be logged."""
    found = message.findings.get(OpinionFinding)
    enforced = services.settings[DspamSettings].mode is Mode.ENFORCE
    return found if found is not None and not found.error and enforced else None


def _opinion(found: OpinionFinding | None, user: str | None) -> Opinion | None:
    if found is None:
        return None
    return found.of_user(user or "") or found.of_user("")  # users beyond the first hundred get that of everybody else


def _in_text(message: Message, services: Services) -> bool:
    """Whether any user among the recipients wants the signature in the text: everybody else gets the same copy."""
    if NAME not in message.memo:
        people = services.people
        assert people is not None
        users = dict.fromkeys(people.user_of(one.address) for one in message.accepted_recipients)
        known = [user for user in users if user is not None]
        if known:
            people.ask_for(known, services.deadline)
        message.memo[NAME] = any(
            people.settings_for(user, services.deadline).signature_location is SignaturePlace.MESSAGE for user in known
        )
    return bool(message.memo[NAME])


def _reached(points: float, settings: DspamSettings) -> Reached:
    """The highest threshold reached, by the rounded score that is displayed."""
    thresholds = (
        (Reached.DISCARD, settings.discard),
        (Reached.REFUSE, settings.refuse),
        (Reached.QUARANTINE, settings.quarantine),
        (Reached.MARK, settings.mark),
    )
    return next((reached for reached, least in thresholds if points >= least), Reached.NONE)


def _judged(
    message: Message, found: OpinionFinding | None, opinion: Opinion | None, settings: DspamSettings, reached: Reached
) -> tuple[Reached, str]:
    """The threshold that counts in the end, and the reason if it is not the score."""
    accepted = accepted_by(message.decisions)
    if accepted is not None:
        return Reached.NONE, f"accepted: {accepted.verdict.reason}"
    if _is_trusted(message, found, settings):
        return Reached.NONE, "the sender is in dspam_whitelist"
    if found is not None and found.honeypot:
        return max(reached, Reached.MARK, key=list(Reached).index), "it also went to a honeypot"
    known = settings.whitelist_threshold
    proved = opinion if found is not None and found.authenticated else None
    if proved is not None and known and proved.author_ham >= known and not proved.author_spam:
        return Reached.NONE, f"the author is known from {proved.author_ham} honest messages"
    return reached, ""


def _is_trusted(message: Message, found: OpinionFinding | None, settings: DspamSettings) -> bool:
    if found is not None:
        return found.whitelisted
    listed = settings.dspam_whitelist  # usually empty, and then no address need be parsed
    return is_whitelisted(message) or bool(listed and is_listed(message, address_list(listed)))


def decide(
    finding: SpamFinding, findings: Findings, settings: ScoreSettings, policy: AccessMap | AccessTable
) -> Verdict:
    """The thresholds above `mark` do more than spam_action, never less."""
    if finding.because == _HONEYPOT:
        return discard("sent to a honeypot")
    whose = f" for {finding.user}" if finding.user else ""
    because = f": {finding.because}" if finding.because else ""
    if not finding.is_spam:
        return Verdict(Action.CONTINUE, reason=f"not spam{whose}{because}" if finding.because else "")
    probability = f", probability {finding.probability:.4f}" if finding.probability is not None else ""
    reason = f"spam{whose}{because or probability}"
    stopped = reason if because else f"{reason}{_score_of(findings)}"  # the log line of a refusal has nothing else
    if finding.reached is Reached.DISCARD:
        return discard(stopped)
    remedy = _remedy(finding)
    return verdict_for(remedy, _REFUSAL, reason if remedy in (Remedy.DELIVER, Remedy.TAG) else stopped)


def _remedy(finding: SpamFinding) -> Remedy:
    if finding.reached is Reached.REFUSE:
        return Remedy.REJECT
    if finding.reached is Reached.QUARANTINE and finding.action in (Remedy.DELIVER, Remedy.TAG):
        return Remedy.QUARANTINE
    return finding.action


def _score_of(findings: Findings) -> str:
    score = findings.get(ScoreFinding)
    return "" if score is None else f", score {told(score.total, score.tests)}"


def content(finding: SpamFinding) -> Hashable:
    """The parts that show in the message: neither whose opinion it was nor how certain."""
    return (
        finding.is_spam,
        _is_tagged(finding) and finding.subject,
        _is_tagged(finding),
        finding.in_text,
        _result(finding),
    )


def _is_tagged(finding: SpamFinding) -> bool:
    return finding.is_spam and finding.action is not Remedy.DELIVER


def _result(finding: SpamFinding) -> str:
    """The result in DSPAM's words; "" without an opinion."""
    if finding.opinion is None and not (finding.is_spam and finding.because):
        return ""
    if finding.is_spam:
        return "Spam"
    return "Whitelisted" if finding.because else "Innocent"


def act(finding: SpamFinding, verdict: Verdict, draft: Draft, services: Services) -> None:
    """Write the result for mail programs and people. Facts about one recipient are private: they are written only if
    all recipients of this copy share them.
    """
    if result := _result(finding):
        draft.append_header("X-DSPAM-Result", result)
    opinions = {one.findings[Finding].opinion for one in draft.recipients}  # type: ignore[attr-defined]
    if len(opinions) == 1 and finding.opinion is not None:
        probability = finding.opinion.probability
        draft.append_header("X-DSPAM-Confidence", f"{abs(2 * probability - 1):.4f}")
        draft.append_header("X-DSPAM-Probability", f"{probability:.4f}")
    if finding.because != "not to be filtered":
        _write_score(finding, draft)
    if _is_tagged(finding):
        draft.append_header("X-Spam-Flag", "YES")
        if finding.subject:
            draft.tag_subject(finding.subject)
    _, reporters = draft.message.memo.get(OpinionFinding.check, (None, ()))
    if reporters and _classified(draft.message, services) is not None:
        draft.append_header("X-DSPAM-Signature", draft.message.ref)
        if finding.in_text and draft.message.body.complete:
            draft.replace_body(with_tag(draft.raw(), draft.message.ref))


def _write_score(finding: SpamFinding, draft: Draft) -> None:
    """Write the score in SpamAssassin's form, which webmail programs parse."""
    scores = [one.findings.get(ScoreFinding) for one in draft.recipients]
    required = {one.findings[Finding].required for one in draft.recipients}  # type: ignore[attr-defined]
    score = scores[0]
    if score is None or finding.required is None or len(required) > 1 or any(one != score for one in scores):
        return
    yes = "Yes" if _is_tagged(finding) else "No"
    begin = f"{yes}, score={score.total:.1f} required={finding.required:.1f} tests="
    draft.append_header("X-Spam-Status", _folded(begin, [one.test for one in score.tests] or ["none"]))
    if score.total >= 1:
        draft.append_header("X-Spam-Level", "*" * min(int(score.total), _MAX_LEVEL))


def _folded(begin: str, tests: list[str]) -> str:
    """The tests as a list without blanks after `begin`, folded to usual line lengths."""
    lines = [begin]
    for number, test in enumerate(tests):
        item = test if number == len(tests) - 1 else f"{test},"
        if number and len(lines[-1]) + len(item) > _FOLD_AT:
            lines.append("")
        lines[-1] += item
    return "\n\t".join(lines)
