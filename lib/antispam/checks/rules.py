"""The site's own rules, and those that the message meets."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar

from antispam.journey.services import Services
from antispam.mail import findings as base
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.authors import from_our_users
from antispam.mail.connection import Connection
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.score import Hit, Test
from antispam.mail.score_table import TABLE
from antispam.mail.shown import shown
from antispam.mail.verdicts import Action, Verdict
from antispam.protocols import site_rules
from antispam.protocols.site_rules import NO_RULES, Met, Mistake, OutOfTime, RuleSet
from antispam.settings import CheckSettings, OnError, option, section

NAME = "rules"
OTHERWISE = "The file that `[rules] file` names."
_TIME = 2.0  # seconds for all rules together


def rules_in(file: Path) -> tuple[RuleSet, tuple[Mistake, ...]]:
    """The rules of a file, and its mistakes. Using the name of a built-in test is a mistake."""
    rules, mistakes = site_rules.read(file)
    taken = [
        Mistake(rule.line, f"[{rule.name}] is the name of a built-in test (docs/score.md); please use another one")
        for rule in rules.rules
        if rule.name in TABLE
    ]
    return rules, tuple(sorted((*mistakes, *taken), key=lambda one: one.line))


class _File:
    """A parser of the setting: the rules of a file. Raises ValueError for the first mistake, with its line."""

    def __call__(self, text: str) -> RuleSet:
        if not text.strip():
            return NO_RULES
        rules, mistakes = rules_in(Path(text.strip()))
        if not mistakes:
            return rules
        first, *others = mistakes
        more = f" (and {len(others)} more: `bms rules check {rules.file}` tells all)" if others else ""
        raise ValueError(f"{rules.file}:{first.line}: {first.text}{more}")

    @staticmethod
    def show(rules: RuleSet) -> str:
        return rules.file


@section("rules")
class Settings(CheckSettings):
    """[rules]: the site's own tests."""

    file: RuleSet = option(
        NO_RULES,
        "named tests with points, on header, text, links and names of attachments: docs/rules.md; `bms rules check` tries them",
        parse=_File(),
    )
    on_error: OnError = option(
        OnError.ACCEPT, "when the rules take too long: accept (go on without them), tempfail or reject"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding(base.Finding):
    """The rules with points that the message meets, and the text that they matched."""

    check: ClassVar[str] = NAME
    met: tuple[Met, ...] = ()


def applies(settings: Settings) -> bool:
    return bool(settings.file)


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> Finding | None:
    """None if no rule is met, and for our own users' mail."""
    assert message is not None
    if from_our_users(message):
        return None
    rules = services.settings[Settings].file
    try:
        met = tuple(rules.met(shown(message), services.deadline.at_most(_TIME)))
    except OutOfTime:
        return Finding(error="the site's own rules took too long")
    return Finding(met=met) if met else None


def declares(settings: Settings) -> tuple[Test, ...]:
    """The rules with points."""
    return tuple(
        Test(rule.name, rule.points, NAME, rule.describe or "A rule of this site.")
        for rule in settings.file.rules
        if rule.points is not None
    )


def points(finding: Finding, findings: Findings, settings: Settings) -> tuple[Hit, ...]:
    """The rules that are met and still in the file."""
    told = {rule.name: rule.describe or "a rule of this site" for rule in settings.file.rules}
    return tuple(
        Hit(one.name, f"{told[one.name][:1].upper()}{told[one.name][1:]}: {one.seen!r}.")
        for one, _ in _counted(finding, settings)
    )


def decide(finding: Finding, findings: Findings, settings: Settings, policy: AccessMap | AccessTable) -> Verdict:
    """The rules only give points; checks/score.py adds up all tests of a message."""
    told = (f"{one.name} {worth:+g} ({one.seen!r})" for one, worth in _counted(finding, settings))
    return Verdict(Action.CONTINUE, reason="; ".join(told))


def _counted(finding: Finding, settings: Settings) -> list[tuple[Met, float]]:
    """The met rules that are still in the file, with their points: the file may have changed when a message is decided
    again.
    """
    known = ((one, settings.file.by_name.get(one.name)) for one in finding.met)
    return [(one, rule.points) for one, rule in known if rule is not None and rule.points is not None]
