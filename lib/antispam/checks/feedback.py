"""Reports from users, and the training that they cause."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from typing import ClassVar

from antispam.checks._shared.bans import BanSettings, ban_reported, our_domains
from antispam.checks._shared.reputation.asking import reported as told_to_reputation
from antispam.journey.services import Services
from antispam.learning import answers, feedback
from antispam.learning.fingerprinting import FingerprintSettings
from antispam.learning.forwards import Forwarded, reported
from antispam.learning.language_settings import LanguageSettings
from antispam.learning.languages import texts
from antispam.learning.preferences import language_of
from antispam.learning.settings import DspamSettings
from antispam.mail import findings as base
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.connection import Connection
from antispam.mail.findings import Findings
from antispam.mail.learned_evidence import TrainingFinding, Verb
from antispam.mail.message import Message, Recipient
from antispam.mail.verdicts import Verdict, discard, reject, tempfail
from antispam.store import StoreError, outbox, rates
from antispam.store.outbox import Kind, QueuedMessage
from antispam.text import for_log, from_wire
from gossip import HAM, SPAM

NAME = "feedback"
OTHERWISE = "`[dspam] dspam_users` says whose reports train the filter."
Settings = DspamSettings
ALSO_READS = (BanSettings, FingerprintSettings, LanguageSettings)

_CONTRADICTION = (
    "You sent this both to the address for spam and to the one for honest mail; please send it to one of them."
)
_TOO_LARGE = "The report is too large; please report fewer messages at once."
_LATER = "The report cannot be processed at the moment; please try again later."

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding(base.Finding):
    """The result of a report, found at the end of the message.

    alone        no other recipient gets this message
    taught       the training was done; in mode log it is not, and the counts are 0
    banned       the domains and mailboxes that the report banned
    seen         number of messages that the user's dictionary learned
    beyond       number of messages that the user reported within the hour, if over the limit
    store_error  why nothing, or not everything, was learned
    """

    check: ClassVar[str] = NAME
    verb: Verb = Verb.SPAM
    user: str = ""
    alone: bool = True
    taught: bool = False
    contradicts: bool = False
    too_large: bool = False
    learned: int = 0
    corrected: int = 0
    known: int = 0
    missing: int = 0
    released: int = 0
    banned: tuple[str, ...] = ()
    seen: int = 0
    beyond: int = 0
    store_error: str = ""

    @property
    def found(self) -> int:
        return self.learned + self.corrected + self.known


def applies(settings: Settings) -> bool:
    return settings.taught_by_mail


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> Finding | None:
    """The report. None unless the recipient is a training address."""
    assert message is not None
    assert recipient is not None
    training = recipient.findings.get(TrainingFinding)
    if training is None or not training.user or services.store is None or services.dictionaries is None:
        return None
    others = [one.findings.get(TrainingFinding) for one in message.accepted_recipients]
    verbs = {one.verb is Verb.HAM for one in others if one is not None}
    finding = Finding(verb=training.verb, user=training.user, alone=None not in others)
    if len(verbs) > 1:
        return dataclasses.replace(finding, contradicts=True)
    return finding if message.body.complete else dataclasses.replace(finding, too_large=True)


def perform(finding: Finding, message: Message | None, recipient: Recipient | None, services: Services) -> Finding:
    """Train with the reported messages, each in its own transaction."""
    assert message is not None
    assert recipient is not None
    if finding.contradicts or finding.too_large:
        return finding
    if NAME not in message.memo:  # a report to several addresses (spam+a@ and spam+b@) is one report
        try:
            message.memo[NAME] = _taught(finding, message, recipient, services)
        except StoreError as error:
            # Not `error`: whatever on_error says about spam, a report that cannot be learned must be retried.
            message.memo[NAME] = dataclasses.replace(finding, store_error=str(error))
    known: Finding = message.memo[NAME]
    return dataclasses.replace(known, verb=finding.verb, taught=True)


def _taught(finding: Finding, message: Message, recipient: Recipient, services: Services) -> Finding:
    assert services.store is not None
    assert services.dictionaries is not None
    store, now, allowed = services.store, services.clock(), services.settings[Settings].report_rate
    # Checked again after RCPT: meanwhile many reports may have arrived at once.
    used = rates.used(store, feedback.rate_name(finding.user), now, feedback.PERIOD, services.deadline)
    if used >= allowed:
        return dataclasses.replace(finding, beyond=used)
    forwarded = reported(message.raw())
    # Messages without effect count, too: searching for them costs as much.
    used = feedback.count(store, finding.user, max(1, len(forwarded.reports)), now, services.deadline)
    if used >= allowed:
        return dataclasses.replace(finding, beyond=used)
    forwarded = forwarded.first(allowed - used)
    if not forwarded and finding.alone:
        return dataclasses.replace(finding, missing=1)
    teacher = services.dictionaries.make(finding.user)
    result = _learned(finding, forwarded, services)
    banned = _banned(finding, result.refs, services)
    spam, ham = teacher.totals(services.deadline)
    if services.settings[Settings].answers:
        least = services.settings[Settings].least
        facts = _facts(finding, message, result, seen=feedback.seen(spam, ham, least), needed=2 * least)
        _answer(dataclasses.replace(facts, banned=banned, more=forwarded.more), message, recipient, services)
    return dataclasses.replace(
        finding,
        learned=result.learned,
        corrected=result.corrected,
        known=result.known,
        missing=result.missing,
        released=len(result.released),
        banned=banned,
        seen=spam + ham,
    )


def _learned(finding: Finding, forwarded: Forwarded, services: Services) -> feedback.Result:
    """Train with the reported messages. Raises StoreError."""
    assert services.store is not None
    assert services.dictionaries is not None
    store, now, is_spam = services.store, services.clock(), finding.verb is not Verb.HAM

    def tell_reputation(ref: str, is_spam: bool) -> None:
        told_to_reputation(store, ref, SPAM if is_spam else HAM, now, services.deadline)

    means = feedback.Means(
        settings=services.settings,
        store=store,
        dictionaries=services.dictionaries,
        tell=tell_reputation,
        protect=services.protect,
    )
    result = feedback.teach(forwarded, is_spam, finding.user, means, now, services.deadline)
    if not forwarded:
        result.missing = 1
    return result


def _facts(finding: Finding, message: Message, result: feedback.Result, *, seen: int, needed: int) -> answers.Facts:
    """The facts for the answer."""
    return answers.Facts(
        is_spam=finding.verb is not Verb.HAM,
        user=finding.user,
        seen=seen,
        needed=needed,
        reference=message.ref,
        learned=result.learned,
        corrected=result.corrected,
        known=result.known,
        missing=result.missing,
        released=result.released,
        subjects=result.subjects,
    )


def _banned(finding: Finding, refs: Sequence[str], services: Services) -> tuple[str, ...]:
    """The senders that a report to bandom bans. Raises StoreError."""
    if finding.verb is not Verb.BAN:
        return ()
    assert services.store is not None
    settings = services.settings[BanSettings]
    ours, now = our_domains(services.settings), services.clock()
    found = (ban_reported(services.store, settings, ref, finding.user, now, ours) for ref in refs)
    return tuple(dict.fromkeys(from_wire(name, 320) for name in found if name))


def _answer(facts: answers.Facts, message: Message, recipient: Recipient, services: Services) -> None:
    """Queue the answer, once for each report even if it is retried. Raises StoreError."""
    assert services.store is not None
    fields = [(header.name, header.value) for header in message.headers]
    to = _reporter(facts.user, message.mail_from, services)
    if not to or not answers.should_answer(message.mail_from, fields):
        return
    language = language_of(services.settings[LanguageSettings], services.store, facts.user, services.deadline)
    identifier, references = (_first(message, name) for name in (b"message-id", b"references"))
    try:
        content = answers.compose(
            facts,
            texts(language),
            training_address=recipient.address,
            reporter=to,
            now=services.clock(),
            message_id=identifier,
            references=references,
        )
    except ValueError as error:
        log.warning("[%s] the report is not answered: %s", message.ref, for_log(str(error)))
        return
    report = from_wire(identifier.strip() or message.ref, 500)
    queued = QueuedMessage(
        Kind.ANSWER, message.ref, "", (to,), content, once=f"answer {facts.user} {facts.is_spam} {report}"
    )
    with services.store.write(services.deadline) as transaction:
        outbox.post(services.store, transaction, queued, services.clock())


def _reporter(user: str, mail_from: str, services: Services) -> str:
    """The address for the answer: the envelope sender if it is the user's, otherwise their first address; "" for none."""
    assert services.people is not None
    if services.people.user_of(mail_from) == user:
        return mail_from
    return next((one for one in services.people.addresses.users.get(user, ()) if one.find("@") > 0), "")


