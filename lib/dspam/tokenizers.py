"""From a message to tokens: WORD, CHAIN, SBPH and OSB.

    WORD   free, viagra                                    Graham, "A Plan for Spam" (2002)
    CHAIN  and free+viagra                                 Zdziarski, chained tokens; pairs of neighbours
    SBPH   every sparse phrase of up to five words that    Yerazunis, "Sparse Binary Polynomial Hashing and the
           ends here: the+quick+#+fox+jumped               CRM114 Discriminator" (2003); 16 tokens a word
    OSB    its pairs only: the+#+#+fox                     Siefkes, Assis, Chhabra, Yerazunis, "Combining Winnow and
                                                           Orthogonal Sparse Bigrams" (2004); 4 tokens a word

A word of a header field carries the field's name ("Subject*free", and "Url*" for one in a link): it means something else
there than in a body.  Everything is pure; nothing raises on any content; `Limits` bounds time and memory.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import chain as chain_of
from typing import Final, NamedTuple

import _charsets
import _mimetree

from .constants import DSZ_CHAIN, DSZ_OSB, DSZ_SBPH, DSZ_WORD
from .markup import clean_html

WINDOW: Final = 5
"""Words that SBPH and OSB look at (SBPH_SIZE of libdspam, and the papers' choice)."""
GAP: Final = "#"

# What ends a word.  "!", "'", "$" and "%" belong to words, "." and "-" to those of a header (Graham 2003: in
# "Better Bayesian Filtering" he keeps host names, addresses and prices whole).
_BODY_WORD = re.compile(r"[^\s.,;:\"/\\\[\]}{=+_()<>|&@\-*~`?\x00-\x1f]{1,255}")
_HEADER_WORD = re.compile(r"[^\s,;:\"/\\\[\]}{=+()<>|&@*~`?\x00-\x1f]{1,255}")
_URL = re.compile(r"\bhttps?://([^\s\"'<>]{1,512})", re.IGNORECASE)
_SHOUTS = re.compile(r"!{2,}")
_LONGEST_WORD = 40

# What a filter wrote itself must not teach it, nor what it wrote at another site.
_OWN_FIELDS = frozenset({"x-spam-flag", "x-spam-level", "x-spam-status", "x-spam-score", "x-spam-checker-version"})


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a message is read: characters of decoded text, words, different tokens, header fields."""

    max_text: int = 1 << 19
    max_words: int = 8_192
    max_tokens: int = 1 << 16
    max_fields: int = 1_000


class Text(NamedTuple):
    """What a reader would see of a message: (field name, value) pairs, the text of each text part, and the fields of its parts
    and of messages that are attached to it."""

    fields: list[tuple[str, str]]
    body: list[str]
    inner: Sequence[tuple[str, str]] = ()


class Token(NamedTuple):
    """`name` for people, `words` it is made of (1 to 5), `frequency` in this message (1 to 127)."""

    name: str
    words: int
    frequency: int


@dataclass(slots=True)
class Tokens:
    """The tokens of one message.

    `table` maps 63-bit keys to tokens.  `streams` are the keys in the order of the message, with repetitions: single words,
    and phrases (noise reduction reads each).  `sender` is the key of the whole From line, which automatic whitelisting
    counts; 0 if there is none.
    """

    table: dict[int, Token] = field(default_factory=dict)
    streams: tuple[list[int], list[int]] = field(default_factory=lambda: ([], []))
    sender: int = 0


def token_key(name: str) -> int:
    """The 63-bit key (never 0) under which a token is stored; the same on every machine."""
    digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1 or 1


def octets(text: str | bytes | None) -> bytes:
    """A message as bytes; text that was read with surrogateescape becomes the bytes that it was."""
    if text is None:
        return b""
    if isinstance(text, str):
        # Lone surrogates that no byte made are written as "?", not raised.
        try:
            return text.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            return text.encode("utf-8", "replace")
    return bytes(text)


def read_text(message: bytes, limits: Limits | None = None) -> Text:
    """Decode a message: encoded words, transfer encodings, charsets; of HTML what is shown."""
    limits = limits or Limits()
    top = _mimetree.parse(message)
    fields = list(_fields(top, limits.max_fields))
    inner: list[tuple[str, str]] = []
    for part in top.walk():
        if part is not top:
            inner += _fields(part, limits.max_fields - len(fields) - len(inner))
    return Text(fields, list(_body_texts(top, limits)), inner)


def _fields(part: _mimetree.Part, most: int) -> Iterator[tuple[str, str]]:
    for item in part.fields[:most]:
        text = _mimetree.decode_words(_mimetree.header_text(item.value[:8192]))
        yield item.name.decode("ascii", "replace"), text


def _body_texts(top: _mimetree.Part, limits: Limits) -> Iterator[str]:
    left = limits.max_text
    if top.boundary is not None and top.children:
        # What old readers show instead of parts; libdspam reads it as well.
        preamble = top.source[top.body : top.children[0].start].partition(b"--" + top.boundary)[0][:left]
        left -= len(preamble)
        yield _charsets.decode(preamble, None)
    for part in top.walk():
        if left <= 0:
            return
        if part.children or not part.media_type.startswith(("text/", "message/")):
            continue
        # 4 encoded bytes hold 3, and line ends: what is cut off lies beyond the limit.
        content = _mimetree.decode_transfer(part.content[: left * 4], part.transfer_encoding)[:left]
        found = part.values(b"content-type")
        text = _charsets.decode(content, _mimetree.parameter(found[0][:8192], "charset") if found else None)
        left -= len(content)
        yield clean_html(text) if part.media_type == "text/html" else text


def words_of(text: str, in_header: bool = False) -> Iterator[str]:
    """The words of a text.  Single characters, numbers (Graham) and what is too long for a word are none."""
    for found in (_HEADER_WORD if in_header else _BODY_WORD).finditer(text):
        word = found[0]
        if "!" in word:
            word = _SHOUTS.sub("!", word)
        if 1 < len(word) <= _LONGEST_WORD and not word.isdigit():
            yield word


Phrase = tuple[str, int]
"""A token's name without its heading, and the number of its words."""


def word(window: list[str]) -> Iterator[Phrase]:
    """The newest word."""
    yield window[-1], 1


def chain(window: list[str]) -> Iterator[Phrase]:
    """The newest word, and it with the one before."""
    yield window[-1], 1
    if len(window) > 1:
        yield f"{window[-2]}+{window[-1]}", 2


def sbph(window: list[str]) -> Iterator[Phrase]:
    """The newest word with every choice of the four before it; a gap stands for each that was left out."""
    *before, newest = window
    phrases = [(newest, 1, 0)]  # name, words, how far back its first word stands
    for back, item in enumerate(reversed(before), 1):
        phrases += [(item + _GAPS[back - first] + name, words + 1, back) for name, words, first in phrases]
    return ((name, words) for name, words, _ in phrases)


def osb(window: list[str]) -> Iterator[Phrase]:
    """The newest word with each one of the four before it."""
    *before, newest = window
    return ((item + _GAPS[len(before) - place] + newest, 2) for place, item in enumerate(before))


# What joins two words so many places apart.
_GAPS = [f"+{GAP}" * (distance - 1) + "+" for distance in range(WINDOW)]

TOKENIZERS: Final[dict[int, Callable[[list[str]], Iterator[Phrase]]]] = {
    DSZ_WORD: word,
    DSZ_CHAIN: chain,
    DSZ_SBPH: sbph,
    DSZ_OSB: osb,
}


def tokenize(
    text: Text, tokenizer: int = DSZ_CHAIN, ignore: Collection[str] = (), limits: Limits | None = None
) -> Tokens:
    """The tokens of a decoded message; `ignore` names header fields (in lower case) that are not read.

    Raises KeyError for a number that is no tokenizer.
    """
    reading = _Reading(TOKENIZERS[tokenizer], limits or Limits())
    for place, (name, value) in enumerate((*text.fields, *text.inner)):
        lower = name.lower()
        if lower in ignore or lower in _OWN_FIELDS or lower.startswith("x-dspam-"):
            continue
        # Whoever an attached message is from did not send this one.
        if lower == "from" and not reading.sender and place < len(text.fields):
            reading.sender = token_key(f"From*{' '.join(value.split())}")
        reading.read(words_of(value, in_header=True), f"{name[:64].title()}*")
    for part in text.body:
        for found in _URL.finditer(part):
            reading.read(words_of(found[1]), "Url*")
        reading.read(words_of(part), "")
    return reading.tokens()


class _Reading:
    """Takes words until a limit is met, and makes `Tokens` of them."""

    def __init__(self, phrases: Callable[[list[str]], Iterator[Phrase]], limits: Limits) -> None:
        self._phrases = phrases
        self._words_left = limits.max_words
        self._max_tokens = limits.max_tokens
        self._keys: dict[str, int] = {}
        self._words: dict[int, int] = {}
        self._streams: tuple[list[int], list[int]] = ([], [])
        self.sender = 0

    def read(self, words: Iterable[str], heading: str) -> None:
        """Add the words of one field or part: no phrase reaches from one into the next."""
        window: list[str] = []
        for item in words:
            if self._words_left <= 0:
                return
            self._words_left -= 1
            window = [*window[1 - WINDOW :], item]
            for name, count in self._phrases(window):
                self._add(heading + name, count)

    def _add(self, name: str, words: int) -> None:
        key = self._keys.get(name)
        if key is None:
            if len(self._keys) >= self._max_tokens:
                return
            key = self._keys[name] = token_key(name)
            self._words[key] = words
        self._streams[words > 1].append(key)

    def tokens(self) -> Tokens:
        """All that was read."""
        counts = Counter(chain_of(*self._streams))
        table = {key: Token(name, self._words[key], min(counts[key], 127)) for name, key in self._keys.items()}
        return Tokens(table, self._streams, self.sender)
