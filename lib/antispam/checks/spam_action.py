"""What does this recipient want done, if it is spam? And what do mail programs hear of it?"""

from __future__ import annotations

import math
from collections.abc import Hashable

from antispam.journey.services import Services
from antispam.learning.people import address_list
from antispam.learning.settings import DspamSettings, SignaturePlace
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.connection import Connection
from antispam.mail.decisions import accepted_by
from antispam.mail.draft import Draft
from antispam.mail.findings import Findings
from antispam.mail.learned_evidence import Opinion, OpinionFinding, SpamAction, SpamFinding
from antispam.mail.message import Message, Recipient
from antispam.mail.verdicts import Action, Verdict, discard, hold, quarantine, reject
from antispam.store import StoreError
from dspam.learner import SPAM_AT
from dspam.tags import with_tag

NAME = "spam_action"
OTHERWISE = (
    "Teaching the filter changes its opinion (`bms quarantine release` does, forwarding, or `bms train`); `bms "
    "preferences` what it does with spam for this user."
)
Finding = SpamFinding
Settings = DspamSettings

# SpamAssassin's scale, which webmails know: 5 is where spam begins.
REQUIRED = 5.0
_MAX_SCORE = 99.9
_HONEYPOT = "honeypot"
_REFUSAL = (
    "The message looks like spam to a filter that learns from what people here report.\n"
    "If it is not, please tell the recipient in another way, and quote the reference."
)


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> SpamFinding | None:
    """None where the message was not looked at."""
    if message is None or recipient is None or services.people is None:
        return None
    found = message.findings.get(OpinionFinding)
    if found is None or found.error:
        return None
    try:
        user = services.people.user_of(recipient.address)
        in_text = _in_text(message, services)  # first: it asks for the settings of all
        settings = services.people.settings_for(user, services.deadline)
    except StoreError as error:
        return Finding(error=f"preferences: {error}")
    if settings.opt_out or recipient.address in address_list(settings.dspam_exempt):
        return Finding(user=user or "", in_text=in_text, because="not to be filtered")
    opinion = found.of_user(user or "") or found.of_user("")  # beyond the first hundred users, that of everybody else
    accepted = accepted_by(message.decisions)
    is_spam, because = _judged(found, opinion, settings)
    if accepted is not None:
        is_spam, because = False, f"accepted: {accepted.verdict.reason}"
    if recipient.address in address_list(settings.honeypot):
        because = _HONEYPOT
    refused = recipient.address in address_list(settings.dspam_reject)
    return Finding(
        user=user or "",
        action=SpamAction.REJECT if refused else settings.spam_action,
        subject=settings.spam_subject,
        in_text=in_text if user is None else settings.signature_location is SignaturePlace.MESSAGE,
        opinion=opinion,
        is_spam=is_spam,
        least=settings.least,
        because=because,
    )


def _in_text(message: Message, services: Services) -> bool:
    """Whether any user among the recipients wants the signature in the text: who is no user gets the same copy."""
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


def _judged(found: OpinionFinding, opinion: Opinion | None, settings: DspamSettings) -> tuple[bool, str]:
    """Whether it is spam, and what says so where it is not the dictionary."""
    if found.whitelisted:
        return False, "the sender is in dspam_whitelist"
    if found.honeypot:
        return True, "it went to a honeypot, too"
    if opinion is None:
        return False, ""
    known = settings.whitelist_threshold
    if known and found.authenticated and opinion.author_ham >= known and not opinion.author_spam:
        return False, f"the author is known from {opinion.author_ham} honest messages"
    return opinion.is_spam, ""


