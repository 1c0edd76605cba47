"""The words of a text in a form for comparison: lower case, without accents and apostrophes, and in a common alphabet."""

from __future__ import annotations

import itertools
import re
import unicodedata

try:
    from dspam import _cutting
except ImportError:  # see dspam.features
    _cutting = None  # type: ignore[assignment]

# Cyrillic and Greek letters that look like Latin ones.
_ALIKE = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0445\u0443\u0456\u0458\u0455\u0501\u04bb\u04cf\u043a\u043c\u0442"
    "\u03b1\u03bf\u03b5\u03c1\u03bd\u03b9\u03ba\u03c4\u03c5\u03c7",
    "aeopcxyijsdhlkmtaoepviktux",
)
_TOKEN = re.compile(r"[^\W_]+|[%$€£#&+]")
MAX_WORDS = 8_000  # of a text
ASCII_MARKS = "%$#&+"
ASCII_APOSTROPHES = "'`"
# Apostrophes are removed, and characters outside words separate them.
_ASCII_LETTERS = {
    code: None if chr(code) in ASCII_APOSTROPHES else " "
    for code in range(128)
    if not chr(code).isalnum() and chr(code) not in ASCII_MARKS
}
_APOSTROPHES = re.compile("['\u2019\u2018\u02bc\u00b4`]")
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]"
)


def folded(text: str) -> str:
    """The text in lower case without accents, with letters of other designs (mathematical, full width) as plain ones."""
    if text.isascii():
        return text.lower()
    text = unicodedata.normalize("NFKD", _INVISIBLE.sub("", text)).casefold()
    return "".join(itertools.filterfalse(unicodedata.combining, text))


def words_of(text: str, limit: int = MAX_WORDS) -> tuple[str, ...]:
    """The first `limit` words of a text; currency signs, %, # and & are words."""
    if text.isascii():
        return tuple(_cut_compiled(text, limit) if _cutting else _cut(text)[:limit])
    found = _TOKEN.findall(_APOSTROPHES.sub("", folded(text)))[:limit]
    return tuple([word if word.isascii() else word.translate(_ALIKE) for word in found])


def _cut_compiled(text: str, limit: int) -> list[str]:
    """The same as _cut(), by _matching.c."""
    return _cutting.words(text, ASCII_MARKS, ASCII_APOSTROPHES, limit)


def _cut(text: str) -> list[str]:
    """The matches of _TOKEN in an ASCII text, in a third of the time."""
    for mark in ASCII_MARKS:
        text = text.replace(mark, f" {mark} ")
    return text.lower().translate(_ASCII_LETTERS).split()
