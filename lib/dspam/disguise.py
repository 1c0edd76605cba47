"""What a disguised word means: "vіаgrа" with Cyrillic letters, "v1agra", "v-i-a-g-r-a" and "viaaagra" are one word to a reader.

A word keeps its own spelling as a feature; what is found here is counted beside it.  Only readings in plain ASCII letters are
given. A word of another script that does not imitate Latin letters has none.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import product

# For each Latin letter those that look like it once case is folded (UTS 39, and small capitals, strokes, hooks and tails).
_LOOK_ALIKE = {
    "a": "аαɑᴀᎪᗅꓮⱥɐаⲁ", "b": "вьҍƅβɓƀᏴᏏᗷᑲꓐʙᴃꞵⲃ", "c": "сϲςᴄᏟⲥꓚƈȼɕꞓ", "d": "ԁᏧᎠᑯᗞꓓᴅđɖɗꓒ", "e": "еєҽεɛᴇᎬꓰⲉɇəǝɘ",
    "f": "ƒꓝꜰϝғ", "g": "ԍɡɢᏀᏳꓖɠǥցᶃ", "h": "һнհηᎻᏂʜꓧⲏħɦңҥԧ", "i": "ꓲіıɩɪιӏᎥⲓꙇɨïӀ", "j": "јյϳᎫꓙᴊȷɉʝ", "k": "кκᏦᴋꓗⲕƙқҝҡҟ",
    "l": "ӏוןǀᏞꓡʟłƚɫⳑ", "m": "мᎷꓟᴍⲙɱϻ", "n": "пηոռղɴꓠⲛɲŋƞп", "o": "оοօסᴏⲟꓳøɵөσჿⵔ〇੦ჾ", "p": "рρᏢᴘꓑⲣþƥ", "q": "ԛգզɋ",
    "r": "гᴦᎡꓣʀɍɽɾɹя", "s": "ѕꜱᏕꓢʂȿƨƽѕ", "t": "тτᎢꓔᴛⲧŧƭʈեґ", "u": "υսᴜꓴʋμцʉմ", "v": "νѵᴠᏙꓦʌט", "w": "ѡԝաωᴡᎳꓪшɯ",
    "x": "хχᕁꓫⲭҳ×", "y": "уүγყʏꓬⲩɏƴўч", "z": "ᴢᏃꓜƶȥʐʑɀζ",
}  # fmt: skip
_TWO_LETTERS = {"æ": "ae", "ӕ": "ae", "œ": "oe", "ᴁ": "ae", "ǆ": "dz", "ð": "d", "ʃ": "s", "з": "e"}
# The digits and signs that stand for letters; what can be two letters is tried as both.
_DIGITS = {"0": "o", "1": "il", "3": "e", "4": "a", "5": "s", "7": "t", "8": "b", "9": "g"}
_SIGN_LETTERS = {"@": "a", "!": "i", "|": "il", "+": "t"}
MAX_LENGTH = 24
_MAX_READINGS = 3
# In many fonts a capital I and a small l are one: "paypaI", "VlAGRA".
_CAPITAL_I = re.compile(r"(?<=[a-z])I++(?![A-Z])")
_SMALL_L = re.compile(r"(?<=[A-Z])l(?=[A-Z])")
_STRETCHED = re.compile(r"(.)\1{2,}")
_STRETCHED_ASCII = re.compile(rb"(.)\1{2,}")
_ELISION = re.compile(r"[a-z]+'(?:s|t|d|m|re|ve|ll|em)")
_ELISION_ASCII = re.compile(_ELISION.pattern.encode())


def _meanings() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {char: tuple(letters) for char, letters in _DIGITS.items()}
    for letter, alike in _LOOK_ALIKE.items():
        for char in dict.fromkeys(alike + alike.lower()):
            found[char] = (*found.get(char, ()), *([letter] if letter not in found.get(char, ()) else []))
    found |= {char: (letters,) for char, letters in _TWO_LETTERS.items()}
    return found | {"$": ("s",), "'": ("",), "-": ("",), "_": ("",)}


_MEANINGS = _meanings()
# The same for words in ASCII, which most are; "1" alone has two meanings there.
_SMALL, _NUMERALS = b"abcdefghijklmnopqrstuvwxyz", b"0123456789"
_IN_ASCII = {char: meanings[0] for char, meanings in _MEANINGS.items() if char.isascii()}
_SILENT = "".join(char for char, letter in _IN_ASCII.items() if not letter).encode()
_READABLE = _SMALL + "".join(_IN_ASCII).encode()
_AS_LETTERS = bytes(ord(_IN_ASCII.get(chr(code)) or chr(code)) for code in range(256))


@lru_cache(maxsize=8192)
def readings(word: bytes) -> tuple[bytes, ...]:
    """The plain words, in small letters, that a word (UTF-8) may be read as, the likeliest first; without the word itself."""
    if len(word) > 2 * MAX_LENGTH:
        return ()
    small = word.lower()
    return tuple([one for one in _readings(word.decode("utf-8", "replace")) if one != small])


def _readings(word: str) -> tuple[bytes, ...]:
    if ("I" in word or "l" in word) and not word.islower():
        word = _SMALL_L.sub("i", _CAPITAL_I.sub(lambda found: "l" * len(found[0]), word))
    word = word.lower()
    if word.isascii():
        return _readings_in_ascii(word.encode())
    word = "".join([char for char in unicodedata.normalize("NFD", word) if not unicodedata.combining(char)])
    digits = sum(map(str.isdecimal, word))
    letters = sum(map(str.isalpha, word))
    if letters < 2 or digits > letters or len(word) > MAX_LENGTH or _ELISION.fullmatch(word):
        return ()
    options: list[tuple[str, ...]] = []
    for char in word:
        meanings = (char,) if "a" <= char <= "z" else _MEANINGS.get(char)
        if meanings is None:
            return ()
        options.append(meanings)
    found: dict[str, None] = {}
    for letters_read in _combinations(options):
        spelt = "".join(letters_read)
        if _STRETCHED.search(spelt):
            found[_STRETCHED.sub(r"\1", spelt)] = None
            found[_STRETCHED.sub(r"\1\1", spelt)] = None
        else:
            found[spelt] = None
    return tuple([one.encode() for one in found if len(one) > 1][:_MAX_READINGS])


def _readings_in_ascii(word: bytes) -> tuple[bytes, ...]:
    """The same as _readings() for a lower-case ASCII word, in a third of the time."""
    letters, digits = (len(word) - len(word.translate(None, kind)) for kind in (_SMALL, _NUMERALS))
    if letters < 2 or digits > letters or len(word) > MAX_LENGTH or word.translate(None, _READABLE):
        return ()
    if b"'" in word and _ELISION_ASCII.fullmatch(word):
        return ()
    ambiguous = [word]
    if (ones := word.count(b"1")) > 0:
        ambiguous = [word, word.replace(b"1", b"l")]
        if ones == 2:
            ambiguous += [word.replace(b"1", b"i", 1).replace(b"1", b"l"), word.replace(b"1", b"l", 1)]
    found: dict[bytes, None] = {}
    for one in ambiguous:
        spelt = one.translate(_AS_LETTERS, _SILENT)
        if _STRETCHED_ASCII.search(spelt):
            found[_STRETCHED_ASCII.sub(rb"\1", spelt)] = None
            found[_STRETCHED_ASCII.sub(rb"\1\1", spelt)] = None
        else:
            found[spelt] = None
    return tuple([one for one in found if len(one) > 1][:_MAX_READINGS])


def _combinations(options: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """All ways to read, first those that read a sign alike wherever it stands; only these where there are too many."""
    alike = [tuple(one[0] for one in options), tuple(one[-1] for one in options)]
    return [*alike, *product(*options)] if sum(len(one) > 1 for one in options) <= 2 else alike


@lru_cache(maxsize=8192)
def joined(chain: bytes, sign: bytes) -> tuple[bytes, ...]:
    """The words that pieces with the same sign (or space) between them may be read as: "v.i.a.g.r.a", "c@sh"."""
    text = chain.decode("utf-8", "replace")
    separator = sign.decode("latin-1")
    found: dict[bytes, None] = {}
    letters = _SIGN_LETTERS.get(separator, "")
    for letter in letters if separator == "@" else (*letters, ""):
        word = text.replace(separator, letter)
        if 2 < len(word) <= MAX_LENGTH and any(map(str.isalpha, word)):
            plain = _readings(word)
            found.update(dict.fromkeys(plain or (word.encode("utf-8", "replace"),)))
    return tuple(found)[: 2 * _MAX_READINGS]
