"""Unwanted words in the subject or the author's name."""

from __future__ import annotations

import functools

from antispam.checks._shared.bans import BanSettings, ban_sender
from antispam.journey.services import Services
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.authors import from_our_users, name_in
from antispam.mail.connection import Connection
from antispam.mail.evidence import ReputationFinding, SpfFinding, WordsFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.remedies import Remedy, remedy_option, verdict_for
from antispam.mail.score import Hit
from antispam.mail.verdicts import Action, Verdict
from antispam.protocols.encoded_words import decoded
from antispam.protocols.spf import Result
from antispam.protocols.word_lists import WordList, as_shown, phrases
from antispam.settings import CheckSettings, option, section
from antispam.text import from_wire

NAME = "words"
OTHERWISE = (
    "`[defang] spam_words`, `porn_words` and `from_words` are the lists; `[words] answer` says what a listed "
    "word leads to."
)
Finding = WordsFinding
ALSO_READS = (BanSettings,)

_REFUSAL = (
    "The {where} of the message contains a word that is not accepted here, because nearly all mail with it is spam.\n"
    "If your message is honest, please send it again with another {where}."
)


@section("words")
class Settings(CheckSettings):
    """[words]: the remedies for the word lists of [defang]."""

    spam_words: tuple[str, ...] = option(
        (), "words that may not occur in a subject or an author's name; case matters", section="defang", parse=phrases
    )
    porn_words: tuple[str, ...] = option((), "the same; case does not matter", section="defang", parse=phrases)
    from_words: tuple[str, ...] = option(
        (), "words that may not occur in an author's name; case matters", section="defang", parse=phrases
    )
    whole_words: bool = option(
        False, "match whole words only; otherwise cialis is found in specialist, but p0rn no longer in p0rno"
    )
    answer: Remedy = remedy_option(Remedy.REJECT, "what happens to such mail: ignore, quarantine, tempfail or reject")


@functools.lru_cache(maxsize=16)
def _list(items: tuple[str, ...], fold: bool, whole: bool) -> WordList:
    return WordList(items, fold=fold, whole=whole)


def applies(settings: Settings) -> bool:
    return bool(settings.spam_words or settings.porn_words or settings.from_words)


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> Finding | None:
    """None if nothing is found. All Subject and From fields are read: any of them may be displayed."""
    assert message is not None
    settings = services.settings[Settings]
    whole = settings.whole_words
    general = (_list(settings.spam_words, False, whole), _list(settings.porn_words, True, whole))
    of_names = (*general, _list(settings.from_words, False, whole))
    if from_our_users(message):
        return None
    for header in message.shown(b"Subject"):
        if finding := _found(general, decoded(header.text).text, "subject"):
            return finding
    for header in message.shown(b"From"):
        if finding := _found(of_names, decoded(name_in(header.text)).text, "author"):
            return finding
    return None


def _found(lists: tuple[WordList, ...], text: str, where: str) -> Finding | None:
    shown = as_shown(text)
    word = next((word for one in lists if (word := one.find(shown))), "")
    return Finding(where=where, word=from_wire(word), text=from_wire(shown, 200)) if word else None


def concluded(
    finding: Finding, connection: Connection, message: Message | None, verdict: Verdict, services: Services
) -> None:
    """Ban domains made for one wave of spam before the next, if [bans] asks for that. Raises StoreError."""
    settings = services.settings[BanSettings]
    if not settings.throwaway or services.store is None or message is None or finding.where != "author":
        return
    spf, known = message.findings.get(SpfFinding), message.findings.get(ReputationFinding)
    if spf is None or spf.mailfrom is None or spf.mailfrom.result is not Result.PASS:
        return
    if verdict.action is Action.REJECT and known is not None and known.confidence == 0:
        reason = f"{finding.word!r} in an author's name"
        ban_sender(
            services.store, settings, spf.mailfrom.domain, message.mail_from, NAME, services.clock(), reason=reason
        )


def decide(finding: Finding, findings: Findings, settings: Settings, policy: AccessMap | AccessTable) -> Verdict:
    where = "subject" if finding.where == "subject" else "author's name"
    verdict = verdict_for(
        settings.answer, _REFUSAL.format(where=where), f"{finding.word!r} in the {where}: {finding.text}"
    )
    # A subject may match by accident, but nobody is called Detox.
    offends = finding.where == "author" and settings.answer is not Remedy.IGNORE
    return verdict._replace(demerits=1) if offends else verdict


def points(finding: Finding, findings: Findings, settings: Settings) -> tuple[Hit, ...]:
    told = f'"{finding.word}" stands in "{finding.text}".'
    return (Hit("SUBJECT_WORD", told),) if finding.where == "subject" else (Hit("FROM_WORD", told),)
