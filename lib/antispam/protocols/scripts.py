"""The scripts of a text."""

from __future__ import annotations

import functools
import unicodedata
from collections import Counter

# First words of Unicode letter names that are not the name of a script.
_OF_PREFIX = {"CJK": "han", "KANGXI": "han", "IDEOGRAPHIC": "han", "MODIFIER": "", "KATAKANA-HIRAGANA": "katakana"}

SCRIPTS = frozenset(
    (
        *("arabic", "armenian", "bengali", "bopomofo", "cyrillic", "devanagari", "ethiopic", "georgian", "greek"),
        *("gujarati", "gurmukhi", "han", "hangul", "hebrew", "hiragana", "kannada", "katakana", "khmer", "lao"),
        *("latin", "malayalam", "mongolian", "myanmar", "sinhala", "syriac", "tamil", "telugu", "thaana", "thai"),
        "tibetan",
    )
)
# Scripts with letters that look like Latin ones.
_LOOKALIKE = frozenset({"cyrillic", "greek", "armenian"})


@functools.lru_cache(maxsize=8192)
def script_of(letter: str) -> str:
    """The script of a letter; "" if it has none or an unknown one."""
    first = unicodedata.name(letter, "").partition(" ")[0]
    return _OF_PREFIX.get(first, first.lower())


def letters_by_script(text: str) -> Counter[str]:
    """The number of letters of each script in a text (NFKC)."""
    return Counter(script for script in map(script_of, filter(str.isalpha, text)) if script)


def mixed_word(text: str) -> str:
    """The first word that mixes Latin letters with look-alikes of another script, such as `pаypal` with a Cyrillic a;
    "" for none.
    """
    if text.isascii():
        return ""
    word: list[str] = []
    scripts: set[str] = set()
    for char in f"{text} ":
        if char.isalpha():
            word.append(char)
            scripts.add(script_of(char))
            continue
        if "latin" in scripts and not scripts.isdisjoint(_LOOKALIKE):
            return "".join(word)
        word.clear()
        scripts.clear()
    return ""
