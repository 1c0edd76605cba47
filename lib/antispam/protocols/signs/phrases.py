"""Phrases of fraud: the families that a text uses, and the number of phrases of each.

Patterns are words, not regular expressions. Each place of a text is compared only with the few patterns that may begin
there, and each comparison is bounded, so the time is linear in the length of any text.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from antispam.protocols.signs.lists import lines
from antispam.protocols.signs.words import ASCII_APOSTROPHES, ASCII_MARKS, MAX_WORDS, words_of

try:
    from dspam import _cutting
except ImportError:  # see dspam.features
    _cutting = None  # type: ignore[assignment]

MAX_GAP = 3
_REMEMBERED = 10_000  # words
_PREFIX = 3  # letters by which patterns are found whose first word is the beginning of one


class _Place(NamedTuple):
    """The alternatives at one place of a pattern: words, beginnings of words, a number; nothing; after a gap or not."""

    words: frozenset[str]
    beginnings: tuple[str, ...]
    number: bool
    gap: bool

    def fits(self, word: str) -> bool:
        if word in self.words:
            return True
        return (self.number and word.isdecimal()) or (self.beginnings != () and word.startswith(self.beginnings))


class _Pattern(NamedTuple):
    """One form of a phrase, which family and line identify.

    second  the words that may follow the first one; None if it is not as simple
    """

    family: str
    line: int
    rest: tuple[_Place, ...]
    second: frozenset[str] | None


class _Start(NamedTuple):
    """The patterns that may begin with a word: by the second word, for patterns that require one, and those that
    require none.
    """

    followed_by: dict[str, tuple[_Pattern, ...]]
    otherwise: tuple[_Pattern, ...]


_Match = tuple[_Pattern, int, int]
"""A pattern found in a text, and the numbers of the words where it begins and ends."""


class Found(NamedTuple):
    """The matches of a family: the number of its phrases found, and the first few as written in the text."""

    family: str
    number: int
    said: tuple[str, ...]


class Phrases:
    """Families of phrases, compiled. Raises ValueError for an invalid phrase."""

    def __init__(self, described: Iterable[str]) -> None:
        self._by_word: dict[str, list[_Pattern]] = {}
        self._by_beginning: dict[str, list[tuple[str, _Pattern]]] = {}
        self._numbers: list[_Pattern] = []
        # The same words come again and again.
        self._beginning = functools.lru_cache(maxsize=_REMEMBERED)(self._that_begin_with)
        self._known: dict[str, _Start | None] = {}  # what words begin, for the compiled form
        self._filter = b""  # of the words that begin one, made with it
        self.families: list[str] = []
        for line, text in enumerate(described):
            if text.startswith("["):
                self.families.append(text.strip("[]"))
            else:
                for words in _expanded(text):
                    self._add(self.families[-1], line, words)

    def _add(self, family: str, line: int, words: Sequence[str]) -> None:
        places = list(_places(words))
        if len(places) < 1 or places[0].gap:
            raise ValueError(f"{' '.join(words)!r} is no phrase")
        pattern = _Pattern(family, line, tuple(places[1:]), _second(places))
        for word in places[0].words:
            self._by_word.setdefault(word, []).append(pattern)
        for beginning in places[0].beginnings:
            self._by_beginning.setdefault(beginning[:_PREFIX], []).append((beginning, pattern))
        if places[0].number:
            self._numbers.append(pattern)

    def found_in(self, words: Sequence[str]) -> list[Found]:
        """The families that a text uses, in the order of the file."""
        matches = self._compiled_matches(words) if _cutting else self._matches(words)
        return self._by_family((pattern, " ".join(words[at:end])) for pattern, at, end in matches)

    def found_in_text(self, text: str) -> list[Found]:
        """The same of the words of a text (words_of)."""
        if _cutting and text.isascii():
            return self._by_family(self._compiled_matches_in(text))
        return self.found_in(words_of(text))

    def _by_family(self, matches: Iterable[tuple[_Pattern, str]]) -> list[Found]:
        said: dict[str, list[str]] = {}
        for pattern, text in matches:
            said.setdefault(pattern.family, []).append(text)
        return [Found(family, len(said[family]), tuple(said[family][:3])) for family in self.families if family in said]

    def _matches(self, words: Sequence[str]) -> Iterator[_Match]:
        """The first match of each line of the file, in the order of the text."""
        met = set()
        starts = self._starts(frozenset(words))
        last = len(words) - 1
        for at in [at for at, word in enumerate(words) if word in starts]:
            start = starts[words[at]]
            for pattern in start.followed_by.get(words[at + 1] if at < last else "", start.otherwise):
                if pattern.line not in met:
                    end = _end(pattern.rest, words, at + 1)
                    if end:
                        met.add(pattern.line)
                        yield pattern, at, end

    def _compiled_matches(self, words: Sequence[str]) -> list[_Match]:
        """The same, by _matching.c."""
        return _cutting.match(words, self._starts_known(), self._that_begin_with, self._by_beginning, MAX_GAP)

    def _compiled_matches_in(self, text: str) -> list[tuple[_Pattern, str]]:
        """The same of a text in ASCII, each with its words."""
        starts = self._starts_known()
        cut = (text, ASCII_MARKS, ASCII_APOSTROPHES, MAX_WORDS)
        return _cutting.match_text(*cut, starts, self._that_begin_with, self._by_beginning, self._filter, MAX_GAP)

    def _starts_known(self) -> dict[str, _Start | None]:
        if not self._known or len(self._known) > len(self._by_word) + _REMEMBERED:
            known = {word: self._that_begin_with(word) for word in self._by_word}
            self._filter = self._made_filter(known)
            self._known = known  # last: another thread that finds it goes on with the filter
        return self._known

    def _made_filter(self, known: dict[str, _Start | None]) -> bytes:
        """By which match_text() passes over most words: those that begin a phrase whatever follows, others with each word
        that has to follow, and the beginnings of words."""
        whatever, pairs = [], []
        for word, start in (*known.items(), ("#", _start(tuple(self._numbers)))):
            if start is None:
                continue
            pairs += [(word, second) for second in start.followed_by]
            for place in (one.rest[0] if one.rest else None for one in start.otherwise):
                if place is None or place.beginnings or place.number:
                    whatever.append(word)
                else:
                    pairs += [(word, second) for second in place.words]
        return _cutting.word_filter(whatever, pairs, list(self._by_beginning))

    def _starts(self, words: frozenset[str]) -> dict[str, _Start]:
        """Those of a text's words that begin a phrase of which it may have the second word, too: most words need no more than a
        look into a set."""
        stems = self._by_beginning
        some = (words & self._by_word.keys()) | {word for word in words if word[:_PREFIX] in stems or word.isdecimal()}
        found = ((word, self._beginning(word)) for word in some)
        return {
            word: start
            for word, start in found
            if start is not None and (start.otherwise or not words.isdisjoint(start.followed_by))
        }

    def _that_begin_with(self, word: str) -> _Start | None:
        """The patterns that begin with a word; None if there are none."""
        stems = self._by_beginning.get(word[:_PREFIX], ())
        found = (
            *self._by_word.get(word, ()),
            *(pattern for beginning, pattern in stems if word.startswith(beginning)),
            *(self._numbers if word.isdecimal() else ()),
        )
        return _start(found) if found else None


@functools.lru_cache(maxsize=_REMEMBERED)
def _start(patterns: tuple[_Pattern, ...]) -> _Start:
    """A shared object for all words that begin the same patterns, as every number does."""
    seconds = frozenset(word for one in patterns for word in one.second or ())
    followed_by = {word: tuple(one for one in patterns if one.second is None or word in one.second) for word in seconds}
    return _Start(followed_by, tuple(one for one in patterns if one.second is None))


def _second(places: Sequence[_Place]) -> frozenset[str] | None:
    simple = len(places) > 1 and not (places[1].gap or places[1].beginnings or places[1].number)
    return places[1].words if simple else None


def _end(rest: tuple[_Place, ...], words: Sequence[str], at: int) -> int:
    """The end of a pattern whose first words were found; 0 if the others do not follow. After a gap the nearest
    matching word is taken, so each word is examined once per place.
    """
    for place in rest:
        last = min(len(words), at + (MAX_GAP if place.gap else 0) + 1)
        while at < last and not place.fits(words[at]):
            at += 1
        if at >= last:
            return 0
        at += 1
    return at


def _expanded(text: str) -> Iterator[tuple[str, ...]]:
    """The forms of a phrase with and without its optional parts."""
    ways = []
    for word in text.split():
        choices = word.split("/")
        kept = "/".join(one for one in choices if one != "-")
        ways.append([kept, ""] if "-" in choices and kept else [kept])
    for way in itertools.product(*ways):
        words = tuple(word for word in way if word)
        while words and words[-1] == "...":
            words = words[:-1]
        yield words


def _places(words: Sequence[str]) -> Iterator[_Place]:
    gap = False
    for word in words:
        if word == "...":
            gap = True
            continue
        choices = word.split("/")
        yield _Place(
            frozenset(one for one in choices if not one.endswith("*") and one != "#"),
            tuple(one[:-1] for one in choices if one.endswith("*")),
            "#" in choices,
            gap,
        )
        gap = False


@functools.cache
def shipped() -> Phrases:
    """The phrases of phrases.txt."""
    return Phrases(lines("phrases.txt"))
