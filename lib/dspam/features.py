"""What a message consists of, for the learner: a few hundred integer keys.

`reading` decodes a message as its reader would see it; here it becomes features of four kinds: facts of the header, words of
the text, pairs of neighbouring words, facts of the structure (parts, charsets, links).  A disguised word also counts as the
word that it is read as (`disguise`), and pairs are of words as they are read.  Each feature is hashed into 63 bits, the kind in
the lowest two (`kinds_of`).

Time and memory stay bounded whatever is sent, and nothing raises on any input.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections.abc import Iterable
from functools import lru_cache
from itertools import accumulate, islice

import numpy as np
import numpy.typing as npt

from dspam.disguise import MAX_LENGTH, joined, readings
from dspam.hashing import BASE, MAX_BUFFER, TABLE, Keys, mix, salt, slice_hashes, to_keys
from dspam.reading import UNSEEN, Document, read

try:
    from dspam import _cutting
except ImportError:  # it could not be compiled here: all is done in Python, more slowly
    _cutting = None  # type: ignore[assignment]

HEADER, WORD, PAIR, STRUCTURE = range(4)
VERSION = 2
"""Of the keys. A dictionary that was learned with other keys knows nothing of these."""
_MAX_FACT_OCTETS = MAX_BUFFER // 2
_MAX_TOKEN = 40
_MAX_READ_ANEW = 2000  # words of one message that are looked at for a disguise

_SPACE, _LETTER, _OTHER = range(3)
_LETTERS = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'$_-") | frozenset(range(128, 256))
_CLASS = bytes(_SPACE if c <= 32 or c == 127 else _LETTER if c in _LETTERS else _OTHER for c in range(256))
# One digit for all: which it is says more about a day or a serial number than about a message.
_FOLD = bytes(c + 32 if 65 <= c <= 90 else 57 if 48 <= c <= 57 else c for c in range(256))
# What may stand between the pieces of a word; between single letters anything may.
_SEPARATORS = np.isin(np.arange(256), np.frombuffer(b".*+~^|\\!`", dtype=np.uint8))

_IS_SPACE = np.array([c <= 32 or c == 127 for c in range(256)])
# What makes a word worth a second look (beside letters three times, "aI" and "Al"), and what makes it a word and no number.
_IS_ODD = np.array([not (65 <= c <= 90 or 97 <= c <= 122) for c in range(256)])
_IS_SMALL = np.array([97 <= c <= 122 for c in range(256)])
_IS_CAPITAL = np.array([65 <= c <= 90 for c in range(256)])
_IS_NAME = np.array([65 <= c <= 90 or 97 <= c <= 122 or c >= 128 for c in range(256)])
# How many octets a character has that begins with this one.
_CHARACTER = np.array([1 if c < 0xC0 else 2 if c < 0xE0 else 3 if c < 0xF0 else 4 for c in range(256)])
_IS_HAN = np.array([0xE3 <= c <= 0xE9 for c in range(256)])  # the first octet of Chinese and Japanese characters
_AT_SIGNS = re.compile(rb"@[\w'$\x80-\xff@-]*+(\.\w)?+")
_BEFORE_AT = re.compile(rb"[\w'$\x80-\xff-]*+\Z")
_MAX_SIGNS = 200
Mask = npt.NDArray[np.bool_]
_MAX_NEW_OCTETS = 1 << 14  # of words that are read out of others

_FIRST = np.zeros(1, dtype=np.intp)
_ONE, _THREE, _NO_KIND = np.uint64(1), np.uint64(3), np.int64(-4)
_KINDS, _PAIR = np.array([HEADER, STRUCTURE], dtype=np.int64), np.array([PAIR], dtype=np.int64)


TABLES = (TABLE.tobytes(), BASE, _CLASS, _FOLD, _IS_ODD.tobytes())
if _cutting:
    _cutting.prepare(*TABLES)


class _Cut:
    """A document cut into what is hashed: facts of the header, facts of the structure, words, pairs of words.

    A word is known by its number: where it stands is `starts` and `ends`, in whose text `owners`.  Words that were read out of
    others stand behind those of the text.  `paired` are the words whose neighbours matter, in their order.  All stands in one
    buffer, because calling numpy takes longer than the work on a usual message.
    """

    def __init__(self, document: Document) -> None:
        self.facts, self.headers, told = _facts(document)
        fact_ends = np.fromiter(map(len, self.facts), dtype=np.intp, count=len(self.facts)).cumsum()
        texts = document.texts
        text = _text(texts, len(told))
        words = _Words(text, [len(text) for _, text in texts])
        self.buffer = told + text.translate(_FOLD) + b"".join(words.new)
        self.starts = words.starts + len(told)
        self.ends = words.ends + len(told)
        self.owners = words.owners
        self.kept = words.kept
        beside = np.array([place in UNSEEN for place, _ in texts], dtype=np.bool_)
        self.kinds = np.where(words.spelt | beside.take(self.owners), STRUCTURE, WORD).take(self.kept)
        first, second = words.paired[:-1], words.paired[1:]
        own = words.own
        together = self.owners.take(own.take(first)) == self.owners.take(own.take(second))
        # Characters that stand in two words already need no pairs.
        overlapping = _IS_HAN.take(np.frombuffer(text, dtype=np.uint8).take(words.starts.take(own)))
        together &= ~(overlapping.take(first) & overlapping.take(second))
        together &= ~beside.take(self.owners.take(own.take(first)))
        together = together.nonzero()[0]
        self.first, self.second = words.said.take(first.take(together)), words.said.take(second.take(together))
        self._fact_ends = fact_ends
        self._places = np.array([salt(place) for place, _ in texts], dtype=np.uint64).take(self.owners)

    def keys(self) -> Keys:
        """The key of each fact, word and pair, in this order."""
        count, facts = len(self._fact_ends), self._fact_ends
        hashes = slice_hashes(
            np.frombuffer(self.buffer, dtype=np.uint8),
            np.concatenate((_FIRST[:count], facts[:-1], self.starts)),
            np.concatenate((facts, self.ends)),
        )
        words = hashes[count:]
        pairs = mix(words.take(self.first) + _ONE)
        pairs *= _THREE
        pairs += words.take(self.second)
        pairs ^= self._places.take(self.second)
        words = words.take(self.kept) ^ self._places.take(self.kept)
        keys = to_keys(np.concatenate((hashes[:count], words, pairs)))
        keys &= _NO_KIND
        keys |= np.concatenate(
            (_KINDS.repeat((self.headers, count - self.headers)), self.kinds, _PAIR.repeat(len(pairs)))
        )
        return keys

    def name(self, word: int) -> str:
        """How a person would write this word."""
        return self.buffer[self.starts[word] : self.ends[word]].decode("utf-8", "replace")


class _Words:
    """The words of a text, and what they are read as.

    starts, ends, owners  of each word; those that were read out of others come last, and stand in `new`
    kept                  the words that count by themselves
    own                   the words of letters, in the order of the text
    said                  what each of these is read as
    spelt                 whether a word is only the spelling of one that is read otherwise
    paired                which of these have neighbours
    """

    def __init__(self, text: bytes, lengths: list[int]) -> None:
        self.text = text
        self.new: list[bytes] = []
        self._size = 0
        self._new_owners: list[int] = []
        classes = np.frombuffer(text.translate(_CLASS), dtype=np.uint8)
        edges = (classes[1:] != classes[:-1]).nonzero()[0] + 1
        starts, ends = np.concatenate((_FIRST, edges)), np.concatenate((edges, [len(classes)]))
        classes = classes.take(starts)
        seen = classes.nonzero()[0]  # what is no space
        self.starts, self.ends, classes = starts.take(seen), ends.take(seen), classes.take(seen)
        text_starts = self.starts.searchsorted([0, *accumulate(length + 1 for length in lengths)])
        self.owners = np.arange(len(lengths)).repeat(text_starts[1:] - text_starts[:-1])
        self.own = (classes == _LETTER).nonzero()[0]
        self.said = self.own.copy()
        alone = np.ones(len(self.starts), dtype=np.bool_)
        self.spelt = np.zeros(len(self.starts), dtype=np.bool_)
        paired = np.ones(len(self.own), dtype=np.bool_)
        self._join(alone, paired)
        self._read_signs(alone, paired)
        self._read(alone)
        self._shorten()
        self.paired = paired.nonzero()[0]
        self.kept = np.concatenate((alone.nonzero()[0], np.arange(len(alone), len(alone) + len(self.new))))
        if self.new:
            lengths_new = np.fromiter(map(len, self.new), dtype=np.intp, count=len(self.new))
            ends_new = lengths_new.cumsum() + len(text)
            self.starts = np.concatenate((self.starts, ends_new - lengths_new))
            self.ends = np.concatenate((self.ends, ends_new))
            self.owners = np.concatenate((self.owners, self._new_owners))
            self.spelt = np.concatenate((self.spelt, np.zeros(len(self.new), dtype=np.bool_)))

    def _add(self, readings: tuple[bytes, ...], owner: int) -> int:
        """Take in words that were read out of others; returns the number of the first, -1 for none."""
        if not readings or self._size + sum(map(len, readings)) > _MAX_NEW_OCTETS:
            return -1
        number = len(self.starts) + len(self.new)
        self.new += readings
        self._new_owners += [owner] * len(readings)
        self._size += sum(map(len, readings))
        return number

    def _join(self, alone: Mask, paired: Mask) -> None:
        """Find words that were written in pieces: "v i a g r a", "via*gra"."""
        octets = np.frombuffer(self.text, dtype=np.uint8)
        starts, ends = self.starts.take(self.own), self.ends.take(self.own)
        single = ends - starts == _CHARACTER.take(octets.take(starts))
        linked = (starts[1:] - ends[:-1] == 1).nonzero()[0]
        signs = octets.take(ends.take(linked))
        spaces = _IS_SPACE.take(signs)
        useful = ~spaces | (single.take(linked) & single.take(linked + 1))
        linked, signs = linked[useful], signs[useful]
        if not len(linked):
            return
        breaks = ((linked[1:] != linked[:-1] + 1) | (signs[1:] != signs[:-1])).nonzero()[0] + 1
        for low, high in zip([0, *breaks.tolist()], [*breaks.tolist(), len(linked)], strict=True):
            first, last, sign = int(linked[low]), int(linked[high - 1]) + 1, int(signs[low])
            count = last - first + 1
            chain = self.text[starts[first] : ends[last]]
            spelled = count >= (4 if sign <= 32 or sign == 127 else 3) and bool(single[first : last + 1].all())
            if not spelled and not (_SEPARATORS[sign] and _in_pieces(chain, sign)):
                continue
            if self.owners[self.own[first]] != self.owners[self.own[last]] or len(chain) > 4 * MAX_LENGTH:
                continue
            number = self._add(joined(chain, bytes([sign])), int(self.owners[self.own[first]]))
            if spelled:
                self._replace(first, last + 1, number, alone, paired)

    def _read_signs(self, alone: Mask, paired: Mask) -> None:
        """Find words with "@" for "a"; addresses are none."""
        starts = self.starts.take(self.own)
        for low, high in _signs(self.text):
            first, last = starts.searchsorted((low, high)).tolist()
            if first == last:
                continue  # nothing that could be a word
            new = self._add(joined(self.text[low:high], b"@"), int(self.owners[self.own[first]]))
            self._replace(first, last, new, alone, paired)

    def _replace(self, first: int, last: int, number: int, alone: Mask, paired: Mask) -> None:
        """Let a new word stand for some of the text, which are no words then."""
        if number < 0:
            return
        fresh = bool(alone[self.own[first]])
        if fresh:
            self.said[first] = number
        paired[first + fresh : last] = False
        alone[self.own[first:last]] = False

    def _read(self, alone: Mask) -> None:
        """Find words that are written in other letters than they are read in."""
        octets = np.frombuffer(self.text, dtype=np.uint8)
        odd = _IS_ODD.take(octets)
        odd[2:] |= (octets[2:] == octets[1:-1]) & (octets[1:-1] == octets[:-2])
        small = _IS_SMALL.take(octets)
        odd[1:] |= (octets[1:] == ord("I")) & small[:-1]
        odd[1:] |= (octets[1:] == ord("l")) & _IS_CAPITAL.take(octets[:-1])
        starts, ends = self.starts.take(self.own), self.ends.take(self.own)
        sums = np.zeros(len(octets) + 1, dtype=np.intp)
        odd.cumsum(out=sums[1:])
        candidates = ((sums.take(ends) > sums.take(starts)) & alone.take(self.own)).nonzero()[0]
        for word in candidates[:_MAX_READ_ANEW].tolist():
            found = readings(self.text[starts[word] : ends[word]])
            if found:
                number = self._add(found, int(self.owners[self.own[word]]))
                if number >= 0:
                    self.said[word] = number
                    self.spelt[self.own[word]] = True

    def _shorten(self) -> None:
        """End each word within _MAX_TOKEN octets, between two characters."""
        long = (self.ends - self.starts > _MAX_TOKEN).nonzero()[0]
        for word in long.tolist():
            end = int(self.starts[word]) + _MAX_TOKEN
            while self.text[end] & 0xC0 == 0x80 and end > self.starts[word] + 1:
                end -= 1
            self.ends[word] = end


def _facts(document: Document) -> tuple[list[bytes], int, bytes]:
    """The facts that are hashed, how many of them are of the header, and all of their octets."""
    facts = [*document.header, *document.structure]
    told = b"".join(facts)
    if len(told) > _MAX_FACT_OCTETS:
        del facts[bisect_right(list(accumulate(map(len, facts))), _MAX_FACT_OCTETS) :]
        told = b"".join(facts)
    return facts, min(len(document.header), len(facts)), told


def _text(texts: list[tuple[bytes, bytes]], told: int) -> bytes:
    """All texts, with a line feed behind each, as far as they fit beside the octets of the facts."""
    return (b"\n".join([text for _, text in texts]) + b"\n")[: MAX_BUFFER - _MAX_NEW_OCTETS - told]


def _signs(text: bytes) -> list[tuple[int, int]]:
    """Where words stand that have "@" for "a": start and end. Addresses are none."""
    found = []
    for sign in islice(_AT_SIGNS.finditer(text), _MAX_SIGNS) if b"@" in text else ():
        at, high = sign.span()
        before = _BEFORE_AT.search(text[max(0, at - 2 * MAX_LENGTH) : at])
        low = at - len(before[0]) if before else at
        if not sign[1] and high - low <= 2 * MAX_LENGTH:
            found.append((low, high))
    return found


def _in_pieces(chain: bytes, sign: int) -> bool:
    pieces = chain.split(bytes([sign]))
    return len(pieces) <= 12 and min(map(len, pieces)) <= 3


def extract(message: bytes) -> Keys:
    """The features of a message (headers, an empty line, body; any bytes): its keys, each once, in ascending order."""
    return keys_of(read(message))


def keys_of(document: Document) -> Keys:
    """The same of a message that was read already."""
    return compiled_keys_of(document) if _cutting else reference_keys_of(document)


def compiled_keys_of(document: Document) -> Keys:
    """The same by _cutting.c."""
    facts, headers, told = _facts(document)
    places = [place for place, _ in document.texts]
    text = _text(document.texts, len(told))
    lengths = array("q", [len(text) for _, text in document.texts])
    beside = bytes([place in UNSEEN for place in places])
    salts = array("Q", map(salt, places))
    found = _cutting.keys(facts, headers, text, lengths, salts, beside, _signs(text), _MAX_NEW_OCTETS, readings, joined)
    return np.frombuffer(found, dtype=np.int64)


def reference_keys_of(document: Document) -> Keys:
    """The same in Python: what a message's keys are is said here."""
    keys = _Cut(document).keys()
    keys.sort()
    fresh = np.empty(len(keys), dtype=bool)
    fresh[:1] = True
    np.not_equal(keys[1:], keys[:-1], out=fresh[1:])
    return keys[fresh]


