"""Lists of words and phrases, searched for in a line of hostile text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

MAX_TEXT = 2000  # characters of a field; no program shows more of a subject
MAX_WORD = 200

_SPACES = re.compile(r"\s+")


def phrases(text: str) -> tuple[str, ...]:
    """Read a setting: phrases separated by commas or new lines. `file:PATH` names a file of phrases, in UTF-8 or else
    Latin-1. Raises ValueError for an unreadable file or an over-long phrase.
    """
    found: list[str] = []
    for item in re.split(r"[,\n]", text):
        part = item.strip()
        found += _in_file(Path(part[5:].strip())) if part.startswith("file:") else [part]
    if any(len(phrase) > MAX_WORD for phrase in found):
        raise ValueError(f"a phrase has at most {MAX_WORD} characters")
    return tuple(phrase for phrase in found if phrase)


def _in_file(path: Path) -> list[str]:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return [part.strip() for line in lines for part in line.split(",")]


def as_shown(text: str) -> str:
    """The text as a reader sees it: compatibility forms (full-width and mathematical letters) as plain letters, accents
    composed, invisible characters removed, runs of blanks as one.
    """
    plain = unicodedata.normalize("NFKC", text[:MAX_TEXT])
    if not plain.isascii():
        plain = "".join(char for char in plain if unicodedata.category(char) != "Cf")
    return _SPACES.sub(" ", plain).strip()[: 2 * MAX_TEXT]


class WordList:
    """A list of phrases to find. They are compared literally, including `*`: there are no patterns, so no entry can
    take long. The time is the text's length times the number of different phrase lengths.

    fold   ignore case
    whole  match only if no letter or digit precedes or follows
    """

    def __init__(self, phrases: Iterable[str], *, fold: bool = False, whole: bool = False) -> None:
        self._fold = fold
        self._whole = whole
        by_length: dict[int, dict[str, str]] = {}
        for phrase in phrases:
            form = self._form(as_shown(phrase))
            if len(form) > 1:  # every subject contains single letters
                by_length.setdefault(len(form), {})[form] = phrase
        self._by_length = sorted(by_length.items())

    def _form(self, text: str) -> str:
        return text.casefold() if self._fold else text

    def __bool__(self) -> bool:
        return bool(self._by_length)

    def find(self, shown: str) -> str:
        """A phrase of the list that occurs in the text (of as_shown()); "" for none."""
        text = self._form(shown)
        for length, phrases in self._by_length:
            for start in range(len(text) - length + 1):
                phrase = phrases.get(text[start : start + length])
                if phrase is not None and not (self._whole and _cut(text, start, start + length)):
                    return phrase
        return ""


def _cut(text: str, start: int, end: int) -> bool:
    """Whether a word continues before or after."""
    before = start > 0 and text[start - 1].isalnum() and text[start].isalnum()
    after = end < len(text) and text[end].isalnum() and text[end - 1].isalnum()
    return before or after