def _first(message: Message, name: bytes) -> bytes:
    return next((header.value for header in message.fields(name)), b"")


def decide(finding: Finding, findings: Findings, settings: DspamSettings, policy: AccessMap | AccessTable) -> Verdict:
    """A report is dropped once it was learned: nobody needs to receive it."""
    reason = f"{finding.user} reports {finding.verb}"
    if finding.contradicts:
        return reject(_CONTRADICTION, f"{reason} and the opposite")
    if finding.too_large:
        return reject(_TOO_LARGE, f"{reason}: larger than max_message", code=552, enhanced="5.3.4")
    if finding.store_error:
        return tempfail(_LATER, f"{reason}: {finding.store_error}", enhanced="4.3.0")
    if finding.beyond:
        return feedback.too_many(finding.user, finding.beyond)
    if not finding.taught:
        return discard(f"{reason}: would teach")
    if not finding.found and finding.alone:
        text = "No forwarded message was found in your mail.\n" + "\n".join(answers.HOW_TO_FORWARD)
        return reject(text, f"{reason}: nothing that could be found")
    counts = {
        "learned": finding.learned,
        "corrected": finding.corrected,
        "known before": finding.known,
        "not found": finding.missing,
        "released": finding.released,
    }
    parts = [f"{number} {what}" for what, number in counts.items() if number]
    if finding.banned:
        parts.append(f"banned {', '.join(finding.banned)}")
    return discard(f"{reason}: " + ", ".join(parts))
