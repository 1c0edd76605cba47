"""What checks and accounts say in English, in the language of who reads it.

The history stores sentences as they were said: a check knows nothing of languages, and old rows are read as new ones are. Here
a stored sentence is recognised by its pattern (antispam.web.sentences), which is a message of the catalogue: what stands in its
holes is put into the translation. A sentence that no pattern fits is shown as it is.
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
_MOST_PIECES = 40  # sentences in one
_DEEPEST = 4  # sentences within one another
_SENTENCES_TOO = (
    "what",
    "why",
    "how",
)  # holes with these names hold sentences; others hold what mail, DNS or people wrote
_LISTS = "notes"  # hold several, and what other libraries say
_SEPARATOR = "; "
_BETWEEN = re.compile("([,;] )")
# Names of tests and options, and what was seen of them: they are the same in every language.
_NAMES = re.compile(r"[A-Za-z0-9_]+(, [A-Za-z0-9_]+)*|[a-z0-9]*_[a-z0-9_]*(, [a-z0-9_]+)*: .*", re.DOTALL)


@dataclasses.dataclass(frozen=True, slots=True)
class _Pattern:
    """A message of the catalogue: what stands between its holes (one more than there are holes), and the names of these."""

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
        """What stands in the holes; None for another sentence. The first place that fits ends a hole: linear in the text."""
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
    """The one that says the most first."""
    return tuple(sorted(map(_Pattern.of, SENTENCES), key=lambda one: -sum(map(len, one.fixed))))


def said_in(language: str, text: str) -> str:
    """A stored sentence in this language, as far as it is known. Never raises."""
    if language == ENGLISH or not text or len(text) > _LONGEST:
        return text
    return _Reader(texts(language).gettext).read(text)


def unknown_in(text: str) -> list[str]:
    """The parts of a sentence that no pattern fits: for tests."""
    reader = _Reader(str)
    reader.read(text)
    return reader.unknown


class _Reader:
    def __init__(self, translate: Callable[[str], str]) -> None:
        self._translate = translate
        self.unknown: list[str] = []

    def read(self, text: str, depth: int = 0) -> str:
        """One sentence, or several; what is not known stays."""
        pieces = text.split(_SEPARATOR, _MOST_PIECES)
        if depth >= _DEEPEST:
            return text
        made = [self._sentence(piece, depth) for piece in pieces]
        if None in made and len(pieces) > 1 and (whole := self._sentence(text, depth)) is not None:
            return whole
        self.unknown += [piece for piece, one in zip(pieces, made, strict=True) if one is None]
        return _SEPARATOR.join(piece if one is None else one for piece, one in zip(pieces, made, strict=True))

    def _sentence(self, text: str, depth: int) -> str | None:
        """The translation of one sentence. It may begin with a capital and end in a full stop that its pattern has not."""
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
    """The ways in which a pattern may mean this text, each with what makes a whole sentence of the translation again."""
    yield text, str
    if text[:1].isupper():
        yield text[:1].lower() + text[1:], _capital
    if text.endswith("."):
        yield text[:-1], lambda made: f"{made}."
        if text[:1].isupper():
            yield text[:1].lower() + text[1:-1], lambda made: f"{_capital(made)}."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
