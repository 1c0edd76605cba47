"""The command line of a milter program. Each command is imported only when it is used: `--help` and `--version` need
none.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click
from click.shell_completion import CompletionItem

from antispam import __version__

if TYPE_CHECKING:
    from antispam.journey.table import Journey
    from antispam.service.application import Program
    from antispam.settings.dialects import Dialect
    from antispam.settings.load import Defaults


@dataclasses.dataclass(frozen=True, slots=True)
class Command:
    """A command that is imported on demand.

    name     as typed
    factory  the function that makes it from a Program: "module:function", with the module below antispam.commands
    help     the first sentence of its help
    """

    name: str
    factory: str
    help: str

    def make(self, program: Program) -> click.Command:
        """Import it."""
        module, _, function = self.factory.partition(":")
        made = getattr(importlib.import_module(f"antispam.commands.{module}"), function)(program)
        assert isinstance(made, click.Command)
        return made


COMMON = (
    Command(
        "run",
        "running:run_command",
        "Run the filter in the foreground until TERM or Ctrl-C; HUP applies a new configuration.",
    ),
    Command(
        "check-config",
        "running:check_config_command",
        "Print the effective settings and where each comes from; fail on the first that is wrong.",
    ),
    Command(
        "scan",
        "scan:scan_command",
        "Send message FILES ('-' is standard input) through the same checks as the filter does, without an MTA, "
        "and explain the outcome.",
    ),
)
"""The commands of every program."""


class Group(click.Group):
    """A group of commands that are imported on demand."""

    def __init__(
        self, *arguments: Any, program: Callable[[], Program], listed: Sequence[Command] = (), **attributes: Any
    ) -> None:
        super().__init__(*arguments, **attributes)
        self.program = program
        self.listed = {command.name: command for command in listed}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*self.commands, *self.listed})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in self.listed and cmd_name not in self.commands:
            self.add_command(self.listed[cmd_name].make(self.program()))
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Like click, but without importing each command for its help."""
        names = self.list_commands(ctx)
        limit = formatter.width - 6 - max(map(len, names))
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._short_help(name, limit)) for name in names])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Like click, but without importing each command, because people wait for completions."""
        names = (name for name in self.list_commands(ctx) if name.startswith(incomplete))
        commands = [CompletionItem(name, help=self._short_help(name, 45)) for name in names]
        return [*commands, *click.Command.shell_complete(self, ctx, incomplete)]

    def _short_help(self, name: str, limit: int) -> str:
        command = click.Command(name, help=self.listed[name].help) if name in self.listed else self.commands[name]
        return command.get_short_help_str(limit)


def make_group(
    journey: Journey,
    name: str,
    help: str,
    config: str = "/etc/mail/milter.cfg",
    commands: Sequence[Command | Callable[[Program], click.Command]] = (),
    dialect: Dialect | None = None,
    defaults: Defaults | None = None,
) -> Group:
    """The command line of a program: without a command it runs the filter. `config` is the system's file for it, `dialect` how
    it is read (bms.py's), `defaults` are this program's own; `commands` are those that only this program has."""

    @functools.cache
    def program() -> Program:
        try:
            from antispam.service.application import Program
        except ModuleNotFoundError as error:  # a checkout, started with a Python that lacks its dependencies
            raise click.ClickException(
                f"this Python ({sys.executable}) lacks the package {error.name}. `make run` installs everything into "
                f".venv: run .venv/bin/{name}"
            ) from error
        from antispam.settings.dialects import BMS

        return Program(name, journey, Path(config), dialect or BMS, defaults or {})

    listed = [command for command in commands if isinstance(command, Command)]

    @click.group(
        name,
        cls=Group,
        program=program,
        listed=[*COMMON, *listed],
        invoke_without_command=True,
        help=help,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    @click.option(
        "--config", "-c", type=click.Path(dir_okay=False, path_type=Path),
        help=f"the configuration to read  [default: {Path(config)} where it exists]",
    )  # fmt: skip
    @click.option(
        "--test",
        "tested",
        multiple=True,
        type=click.File("rb"),
        metavar="FILE",
        help="say briefly what would become of a message, and exit; `scan` shows more",
    )
    @click.version_option(__version__, prog_name=name)
    @click.pass_context
    def group(context: click.Context, config: Path | None, tested: tuple[BinaryIO, ...]) -> None:
        context.obj = config
        if tested:
            from antispam.commands.trial import trial

            sys.exit(trial(program(), config, tested))
        if context.invoked_subcommand is None:
            from antispam.commands.running import run

            sys.exit(run(program(), config))

    for command in commands:
        if not isinstance(command, Command):
            group.add_command(command(program()))
    return group