def decide(
    finding: SpamFinding, findings: Findings, settings: DspamSettings, policy: AccessMap | AccessTable
) -> Verdict:
    """Until enough was learned nothing worse than tagging happens."""
    if finding.because == _HONEYPOT:
        return discard("sent to a honeypot")
    whose = f" for {finding.user}" if finding.user else ""
    because = f": {finding.because}" if finding.because else ""
    if not finding.is_spam:
        return Verdict(Action.CONTINUE, reason=f"not spam{whose}{because}" if finding.because else "")
    if finding.probability is not None and not finding.because:
        because = f", probability {finding.probability:.4f}"
    reason = f"spam{whose}{because}"
    opinion = finding.opinion
    if opinion is None or min(opinion.spam, opinion.ham) < finding.least:
        return Verdict(Action.CONTINUE, reason=f"{reason}; too little was learned to do more than tag it")
    match finding.action:
        case SpamAction.REJECT:
            return reject(_REFUSAL, reason)
        case SpamAction.QUARANTINE:
            return quarantine(reason)
        case SpamAction.HOLD:
            return hold(reason)
    return Verdict(Action.CONTINUE, reason=reason)


def content(finding: SpamFinding) -> Hashable:
    """What can be seen of it in the message: not whose opinion it was, and not how sure."""
    return (
        finding.is_spam,
        _is_tagged(finding) and finding.subject,
        _is_tagged(finding),
        finding.in_text,
        _result(finding),
    )


def _is_tagged(finding: SpamFinding) -> bool:
    return finding.is_spam and finding.action is not SpamAction.DELIVER


def _result(finding: SpamFinding) -> str:
    """In DSPAM's words; "" where nobody had an opinion."""
    if finding.is_spam:
        return "Spam"
    if finding.opinion is None:
        return ""
    return "Whitelisted" if finding.because else "Innocent"


def act(finding: SpamFinding, verdict: Verdict, draft: Draft, services: Services) -> None:
    """Write what was found for mail programs and people."""
    opinions = {one.findings[Finding].opinion for one in draft.recipients}  # type: ignore[attr-defined]
    if result := _result(finding):
        draft.append_header("X-DSPAM-Result", result)
    if len(opinions) == 1 and finding.opinion is not None:
        _write_score(finding, finding.opinion, draft)  # what one user's dictionary says is no business of another's
    if _is_tagged(finding):
        draft.append_header("X-Spam-Flag", "YES")
        _tag_subject(finding.subject, draft)
    _, reporters = draft.message.memo.get(OpinionFinding.check, (None, ()))
    if reporters:
        draft.append_header("X-DSPAM-Signature", draft.message.ref)
        if finding.in_text and draft.message.body.complete:
            draft.replace_body(with_tag(draft.raw(), draft.message.ref))


def _write_score(finding: SpamFinding, opinion: Opinion, draft: Draft) -> None:
    score = score_of(opinion.probability)
    draft.append_header("X-DSPAM-Confidence", f"{abs(2 * opinion.probability - 1):.4f}")
    draft.append_header("X-DSPAM-Probability", f"{opinion.probability:.4f}")
    yes = "Yes" if _is_tagged(finding) else "No"
    draft.append_header("X-Spam-Status", f"{yes}, score={score:.1f} required={REQUIRED:.1f} tests=DSPAM")
    if score >= 1:
        draft.append_header("X-Spam-Level", "*" * min(int(score), 50))


def score_of(probability: float) -> float:
    """On SpamAssassin's scale: REQUIRED where the probability is SPAM_AT, 0 at even odds."""
    sure = min(max(probability, 1e-9), 1 - 1e-9)
    score = REQUIRED * math.log(sure / (1 - sure)) / math.log(SPAM_AT / (1 - SPAM_AT))
    return min(max(score, -_MAX_SCORE), _MAX_SCORE)


def _tag_subject(prefix: str, draft: Draft) -> None:
    if not prefix:
        return
    subject = next(iter(draft.message.fields(b"subject")), None)
    if subject is None:
        draft.append_header("Subject", prefix)
        return
    text = subject.value.decode("utf-8", "surrogateescape").strip()
    if not text.startswith(prefix):
        draft.change_header(subject, f"{prefix} {text}")
