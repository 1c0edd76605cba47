"""Which of the site's rules a message meets."""

from __future__ import annotations

import dataclasses
import enum
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from antispam.deadline import Deadline
from antispam.protocols.site_rules.conditions import Condition
from antispam.protocols.site_rules.patterns import Pattern
from antispam.text import from_wire

_SHOWN = 80  # characters of what a pattern found


class OutOfTime(Exception):
    """The deadline came before the last rule."""


class Place(enum.StrEnum):
    """Where a pattern is looked for."""

    HEADER = "header"
    TEXT = "text"
    LINK = "link"
    ATTACHMENT = "attachment"


class Texts(Protocol):
    """What of a message can be tested. Each is asked for when the first rule needs it, and bounded by who makes it."""

    def header(self, name: str) -> tuple[str, ...]:
        """The decoded values of all fields of a name."""

    def text(self) -> tuple[str, ...]:
        """The subject and the text in sight, in every reading that matters."""

    def links(self) -> tuple[str, ...]:
        """Where links lead."""

    def attachments(self) -> tuple[str, ...]:
        """The names under which a part may be saved."""


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """One named test: a pattern and where it is looked for, or a condition over other rules.

    field   the name of the header field, where place is HEADER
    points  None for a rule that only other rules ask for
    line    where it begins in its file
    """

    name: str
    line: int
    place: Place | None = None
    field: str = ""
    pattern: Pattern | None = None
    when: Condition | None = None
    points: float | None = None
    describe: str = ""

    @property
    def asks(self) -> tuple[str, ...]:
        """The rules that it asks for."""
        return self.when.names if self.when is not None else ()


@dataclasses.dataclass(frozen=True, slots=True)
class Met:
    """A rule that a message meets, and what was found: what the pattern fits, or the condition."""

    name: str
    seen: str = ""


@dataclasses.dataclass(frozen=True)  # without slots: the index is made once
class RuleSet:
    """The rules of a file, in its order; names are unique, and no rule asks for itself."""

    file: str = ""
    rules: tuple[Rule, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.rules)

    def __str__(self) -> str:
        return self.file

    @functools.cached_property
    def by_name(self) -> Mapping[str, Rule]:
        return {rule.name: rule for rule in self.rules}

    def met(self, texts: Texts, deadline: Deadline, *, helpers: bool = False) -> Iterator[Met]:
        """The rules with points (with `helpers`: all rules) that a message meets. Raises OutOfTime: the time of one pattern is
        bounded, but there may be hundreds of them."""
        known: dict[str, str | None] = {}

        def ask(name: str) -> str | None:
            if name not in known:
                if deadline.expired:
                    raise OutOfTime
                known[name] = _seen(self.by_name[name], texts, lambda other: ask(other) is not None)
            return known[name]

        for rule in self.rules:
            if (helpers or rule.points is not None) and (seen := ask(rule.name)) is not None:
                yield Met(rule.name, seen)


NO_RULES = RuleSet()


def _seen(rule: Rule, texts: Texts, met: Callable[[str], bool]) -> str | None:
    """What the rule found, None if the message does not meet it."""
    if rule.when is not None:
        return from_wire(rule.when.text, _SHOWN) if rule.when.holds(met) else None
    assert rule.pattern is not None
    for text in _texts(rule, texts):
        if (found := rule.pattern.search(text)) is not None:
            return from_wire(" ".join(found.split()), _SHOWN)
    return None


def _texts(rule: Rule, texts: Texts) -> tuple[str, ...]:
    match rule.place:
        case Place.HEADER:
            return texts.header(rule.field)
        case Place.TEXT:
            return texts.text()
        case Place.LINK:
            return texts.links()
    return texts.attachments()
