"""Boolean conditions over named tests: `A and not (B or C)`. The operators && || ! of SpamAssassin are also supported."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

MAX_TOKENS = 200
MAX_DEPTH = 20
_TOKEN = re.compile(r"\s*(\(|\)|&&|\|\||!|[A-Za-z_][A-Za-z0-9_]*)")
_SAME = {"&&": "and", "||": "or", "!": "not"}
_WORDS = ("and", "or", "not")


class Condition:
    """A condition. `names` are the tests that it refers to, each once, in order."""

    def __init__(self, text: str) -> None:
        """Raises ValueError, with a sentence for the author."""
        self.text = " ".join(text.split())
        self._tokens = list(_tokens(text))
        self._at = 0
        self._tree = self._either(0)
        if self._at < len(self._tokens):
            raise ValueError(f"`and` or `or` is missing before {self._tokens[self._at]}")
        self.names = tuple(dict.fromkeys(one for one in self._tokens if one not in ("(", ")", *_WORDS)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Condition) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def holds(self, met: Callable[[str], bool]) -> bool:
        """Whether the condition holds. `met` tells whether a test is met; it is called only for the tests needed."""
        return self._tree(met)

    def _either(self, depth: int) -> Callable[[Callable[[str], bool]], bool]:
        parts = [self._all(depth)]
        while self._next("or"):
            parts.append(self._all(depth))
        return parts[0] if len(parts) == 1 else lambda met: any(part(met) for part in parts)

    def _all(self, depth: int) -> Callable[[Callable[[str], bool]], bool]:
        parts = [self._one(depth)]
        while self._next("and"):
            parts.append(self._one(depth))
        return parts[0] if len(parts) == 1 else lambda met: all(part(met) for part in parts)

    def _one(self, depth: int) -> Callable[[Callable[[str], bool]], bool]:
        if depth > MAX_DEPTH:
            raise ValueError("there are too many brackets in one another")
        if self._next("not"):
            inner = self._one(depth + 1)
            return lambda met: not inner(met)
        if self._next("("):
            inner = self._either(depth + 1)
            if not self._next(")"):
                raise ValueError("a bracket is not closed")
            return inner
        name = self._tokens[self._at] if self._at < len(self._tokens) else ""
        if name in ("", ")", *_WORDS):
            raise ValueError(
                f"the name of a rule is missing before {name}" if name else "the name of a rule is missing"
            )
        self._at += 1
        return lambda met: met(name)

    def _next(self, token: str) -> bool:
        found = self._at < len(self._tokens) and self._tokens[self._at] == token
        self._at += found
        return found


def _tokens(text: str) -> Iterator[str]:
    at, text = 0, text.rstrip()
    for _ in range(MAX_TOKENS):
        if at >= len(text):
            return
        found = _TOKEN.match(text, at)
        if not found:
            raise ValueError(f"{text[at:].split()[0]!r} is no name of a rule")
        at = found.end()
        yield _SAME.get(found[1], found[1].lower() if found[1].lower() in _WORDS else found[1])
    if at < len(text):
        raise ValueError("the condition is too long: divide it into several rules")
