"""Signs in the visible text, the hidden text and the attachments of a message."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from antispam.protocols.scripts import mixed_word
from antispam.protocols.signs import phrases
from antispam.protocols.signs.sign import Sign, shown
from dspam.reading import Document
from dspam.sight import Sight

MAX_READ = 20_000  # characters of a text
_FEW_LETTERS = 120
_FEW_TO_JUDGE = 60
# UTF-8 octets that count as one letter: ASCII letters, and the first octet of any other character.
_CAPITALS = bytes(range(65, 91))
_LETTERS = _CAPITALS + bytes(range(97, 123)) + bytes(range(0xC3, 0xF5))
_LOOKED_AT = 5_000  # characters of a text that are examined singly
_MANY_HIDDEN = 600  # characters; the hidden preheader of an honest newsletter is shorter
_BITCOIN = re.compile(r"(?<![A-Za-z0-9])(?:bc1[ac-hj-np-z02-9]{11,71}|[13][1-9A-HJ-NP-Za-km-z]{25,34})(?![A-Za-z0-9])")
_PASSWORD = re.compile(
    r"\b(?:pass(?:word|code|phrase)?|pwd|pw|passwort|kennwort|mot de passe|contrase\S{1,2}a|clave|senha|wachtwoord|has\S{1,2}o"
    r"|archive code)"
    r"\s{0,3}(?:is|ist|est|es|for\b.{0,30})?\s{0,3}[:=-]?\s{0,3}[\"']?([A-Za-z0-9!@#$%_.-]{3,30})",
    re.IGNORECASE,
)
_ARCHIVES = (".zip", ".rar", ".7z", ".ace", ".arj", ".cab", ".gz", ".iso", ".img", ".r00", ".tar", ".xz", ".lzh", ".z")
_PAGES = (".htm", ".html", ".shtml", ".xhtml", ".svg", ".mht", ".mhtml", ".hta")
# Mathematical and similar alphabets, in which nobody writes prose.
_DRAWN = re.compile("[\U0001d400-\U0001d7ff\u24b6-\u24e9\uff21-\uff3a\uff41-\uff5a\U0001f130-\U0001f189]")
_WITHIN = re.compile(
    "(?<=[A-Za-z])[\u00ad\u034f\u061c\u180e\u200b\u200c\u200d\u2060-\u2064\ufeff\u07bf-\u07ff\u0300-\u036f]+(?=[A-Za-z])"
)
# Invisible characters that neither hyphenate, nor join pictures, nor fill preheaders.
_NEVER_HONEST = frozenset(b"invisible %x" % code for code in (0x180E, 0x200B, *range(0x2060, 0x2065), 0xFEFF))
_TONES = frozenset({"SELLING", "RETAIL", "URGENCY"})  # the tone of a text, not its subject
_ONE, _SEVERAL, _MANY = (
    0.2,
    0.65,
    4,
)  # shares of the points for one phrase and for several; the number that counts all
_SOFT = "\u00ad"
# The test text for spam filters (https://spamassassin.apache.org/gtube/).
GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"


def signs(document: Document, subject: str, name: str) -> Iterator[Sign]:
    """The signs of a message; its subject and the author's name are passed decoded."""
    sight = document.sight
    texts = [text.decode("utf-8", "replace")[:MAX_READ] for text in sight.texts[:10]]
    yield from _of_markup(document, sight, texts)
    yield from _of_letters(subject, name, document, texts)
    yield from _of_tone(sight)
    yield from _of_pieces(sight, texts)
    found = phrases.shipped().found_in_text(f"{name} . {subject} . " + " . ".join(texts))
    kinds = [one for one in found if one.family not in _TONES]
    plainest = max(kinds, key=lambda one: one.number, default=None)
    for one in found:
        yield _counted(one, hint=one.family not in _TONES and one is not plainest)
    text = " ".join(texts)
    if GTUBE in text:
        yield Sign("GTUBE", "it has the text for trying spam filters (GTUBE)")
    extortion = next((one for one in found if one.family == "EXTORTION"), None)
    if extortion and extortion.number > 1 and (coin := _BITCOIN.search(text)):
        yield Sign(
            "BITCOIN_THREAT", f"it asks for bitcoin at {shown(coin[0])} and threatens: {shown(extortion.said[0])}"
        )


def _counted(one: phrases.Found, hint: bool) -> Sign:
    """The sign of a family of phrases. One phrase is a hint, several prove a message of that kind. A message is of one
    kind, so the other families count only as hints.
    """
    share = _ONE if hint or one.number == 1 else _SEVERAL if one.number < _MANY else 1.0
    said = "; ".join(shown(text, 60) for text in one.said)
    many = "a phrase" if one.number == 1 else f"{one.number} phrases"
    return Sign(f"FRAUD_{one.family}", f"it has {many} of this kind: {said}", share)


