"""Parser of rule files: blocks as in milter.cfg, each with its [NAME]."""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from antispam.protocols.site_rules.conditions import Condition
from antispam.protocols.site_rules.patterns import pattern
from antispam.protocols.site_rules.rules import Place, Rule, RuleSet

MAX_RULES = 1000
MAX_OCTETS = 4 << 20
MAX_CHAIN = 20  # the longest chain of rules that refer to each other
_TITLE = re.compile(r"\[(.*)\]\s*")
_NAME = re.compile(r"[A-Z][A-Z0-9_]{2,63}")
_FIELD = re.compile(r"[!-9;-~]{1,78}")  # RFC 5322 section 2.2
_OPTION = re.compile(r"([a-z]+)(?:[ \t]+(\S+))?[ \t]*=[ \t]*(.*)", re.IGNORECASE)
_OPTIONS = ("header", "text", "link", "attachment", "when", "points", "describe")


@dataclasses.dataclass(frozen=True, slots=True)
class Mistake:
    """An error in a file, and its line (from 1; 0 for the whole file)."""

    line: int
    text: str


class _Block:
    """A rule that is being parsed."""

    def __init__(self, name: str, line: int) -> None:
        self.name = name
        self.line = line
        self.tested = ""  # the option that names the tested text
        self.given: dict[str, int] = {}
        self.values: dict[str, object] = {}

    def rule(self) -> Rule:
        return Rule(self.name, self.line, **self.values)  # type: ignore[arg-type]


def read(file: Path) -> tuple[RuleSet, tuple[Mistake, ...]]:
    """The rules of a file, and its errors. Blocks with errors are left out."""
    try:
        raw = file.read_bytes()
    except OSError as error:
        return RuleSet(str(file)), (Mistake(0, f"cannot be read: {error.strerror}"),)
    if len(raw) > MAX_OCTETS:
        return RuleSet(str(file)), (Mistake(0, f"is larger than {MAX_OCTETS >> 20} MB"),)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return RuleSet(str(file)), (Mistake(raw.count(b"\n", 0, error.start) + 1, "is not UTF-8"),)
    return parse(text, str(file))


def parse(text: str, file: str = "") -> tuple[RuleSet, tuple[Mistake, ...]]:
    """The same for a text."""
    mistakes: list[Mistake] = []
    blocks: list[_Block] = []
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped[0] in "#;":
            continue
        try:
            if title := _TITLE.fullmatch(stripped):
                blocks.append(_Block(title[1].strip(), number))
                _demand_name(blocks)
            elif not blocks:
                raise ValueError("stands before the first [NAME] of a rule")
            else:
                _option(blocks[-1], stripped, number)
        except ValueError as error:
            mistakes.append(Mistake(number, str(error)))
    mistakes += [
        Mistake(block.line, f"[{block.name}] tests nothing: {_PLACES}") for block in blocks if not block.tested
    ]
    rules = {block.name: block.rule() for block in blocks if block.tested in block.given}
    mistakes += _mistakes_among(rules, {block.name for block in blocks})
    if len(rules) > MAX_RULES:
        mistakes.append(Mistake(0, f"has more than {MAX_RULES} rules"))
    return RuleSet(file, tuple(rules.values())), tuple(sorted(mistakes, key=lambda one: one.line))


_PLACES = "it needs a line `header FIELD`, `text`, `link`, `attachment` or `when`"


def _demand_name(blocks: list[_Block]) -> None:
    *others, block = blocks
    if not _NAME.fullmatch(block.name):
        raise ValueError(
            f"[{block.name[:60]}]: a name has capitals, digits and _, and begins with a capital: [OUR_RULE]"
        )
    if first := next((other.line for other in others if other.name == block.name), 0):
        raise ValueError(f"[{block.name}] is already on line {first}; remove or rename one of the two")


def _option(block: _Block, line: str, number: int) -> None:
    """Parse one option of a rule. Raises ValueError for an invalid line."""
    found = _OPTION.fullmatch(line)
    if not found:
        raise ValueError(f"neither a [NAME] nor an option = value: {line[:60]!r}")
    name, field, value = found[1].lower(), found[2] or "", found[3].strip()
    if name not in _OPTIONS:
        raise ValueError(f"a rule has no option {name[:40]}{_nearest(name, _OPTIONS)}")
    if name in block.given and name != "header":
        raise ValueError(f"[{block.name}] {name} is already given on line {block.given[name]}; remove one of the two")
    tests = name in ("header", "text", "link", "attachment", "when")
    if tests and block.tested:
        raise ValueError(
            f"[{block.name}] already tests its {block.tested}; a rule tests one thing, and `when` joins several rules"
        )
    if tests:
        block.tested = name
    if (name == "header") != bool(field):
        wrong = "header needs the name of a field: header Subject = ..." if name == "header" else f"what is {field!r}?"
        raise ValueError(wrong)
    block.values |= _READ[name](field, value)
    block.given[name] = number


def _header(field: str, value: str) -> Mapping[str, object]:
    if not _FIELD.fullmatch(field):
        raise ValueError(f"{field[:60]!r} is no name of a header field")
    return {"place": Place.HEADER, "field": field, "pattern": pattern(value)}


def _points(_: str, value: str) -> Mapping[str, object]:
    try:
        points = float(value)
    except ValueError:
        points = math.nan
    if not -100 <= points <= 100:
        raise ValueError("points are a number between -100 and 100, such as 1.5; more is more like spam")
    return {"points": points}


def _describe(_: str, value: str) -> Mapping[str, object]:
    if not 0 < len(value) <= 200 or not value.isprintable():
        raise ValueError("a description has 1 to 200 characters")
    return {"describe": value}


_READ: dict[str, Callable[[str, str], Mapping[str, object]]] = {
    "header": _header,
    "text": lambda _, value: {"place": Place.TEXT, "pattern": pattern(value)},
    "link": lambda _, value: {"place": Place.LINK, "pattern": pattern(value)},
    "attachment": lambda _, value: {"place": Place.ATTACHMENT, "pattern": pattern(value)},
    "when": lambda _, value: {"when": Condition(value)},
    "points": _points,
    "describe": _describe,
}


def _mistakes_among(rules: dict[str, Rule], named: set[str]) -> list[Mistake]:
    """The errors in conditions: names without a rule, and rules that refer to themselves."""
    found = []
    for rule in rules.values():
        found += [
            Mistake(rule.line, f"[{rule.name}] asks for {name}, which is no rule of this file{_nearest(name, named)}")
            for name in rule.asks
            if name not in named
        ]
    found += [
        Mistake(rules[name].line, f"[{name}] asks for itself, or over more than {MAX_CHAIN} other rules")
        for name in _endless(rules)
    ]
    return found


def _endless(rules: Mapping[str, Rule]) -> list[str]:
    """The rules that refer to each other in a circle, or through too many others."""
    left = {name: {other for other in rule.asks if other in rules} for name, rule in rules.items()}
    for _ in range(MAX_CHAIN):
        answered = {name for name, asks in left.items() if not asks}
        left = {name: asks - answered for name, asks in left.items() if name not in answered}
    return list(left)


def _nearest(name: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, sorted(names), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""
