"""`make man`: a manual page of each command, made of its --help. Usage: python -m release.manual FOLDER

Pages of the configuration files are made by release/config_manual.py. Written anew and not with click-man, which knows neither
commands that are imported when they are given nor files.
"""

from __future__ import annotations

import datetime
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import click

from release import config_manual, dist
from release.programs import PROGRAMS
from release.roff import bold, escaped, literal, page, prose, section, term

_SECTION = 8  # commands of administrators


def pages(day: str, version: str) -> Iterator[tuple[str, str]]:
    """The file name and the text of each page."""
    for name, program in PROGRAMS.items():
        config = f"{name}.cfg" if name != "bms" else "milter.cfg"
        top = click.Context(program, info_name=name, **program.context_settings)
        for context in _contexts(top):
            yield _file_of(context), _command_page(context, config, day, version)
        yield f"{config}.5", config_manual.page_of(config, program, day, version)


def _contexts(context: click.Context) -> Iterator[click.Context]:
    """A command and, for a group, all commands below it."""
    yield context
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            command = context.command.get_command(context, name)
            if command is not None and not command.hidden:
                yield from _contexts(click.Context(command, info_name=name, parent=context, **command.context_settings))


def _page_name(context: click.Context) -> str:
    return context.command_path.replace(" ", "-")


def _file_of(context: click.Context) -> str:
    return f"{_page_name(context)}.{_SECTION}"


def _command_page(context: click.Context, config: str, day: str, version: str) -> str:
    command = context.command
    about = command.get_short_help_str(1000).rstrip(".")
    body = [section("SYNOPSIS"), _synopsis(context), section("DESCRIPTION"), *_description(command.help or "")]
    body += _options(context)
    if isinstance(command, click.Group):
        body += [section("COMMANDS"), *_commands(context, command)]
    body += [section("FILES"), term(f"\\fI{escaped(f'/etc/mail/{config}')}\\fR", f"See {escaped(config)}(5).")]
    body += [section("SEE ALSO"), ".BR " + " ,\n.BR ".join(_see_also(context, config)) + "\n"]
    return page(_page_name(context), _SECTION, day, version, about, body)


def _synopsis(context: click.Context) -> str:
    pieces = " ".join(context.command.collect_usage_pieces(context))
    return f"{bold(context.command_path)} {escaped(pieces)}\n"


def _description(text: str) -> Iterator[str]:
    """The paragraphs of a help text; click does not wrap those that begin with a backspace."""
    for paragraph in text.split("\n\n"):
        if paragraph.lstrip().startswith("\b"):
            yield literal(textwrap.dedent(paragraph.replace("\b", "").strip("\n")).splitlines())
        elif paragraph.strip():
            yield f".PP\n{prose(paragraph)}\n"


def _options(context: click.Context) -> Iterator[str]:
    params = context.command.get_params(context)
    records = [record for param in params if (record := param.get_help_record(context)) and record[1]]
    if records:
        yield section("OPTIONS")
        for names, text in records:
            yield term(bold(names), prose(text))


def _commands(context: click.Context, group: click.Group) -> Iterator[str]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is not None and not command.hidden:
            yield term(bold(name), prose(command.get_short_help_str(1000)))


def _see_also(context: click.Context, config: str) -> Iterator[str]:
    if context.parent is not None:
        yield f"{escaped(_page_name(context.parent))} ({_SECTION})"
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            yield f"{escaped(f'{_page_name(context)}-{name}')} ({_SECTION})"
    yield f"{escaped(config)} (5)"


def write(folder: Path) -> list[Path]:
    """Write all pages below `folder`/man."""
    day = datetime.datetime.fromtimestamp(dist.epoch(), datetime.UTC).date().isoformat()
    made = []
    for name, text in pages(day, dist.version()):
        path = folder / "man" / f"man{name[-1]}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        made.append(path)
    return made


if __name__ == "__main__":
    print(f"{len(write(Path(sys.argv[1])))} pages are in {sys.argv[1]}/man.")