def _of_markup(document: Document, sight: Sight, texts: list[str]) -> Iterator[Sign]:
    if sight.severed > 1:
        yield Sign("HTML_SEVERED_WORDS", f"hidden text stands within {sight.severed} words in sight")
    if not sight.html:
        return
    seen, hidden = sum(map(len, texts)), sum(map(len, sight.hidden))
    letters = sum(len(text) - len(text.translate(None, _LETTERS)) for text in sight.texts)
    followed = sum(element in (b"a", b"area") for element, _ in sight.links)
    if sight.images and followed and letters < _FEW_LETTERS:
        yield Sign("HTML_IMAGE_ONLY", f"{sight.images} images and {letters} letters of text, with a link")
    kinds = {fact[5:] for fact in document.structure if fact.startswith(b"text ")}
    if not any(fact.startswith(b"text/plain") for fact in kinds) and b"parts text/html" in document.structure:
        yield Sign("MIME_HTML_ONLY", "it is HTML without a text beside it")
    if hidden > max(_MANY_HIDDEN, 2 * seen):
        yield Sign("HTML_HIDDEN_TEXT", f"{hidden} characters are hidden, and {seen} are in sight")
    unread = next((text for place, text in document.texts if place == b"unread"), b"")
    if len(unread) > 100:
        yield Sign("TEXT_NOT_AS_HTML", f"the plain text says something else than the HTML: {shown(unread[:60])}")


def _of_letters(subject: str, name: str, document: Document, texts: list[str]) -> Iterator[Sign]:
    for where, text in (("subject", subject), ("author's name", name)):
        if text.isascii():
            continue
        drawn = len(_DRAWN.findall(text))
        if drawn > 3:
            yield Sign(
                "FANCY_LETTERS",
                f"the {where} is written in letters of mathematics: {shown(unicodedata.normalize('NFKC', text))}",
            )
        if word := mixed_word(unicodedata.normalize("NFKC", text)):
            yield Sign("LOOKALIKE_WORD", f"the {where} has a word in mixed alphabets: {shown(word)}")
        if len(found := [one for one in _WITHIN.findall(unicodedata.normalize("NFC", text)) if one != _SOFT]) > 1:
            yield Sign(
                "HIDDEN_IN_WORDS", f"{len(found)} words of the {where} have characters in them that show nothing"
            )
    foreign = (word for text in texts if not text.isascii() for word in text[:_LOOKED_AT].split() if not word.isascii())
    mixed = sum(bool(mixed_word(word)) for word in foreign)
    if mixed > 2:
        yield Sign("BODY_LOOKALIKES", f"{mixed} words of the text mix alphabets that look alike")
    if b"invisible in a word" in document.structure and not _NEVER_HONEST.isdisjoint(document.structure):
        yield Sign("BODY_HIDDEN_IN_WORDS", "words of the text have characters in them that show nothing")


def _of_tone(sight: Sight) -> Iterator[Sign]:
    text = b" ".join(sight.texts)[:MAX_READ]
    letters = len(text) - len(text.translate(None, _LETTERS))
    if letters < _FEW_TO_JUDGE:
        return
    loud = text.count(b"!") + text.count("\uff01".encode())
    if loud > 3 and loud * 150 > letters:
        yield Sign("BODY_SHOUTS", f"{loud} exclamation marks in {letters} letters")
    capitals = len(text) - len(text.translate(None, _CAPITALS))
    if letters > 200 and capitals > 0.4 * letters:
        yield Sign("BODY_CAPITALS", f"{100 * capitals // letters} of 100 letters are capitals")


def _of_pieces(sight: Sight, texts: list[str]) -> Iterator[Sign]:
    for piece in sight.pieces:
        names = [name.lower() for name in piece.names]
        if any(name.endswith(_ARCHIVES) for name in names) and _is_encrypted(piece.beginning):
            password = next((found for text in texts if (found := _PASSWORD.search(text))), None)
            if password:
                yield Sign(
                    "ARCHIVE_PASSWORD",
                    f"{shown(names[0])} is encrypted, and the text has the password: {shown(password[0], 40)}",
                )
                return
    for piece in sight.pieces:
        for name in piece.names:
            if name.lower().endswith(_PAGES):
                yield Sign("PAGE_ATTACHED", f"a page of HTML is attached as a file: {shown(name)}")
                return


def _is_encrypted(beginning: bytes) -> bool:
    """Whether the beginning of an archive says that it is encrypted: ZIP (APPNOTE 4.4.4, bit 0), RAR 4, RAR 5."""
    if beginning.startswith(b"PK\x03\x04"):
        return len(beginning) > 6 and bool(beginning[6] & 1)
    if beginning.startswith(b"Rar!\x1a\x07\x00"):
        return len(beginning) > 11 and bool(beginning[10] & 0x80) | bool(len(beginning) > 24 and beginning[23] & 4)
    return beginning.startswith(b"Rar!\x1a\x07\x01\x00") and len(beginning) > 13 and beginning[13] == 4
