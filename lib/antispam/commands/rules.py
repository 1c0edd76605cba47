"""`rules`: checks the site's rules, and tests them on mail."""

from __future__ import annotations

import collections
import sys
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from antispam.checks.rules import Settings, rules_in
from antispam.deadline import Deadline
from antispam.learning.training import read_all
from antispam.mail.message import Body, Message, split_message
from antispam.mail.shown import Shown
from antispam.protocols.mailboxes import MAX_MESSAGE, MailboxError, files
from antispam.protocols.site_rules import Mistake, OutOfTime, Rule, RuleSet
from antispam.service.application import Program, load_settings
from antispam.text import for_log

_TIME = 60.0  # seconds for all rules and one message
_INTERRUPTED = 130  # as in shells


def rules_command(program: Program) -> click.Command:
    """`rules`, for the commands of a program."""

    @click.group("rules")
    def group() -> None:
        """The site's own tests of mail ([rules] file, docs/rules.md)."""

    @group.command("check")
    @click.argument("file", required=False, type=click.Path(path_type=Path, exists=True))
    @click.argument("mail", nargs=-1, type=click.Path(path_type=Path))
    @click.pass_obj
    def check(config: Path | None, file: Path | None, mail: tuple[Path, ...]) -> None:
        """List the mistakes in FILE with their lines, and how many messages of MAIL (mbox files, maildirs, folders, files)
        match each rule.

        Without FILE, or if it is a folder and so counts as mail, the rules are those of [rules] file. Exit status 1: there is
        a mistake."""
        if file is not None and file.is_dir():
            mail, file = (file, *mail), None
        rules, mistakes = rules_in(file) if file is not None else (_configured(program, config), ())
        for mistake in mistakes:
            click.echo(_told(rules, mistake), err=True)
        if not rules and not mistakes:
            raise click.ClickException("there is no rule: name a file here, or in [rules] file")
        for doubt in _doubts(rules):
            click.echo(_told(rules, doubt, "warning: "), err=True)
        click.echo(f"{_counted(len(rules.rules), 'rule')}, {_counted(len(mistakes), 'mistake')}")
        if mail and not mistakes:
            _try(rules, mail)
        sys.exit(1 if mistakes else 0)

    return group


def _configured(program: Program, config: Path | None) -> RuleSet:
    return load_settings(program, config)[Settings].file


def _told(rules: RuleSet, mistake: Mistake, what: str = "") -> str:
    return for_log(f"{rules.file}:{mistake.line}: {what}{mistake.text}", 1000)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _doubts(rules: RuleSet) -> list[Mistake]:
    """Rules that are valid but probably not intended."""
    asked = {name for rule in rules.rules for name in rule.asks}
    warnings = []
    for rule in rules.rules:
        if rule.pattern is not None and rule.pattern.fits_nothing:
            warnings.append(Mistake(rule.line, f"[{rule.name}] fits every text, the empty one too"))
        if rule.points is None and rule.name not in asked:
            warnings.append(
                Mistake(rule.line, f"[{rule.name}] has no points, and no other rule asks for it: it does nothing")
            )
    return warnings


def _try(rules: RuleSet, mail: Sequence[Path]) -> None:
    """Print the number of messages that match each rule."""
    met: collections.Counter[str] = collections.Counter()
    unreadable: list[str] = []
    seen = 0
    interrupted = False
    try:
        found = files(list(mail))
    except MailboxError as error:
        raise click.ClickException(for_log(str(error))) from error
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("trying", total=len(found))
        reached: set[Path] = set()
        try:
            for stored in read_all(found, unreadable):
                seen += 1
                reached.add(stored.path)
                progress.update(task, total=seen + len(found) - len(reached), completed=seen)
                try:
                    met.update(one.name for one in rules.met(_shown(stored.raw), Deadline.after(_TIME), helpers=True))
                except OutOfTime:
                    unreadable.append(f"{stored.name}: the rules take longer than {_TIME:g} seconds")
        except KeyboardInterrupt:
            interrupted = True
    for problem in unreadable:
        click.echo(for_log(problem), err=True)
    _print(rules, met, seen)
    if interrupted:
        click.echo(f"stopped after {_counted(seen, 'message')}; the figures are of those", err=True)
        sys.exit(_INTERRUPTED)


def _shown(raw: bytes) -> Shown:
    headers, content = split_message(raw)
    body = Body(MAX_MESSAGE)
    body.write(content)
    return Shown(Message("", "", 0.0, body, headers=headers))


def _print(rules: RuleSet, met: collections.Counter[str], seen: int) -> None:
    table = Table(title=f"{_counted(seen, 'message')}")
    table.add_column("rule", no_wrap=True)
    for heading in ("points", "messages", "%"):
        table.add_column(heading, justify="right")
    table.add_column("what it tests")
    for rule in rules.rules:
        points = "-" if rule.points is None else f"{rule.points:+g}"
        share = f"{100 * met[rule.name] / seen:.1f}" if seen else "-"
        table.add_row(rule.name, points, str(met[rule.name]), share, escape(_what(rule)))
    Console().print(table)


def _what(rule: Rule) -> str:
    if rule.describe:
        return rule.describe
    if rule.when is not None:
        return rule.when.text
    return f"{rule.place} {rule.field} {rule.pattern}".replace("  ", " ")