def author_key(address: str) -> int:
    """The key of the fact that a message is from this address, as extract() has it."""
    return _header_key(b"from " + address.lower().encode("utf-8", "surrogateescape"))


def facts_of_tests(tests: Iterable[str]) -> dict[int, str]:
    """The keys of facts that were found outside of the message: that it was tested (TESTED), and which named tests it meets;
    with what each stands for, as names() has it. They are counted as facts of the header are."""
    facts = ["tested", *(f"test {name}" for name in sorted(set(tests)))]
    return {_header_key(fact.encode("utf-8", "replace")): f"header: {fact}" for fact in facts}


@lru_cache(maxsize=4096)  # the same tests and authors come again and again
def _header_key(fact: bytes) -> int:
    fact = fact[:_MAX_FACT_OCTETS]
    hashed = slice_hashes(np.frombuffer(fact, dtype=np.uint8), _FIRST, _FIRST + len(fact))
    return int((to_keys(hashed) & _NO_KIND | HEADER)[0])


TESTED = _header_key(b"tested")
"""The key of the fact that it is known which tests a message meets."""


def names(message: bytes) -> dict[int, str]:
    """What each key of `extract(message)` stands for, for people: header facts, words, pairs of words, structure."""
    document = read(message)
    cut = _Cut(document)
    places = [document.texts[owner][0].decode() for owner in cut.owners.tolist()]
    said = [f"header: {fact.decode('utf-8', 'replace')}" for fact in cut.facts[: cut.headers]]
    said += [f"structure: {fact.decode('utf-8', 'replace')}" for fact in cut.facts[cut.headers :]]
    said += [f"{places[word]}: {cut.name(word)}" for word in cut.kept.tolist()]
    pairs = zip(cut.first.tolist(), cut.second.tolist(), strict=True)
    said += [f"{places[first]}: {cut.name(first)} {cut.name(second)}" for first, second in pairs]
    return dict(zip(cut.keys().tolist(), said, strict=True))


def kinds_of(keys: Keys) -> npt.NDArray[np.int64]:
    """HEADER, WORD, PAIR or STRUCTURE for each key."""
    return keys & np.int64(3)
