"""Text as a reader sees it: look-alike letters are unified, and invisible characters are removed.

Unicode has many ways to write one letter (RFC 8264 and UTS 39 tell of the harm), characters that show nothing, and scripts that
put no space between words.  All of this is undone here, so that a word counts as the same word however it was written.

Python's own tables of Unicode are used.  Those of its versions differ in characters that came after Unicode 14 (2021), and only
there.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise

# Characters without a picture (Unicode: Default_Ignorable_Code_Point, and the tag characters).
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]+"
)
_MAX_TOLD = 8
_REVERSED = re.compile("[\u202e\u2067]([^\u202c\u2069\n]{0,2000})[\u202c\u2069]?")
# Letters in circles, squares and brackets that NFKC leaves as they are or puts brackets around.
_ENCLOSED = re.compile(
    "[\u249c-\u24b5\U0001f110-\U0001f129\U0001f150-\U0001f169\U0001f170-\U0001f189\U0001f1e6-\U0001f1ff]"
)
_ENCLOSED_FROM = (0x1F1E6, 0x1F170, 0x1F150, 0x1F110, 0x249C)
_FIRST_ENCLOSED = chr(_ENCLOSED_FROM[-1])
# Signs that stand for a letter beside other letters.
_LETTER_SIGNS = dict(
    zip(
        "€£¥¢©®§†℮∂∑√∩∪⋃∨⋁×°¡⍺⍳⍴∣⏽│⊤⟙╳⨯∅○●◯∆◊",
        "elyccrstedevnuuvvxoiaiplllttxxooooao",
        strict=True,
    )
)
_LETTER_SIGN = re.compile(
    "(?<=[^\\W\\d_])[{}](?=[^\\W\\d_])|(?<!\\w)[€£¥∂∑†√∆⍺⍳⍴][^\\W\\d_]".format("".join(map(re.escape, _LETTER_SIGNS)))
)
_MARKS_BEHIND = re.compile("[™℠®©]")  # they follow a word but are not part of it
# Scripts without spaces between words: Thai, Lao, Myanmar, Khmer, Chinese, Japanese. The second string is of their marks.
_UNSPACED = (
    "\u0e01-\u0e30\u0e32\u0e33\u0e40-\u0e46\u0e81-\u0eb0\u0eb2\u0eb3\u0ebd\u0ec0-\u0ec6\u1000-\u102a\u1780-\u17b3\u2e80-\u2fd5"
    "\u3005-\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\u3400-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
_MARKS = "\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ece\u102b-\u103e\u17b6-\u17d3\u3099\u309a\u302a-\u302d"
_UNIT = f"[{_UNSPACED}][{_MARKS}]*+"
_RUN = re.compile(f"(?:{_UNIT})++")
_UNITS = re.compile(_UNIT)
_SPELLED = re.compile(f"(?<![{_UNSPACED}{_MARKS}])(?:{_UNIT}[ \x01.,*_|/+~^-]{{1,2}})+{_UNIT}(?![{_UNSPACED}])")
_SEPARATORS = re.compile("[ \x01.,*_|/+~^-]")
_FOREIGN = re.compile("[^\x00-\x7f]+")
# Written so that the search for it skips what does not begin with \x01.
_BETWEEN_LETTERS = re.compile("\x01(?<=[^\\W\\d_]\x01)(?:[^\x00-\x7f]\x02)?(?=[^\\W\\d_])")
_QUOTES_AND_DASHES = {
    0x2018: "'",
    0x2019: "'",
    0x02BC: "'",
    0x2032: "'",
    0x2010: "-",
    0x2011: "-",
    0x2043: "-",
    0x2212: "-",
}


class _Signs(dict[int, str]):
    """What is written for a character behind ASCII: letters stay, digits become ASCII, what separates becomes \\x01, and other
    signs stand between \\x01 and \\x02. Filled as characters come."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        category = unicodedata.category(char)
        if category[0] in "LM":
            said = char
        elif category == "Nd":
            said = str(unicodedata.decimal(char))
        elif category[0] in "PZ" or category in ("Cc", "Cf"):
            said = "\x01"
        else:
            said = f"\x01{char}\x02"
        if len(self) < 20_000:
            self[code] = said
        return said


_SIGNS = _Signs(_QUOTES_AND_DASHES)


def _foreign(text: str) -> set[str]:
    """The characters behind ASCII. To look through these is quicker than through a text that is nearly all ASCII."""
    return set("".join(_FOREIGN.findall(text)))


def without_invisible(text: str) -> tuple[str, list[bytes]]:
    """The text without what nobody sees, and facts: which characters these were, and whether they stood within words."""
    if not _INVISIBLE.search("".join(_foreign(text))):
        return text, []
    if "\u202e" in text or "\u2067" in text:
        text = _REVERSED.sub(lambda found: found[1][::-1] if found[0][0] == "\u202e" else found[0], text)
    facts: dict[bytes, None] = {}
    for found in _INVISIBLE.finditer(text):
        if len(facts) >= _MAX_TOLD:
            break
        before, after = text[found.start() - 1 : found.start()], text[found.end() : found.end() + 1]
        within = before.isascii() and before.isalpha() and after.isascii() and after.isalpha()
        facts[b"invisible %x" % ord(found[0][0])] = None
        if within:
            facts[b"invisible in a word"] = None
    return _INVISIBLE.sub("", text), list(facts)


def signs(text: str) -> list[bytes]:
    """Facts: which typographic signs and pictures a text uses, the first few in the order of Unicode."""
    foreign = sorted(char for char in _foreign(text) if unicodedata.category(char)[0] not in "LMNZ")
    return [b"sign %x" % ord(char) for char in foreign[:_MAX_TOLD]]


def plain(text: str) -> str:
    """The text with its letters folded, its words apart, typography as in ASCII.

    ASCII stays as it is, capitals too. What comes back has no character of the categories P, S or Z beyond ASCII,
    except signs that stand alone between spaces. Invisible characters should be gone before.
    """
    if text.isascii():
        return text
    text = text.replace("\x01", " ").replace("\x02", " ")
    foreign = _foreign(text)
    if max(foreign) >= _FIRST_ENCLOSED:
        text = _ENCLOSED.sub(_bare, text)
    if not foreign.isdisjoint(_LETTER_SIGNS):
        text = _LETTER_SIGN.sub(lambda found: _LETTER_SIGNS[found[0][0]] + found[0][1:], text)
    text = _MARKS_BEHIND.sub(" \\g<0> ", text)
    text = _FOREIGN.sub(lambda found: found[0].casefold(), unicodedata.normalize("NFKC", text))
    text = unicodedata.normalize("NFKC", text)
    text = _FOREIGN.sub(lambda found: found[0].translate(_SIGNS), text)
    if _UNITS.search(text):
        text = _SPELLED.sub(lambda found: _SEPARATORS.sub("", found[0]), text)
        text = _RUN.sub(_pairs_of_characters, text)
    text = _BETWEEN_LETTERS.sub("*", text)
    return text.replace("\x01", " ").replace("\x02", " ")


def _bare(found: re.Match[str]) -> str:
    code = ord(found[0])
    first = next(first for first in _ENCLOSED_FROM if code >= first)
    return chr(ord("a") + code - first)


def _pairs_of_characters(found: re.Match[str]) -> str:
    units = _UNITS.findall(found[0])
    if len(units) < 3:
        return f" {found[0]} "
    return f" {' '.join([first + second for first, second in pairwise(units)])} "
