"""Translation of the sentences that checks and explanations store in English.

The history stores English sentences: checks know nothing of languages, and old rows are read like new ones. Here a
stored sentence is recognised by its pattern (antispam.web.sentences), which is a message of the catalogue, and the
values of its holes are put into the translation. A sentence without a pattern is shown unchanged.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import string
from collections.abc import Callable, Iterator

from antispam.learning.languages import ENGLISH, texts
from antispam.web.sentences import SENTENCES

_LONGEST = 4000  # characters
_MOST_PIECES = 40  # sentences in a text
_DEEPEST = 4  # nested sentences
_SENTENCES_TOO = (
    "what",
    "why",
    "how",
)  # holes with these names hold sentences; others hold text from mail, DNS or people
_LISTS = "notes"  # holes with this name hold several sentences, and texts from libraries
_SEPARATOR = "; "
_BETWEEN = re.compile("([,;] )")
# Names of tests and options with their values: they are the same in every language.
_NAMES = re.compile(r"[A-Za-z0-9_]+(, [A-Za-z0-9_]+)*|[a-z0-9]*_[a-z0-9_]*(, [a-z0-9_]+)*: .*", re.DOTALL)


@dataclasses.dataclass(frozen=True, slots=True)
class _Pattern:
    """A message of the catalogue: the texts between its holes (one more than holes), and the holes' names."""

    message: str
    fixed: tuple[str, ...]
    holes: tuple[str, ...]

    @classmethod
    def of(cls, message: str) -> _Pattern:
        parts = list(string.Formatter().parse(message))
        holes = tuple(name for _, name, _, _ in parts if name is not None)
        fixed = [text for text, _, _, _ in parts]
        return cls(message, (*fixed, *([""] if parts[-1][1] is not None else [])), holes)

    def values(self, text: str) -> dict[str, str] | None:
        """The values of the holes; None if the pattern does not match. The first possible place ends a hole: linear in
        the text.
        """
        first, *rest = self.fixed
        if not self.holes:
            return {} if text == first else None
        if not text.startswith(first) or not text.endswith(self.fixed[-1]):
            return None
        at, end = len(first), len(text) - len(self.fixed[-1])
        found = {}
        for hole, after in zip(self.holes[:-1], rest[:-1], strict=True):
            place = text.find(after, at, end)
            if place < 0:
                return None
            found[hole] = text[at:place]
            at = place + len(after)
        return found | {self.holes[-1]: text[at:end]} if at <= end else None


@functools.cache
def _patterns() -> tuple[_Pattern, ...]:
    """The patterns, the most specific first."""
    return tuple(sorted(map(_Pattern.of, SENTENCES), key=lambda one: -sum(map(len, one.fixed))))


def said_in(language: str, text: str) -> str:
    """A stored sentence in this language, as far as patterns match. Never raises."""
    if language == ENGLISH or not text or len(text) > _LONGEST:
        return text
    return _Reader(texts(language).gettext).read(text)


def unknown_in(text: str) -> list[str]:
    """The parts of a sentence that no pattern matches: for tests."""
    reader = _Reader(str)
    reader.read(text)
    return reader.unknown


class _Reader:
    def __init__(self, translate: Callable[[str], str]) -> None:
        self._translate = translate
        self.unknown: list[str] = []

    def read(self, text: str, depth: int = 0) -> str:
        """Translate one sentence or several; unknown ones stay."""
        pieces = text.split(_SEPARATOR, _MOST_PIECES)
        if depth >= _DEEPEST:
            return text
        made = [self._sentence(piece, depth) for piece in pieces]
        if None in made and len(pieces) > 1 and (whole := self._sentence(text, depth)) is not None:
            return whole
        self.unknown += [piece for piece, one in zip(pieces, made, strict=True) if one is None]
        return _SEPARATOR.join(piece if one is None else one for piece, one in zip(pieces, made, strict=True))

    def _sentence(self, text: str, depth: int) -> str | None:
        """The translation of one sentence. It may begin with a capital and end in a full stop although its pattern does
        not.
        """
        for form, finish in _forms(text):
            for pattern in _patterns():
                values = pattern.values(form)
                if values is not None:
                    filled = {name: self._value(name, value, depth) for name, value in values.items()}
                    return finish(self._translate(pattern.message).format_map(filled))
        return text if _NAMES.fullmatch(text) else None

    def _value(self, name: str, value: str, depth: int) -> str:
        if name in _SENTENCES_TOO:
            return self.read(value, depth + 1)
        if name == _LISTS and depth < _DEEPEST and value.count(",") + value.count(";") < _MOST_PIECES:
            return "".join(self._sentence(note, depth + 1) or note for note in _BETWEEN.split(value))
        return value


def _forms(text: str) -> Iterator[tuple[str, Callable[[str], str]]]:
    """The forms of a text that patterns may match, each with a function that restores capital and full stop in the
    translation.
    """
    yield text, str
    if text[:1].isupper():
        yield text[:1].lower() + text[1:], _capital
    if text.endswith("."):
        yield text[:-1], lambda made: f"{made}."
        if text[:1].isupper():
            yield text[:1].lower() + text[1:-1], lambda made: f"{_capital(made)}."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
