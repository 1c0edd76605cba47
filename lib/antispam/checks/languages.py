"""Unwanted scripts and charsets in the subject or the author's name."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import _charsets
from antispam.journey.services import Services
from antispam.mail import findings as base
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.authors import from_our_users, name_in
from antispam.mail.connection import Connection
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.remedies import Remedy, remedy_option, verdict_for
from antispam.mail.score import Hit
from antispam.mail.verdicts import CONTINUE, Verdict
from antispam.protocols.encoded_words import decoded
from antispam.protocols.scripts import SCRIPTS, letters_by_script, mixed_word
from antispam.protocols.word_lists import as_shown
from antispam.settings import CheckSettings, option, section
from antispam.text import from_wire

NAME = "languages"
OTHERWISE = (
    "`[languages] block_scripts`, `block_charsets` and `share` say what is not accepted; `answer` says what "
    "that leads to."
)

# The scripts and charsets that block_chinese stands for.
_ASIAN_SCRIPTS = ("han", "hangul", "hiragana", "katakana", "bopomofo")
_ASIAN_CHARSETS = (
    "big5", "big5-hkscs", "cp950", "gb2312", "gbk", "gb18030", "hz-gb-2312", "iso-2022-cn", "iso-2022-jp", "euc-jp",
    "shift_jis", "iso-2022-kr", "euc-kr", "ks_c_5601-1987", "cp949",
)  # fmt: skip


def _scripts(names: tuple[str, ...]) -> None:
    for name in names:
        if name.lower() not in SCRIPTS:
            raise ValueError(f"{name!r} is not a known script: {', '.join(sorted(SCRIPTS))}")


def _percent(value: int) -> None:
    if not 1 <= value <= 100:
        raise ValueError("expected 1 to 100")


@section("languages")
class Settings(CheckSettings):
    """[languages]: unwanted scripts and charsets."""

    block_chinese: bool = option(
        False, "Chinese, Japanese and Korean, in any charset; block_scripts is more precise", section="defang"
    )
    block_scripts: tuple[str, ...] = option((), "scripts such as han, hangul, cyrillic, arabic", check=_scripts)
    block_charsets: tuple[str, ...] = option(
        (), "charsets of encoded words such as gb2312, big5, koi8-r, whatever text they encode"
    )
    share: int = option(
        30,
        "a subject counts as written in these scripts if they make up this percentage of its letters",
        check=_percent,
    )
    answer: Remedy = remedy_option(Remedy.REJECT, "what happens to such mail: ignore, quarantine, tempfail or reject")
    lookalikes: Remedy = remedy_option(
        Remedy.IGNORE,
        "the same for mail with a word that mixes Latin letters with look-alikes from other alphabets (Cyrillic, Greek)",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding(base.Finding):
    """The scripts of a subject, or of the author's name if the subject has no letters.

    share    percent of its letters in blocked scripts
    charset  a blocked charset named by an encoded word in the subject or the author's name
    mixed    a word that mixes look-alike letters of different scripts
    """

    check: ClassVar[str] = NAME
    text: str = ""
    scripts: tuple[str, ...] = ()
    share: int = 0
    charset: str = ""
    mixed: str = ""


def applies(settings: Settings) -> bool:
    blocked = settings.block_chinese or settings.block_scripts or settings.block_charsets
    return bool(blocked) or settings.lookalikes is not Remedy.IGNORE


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> Finding | None:
    """None without a fault. The worst of several subjects counts: any of them may be displayed."""
    assert message is not None
    settings = services.settings[Settings]
    scripts, charsets = _blocked(settings)
    if from_our_users(message):
        return None
    fields = [decoded(header.text) for header in message.shown(b"Subject")]
    names = [decoded(name_in(header.text)) for header in message.shown(b"From")]
    texts = [shown for field in fields if any(map(str.isalpha, shown := as_shown(field.text)))] or [
        as_shown(name.text) for name in names
    ]
    charset = next((one for field in (*fields, *names) for one in field.charsets if _charset(one) in charsets), "")
    measured = [(_share(text, scripts), text) for text in texts]
    (share, found), text = max(measured, default=((0, ()), ""))
    mixed = next((word for word in map(mixed_word, texts) if word), "")
    if not share and not charset and not mixed:
        return None
    return Finding(
        text=from_wire(text, 200), scripts=found, share=share, charset=from_wire(charset), mixed=from_wire(mixed, 100)
    )


def _blocked(settings: Settings) -> tuple[frozenset[str], frozenset[str]]:
    scripts = [name.lower() for name in settings.block_scripts]
    charsets = list(settings.block_charsets)
    if settings.block_chinese:
        scripts += _ASIAN_SCRIPTS
        charsets += _ASIAN_CHARSETS
    return frozenset(scripts), frozenset(map(_charset, charsets))


def _charset(name: str) -> str:
    """The canonical name of a charset."""
    return _charsets.known(name) or name.lower()


def _share(text: str, scripts: frozenset[str]) -> tuple[int, tuple[str, ...]]:
    """The percentage of letters in these scripts, rounded up, and the scripts found."""
    if text.isascii() and "latin" not in scripts:
        return 0, ()
    letters = letters_by_script(text)
    found = tuple(sorted(scripts.intersection(letters)))
    if not found:
        return 0, ()
    return -(-100 * sum(letters[script] for script in found) // sum(letters.values())), found


def decide(finding: Finding, findings: Findings, settings: Settings, policy: AccessMap | AccessTable) -> Verdict:
    if finding.charset:
        text = f"Mail with a subject or sender name in character set {finding.charset} is not accepted here."
        return verdict_for(settings.answer, text, f"charset {finding.charset}: {finding.text}")
    if finding.share >= settings.share:
        names = ", ".join(finding.scripts)
        text = f"Mail with a subject in this script is not accepted here: {names}."
        return verdict_for(settings.answer, text, f"{finding.share} % {names}: {finding.text}")
    if finding.mixed and settings.lookalikes is not Remedy.IGNORE:
        text = "The subject or author of the message has a word that mixes look-alike letters from different alphabets."
        return verdict_for(settings.lookalikes, text, f"mixed scripts in {finding.mixed!r}: {finding.text}")
    return CONTINUE


def points(finding: Finding, findings: Findings, settings: Settings) -> tuple[Hit, ...]:
    """Words of mixed alphabets are a test of checks/content_signs.py, whatever the remedy here."""
    if not finding.charset and finding.share < settings.share:
        return ()
    what = f"charset {finding.charset}" if finding.charset else f"{finding.share} % {', '.join(finding.scripts)}"
    return (Hit("UNREADABLE_SCRIPT", f'"{finding.text}": {what}.'),)
