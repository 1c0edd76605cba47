"""Lists of words and phrases to find in a line of hostile text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

MAX_TEXT = 2000  # characters of a field; nobody sees more of a subject
MAX_WORD = 200

_SPACES = re.compile(r"\s+")


def phrases(text: str) -> tuple[str, ...]:
    """A reader of settings: phrases separated by commas or new lines; `file:PATH` names a file of them, UTF-8 or else Latin-1.
    Raises ValueError for a file that can't be read, and for a phrase that is too long."""
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
    """The text as a reader sees it: compatibility forms (full-width and mathematical letters) as plain ones, accents composed,
    without characters that are not shown, blanks as one."""
    plain = unicodedata.normalize("NFKC", text[:MAX_TEXT])
    if not plain.isascii():
        plain = "".join(char for char in plain if unicodedata.category(char) != "Cf")
    return _SPACES.sub(" ", plain).strip()[: 2 * MAX_TEXT]


class WordList:
    """Phrases to be found. They are compared letter by letter, `*` and all: there are no patterns, so that nothing in a
    list can take long. It takes the text's length times the number of different lengths of phrases.

    fold   capital and small letters are the same
    whole  only where no letter or digit stands before or after
    """

    def __init__(self, phrases: Iterable[str], *, fold: bool = False, whole: bool = False) -> None:
        self._fold = fold
        self._whole = whole
        by_length: dict[int, dict[str, str]] = {}
        for phrase in phrases:
            form = self._form(as_shown(phrase))
            if len(form) > 1:  # one letter is in every subject
                by_length.setdefault(len(form), {})[form] = phrase
        self._by_length = sorted(by_length.items())

    def _form(self, text: str) -> str:
        return text.casefold() if self._fold else text

    def __bool__(self) -> bool:
        return bool(self._by_length)

    def find(self, shown: str) -> str:
        """A phrase of the list that the text (as_shown) has, "" for none."""
        text = self._form(shown)
        for length, phrases in self._by_length:
            for start in range(len(text) - length + 1):
                phrase = phrases.get(text[start : start + length])
                if phrase is not None and not (self._whole and _cut(text, start, start + length)):
                    return phrase
        return ""


def _cut(text: str, start: int, end: int) -> bool:
    """Whether a word goes on before or after."""
    before = start > 0 and text[start - 1].isalnum() and text[start].isalnum()
    after = end < len(text) and text[end].isalnum() and text[end - 1].isalnum()
    return before or after
