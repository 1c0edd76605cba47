"""The site's rules, and their evaluation for a message."""

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

_SHOWN = 80  # characters of a match


class OutOfTime(Exception):
    """The deadline passed before the last rule."""


class Place(enum.StrEnum):
    """The text in which a pattern is searched."""

    HEADER = "header"
    TEXT = "text"
    LINK = "link"
    ATTACHMENT = "attachment"


class Texts(Protocol):
    """The texts of a message that can be tested. Each is requested when the first rule needs it, and its provider
    bounds it.
    """

    def header(self, name: str) -> tuple[str, ...]:
        """The decoded values of all fields of a name."""

    def text(self) -> tuple[str, ...]:
        """The subject and the visible text, in every relevant reading."""

    def links(self) -> tuple[str, ...]:
        """The targets of links."""

    def attachments(self) -> tuple[str, ...]:
        """The names under which a part may be saved."""


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """A named test: a pattern with its place, or a condition over other rules.

    field   the name of the header field, if place is HEADER
    points  None for a rule that only other rules use
    line    its first line in the file
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
        """The rules that it refers to."""
        return self.when.names if self.when is not None else ()


@dataclasses.dataclass(frozen=True, slots=True)
class Met:
    """A rule that a message matches, with the matching text or the condition."""

    name: str
    seen: str = ""


@dataclasses.dataclass(frozen=True)  # without slots: the index is made once
class RuleSet:
    """The rules of a file, in order. Names are unique, and no rule refers to itself."""

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
        """The rules with points (with `helpers`: all rules) that a message matches. Raises OutOfTime: the time of one
        pattern is bounded, but there may be hundreds.
        """
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
    """The text that the rule found; None if the message does not match."""
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
