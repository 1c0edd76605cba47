"""`run` and `check-config`: the commands of every program. `--test` is in trial.py."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import click

from antispam import __version__
from antispam.commands.web import first_login_lines
from antispam.mail.access_map import AccessMap, AccessSettings
from antispam.net.sockets import SocketSpec, group_id
from antispam.service import learn_server, logs
from antispam.service.application import ConfigError, Program, load_settings
from antispam.service.board import Board
from antispam.service.effective import shown, warnings_of
from antispam.service.plan import ProcessPlan, SideServer
from antispam.service.privileges import UserError, find_user
from antispam.service.serving import board_of, process_plan
from antispam.service.supervisor import Supervisor
from antispam.settings import Settings, SettingsError
from antispam.settings.imap import ImapSettings
from antispam.settings.learn import LearnSettings
from antispam.settings.load import Origin
from antispam.settings.logs import LogSettings
from antispam.settings.program import ProgramSettings
from antispam.settings.web import WebSettings


def run_command(program: Program) -> click.Command:
    """`run`, for the commands of a program."""

    @click.command("run")
    @click.option("--show-mta-lines", is_flag=True, help="print the lines for sendmail.mc and main.cf first")
    @click.option(
        "--first-login",
        metavar="NAME",
        default="",
        help="print the address of the console, and a link that lets the administrator NAME in while they have no password; "
        "NAME is created if there is no account yet",
    )
    @click.pass_obj
    def command(config: Path | None, show_mta_lines: bool, first_login: str) -> None:
        """Run the filter in the foreground until TERM or Ctrl-C; HUP applies a new configuration."""
        sys.exit(run(program, config, show_mta_lines=show_mta_lines, first_login=first_login))

    return command


def check_config_command(program: Program) -> click.Command:
    """`check-config`, for the commands of a program."""

    @click.command("check-config")
    @click.option("--changed", is_flag=True, help="show only what differs from the defaults")
    @click.pass_obj
    def command(config: Path | None, changed: bool) -> None:
        """Print the effective settings and where each comes from; fail on the first that is wrong."""
        settings = load_settings(program, config)
        print_settings(settings, only_changed=changed)
        problems = AccessMap.from_settings(settings[AccessSettings]).table.problems
        if problems:
            raise ConfigError("the access map has mistakes:\n" + "\n".join(f"  {problem}" for problem in problems))
        _demand_accounts(settings[ProgramSettings])
        _demand_teachers(settings)
        for warning in warnings_of(settings, program.name):
            click.echo(f"Warning: {warning}", err=True)
        if settings[ProgramSettings].observe:
            click.echo("[milter] observe is on: every check only logs what it would do.", err=True)
        click.echo("The configuration is correct.")

    return command


def _demand_accounts(settings: ProgramSettings) -> None:
    """Check that the accounts needed by `run` exist on this machine. Raises ConfigError."""
    try:
        if settings.user:
            find_user(settings.user)
        if settings.socket_group:
            group_id(settings.socket_group)
    except (UserError, OSError) as error:
        raise ConfigError(f"[milter]: {error.strerror if isinstance(error, OSError) else error}") from None


def _demand_teachers(settings: Settings) -> None:
    """Check that the accounts in [learn] exist. Raises ConfigError."""
    if LearnSettings not in settings:
        return
    own = settings[LearnSettings]
    for name in own.teachers:
        try:
            learn_server.uid_of(name)
        except KeyError:
            raise ConfigError(f"[learn] teachers: there is no system user {name!r}") from None
    try:
        if own.socket_group:
            group_id(own.socket_group)
    except OSError as error:
        raise ConfigError(f"[learn]: {error.strerror}") from None


def run(program: Program, config: Path | None, *, show_mta_lines: bool = False, first_login: str = "") -> int:
    """Serve under the supervisor. Returns the exit code."""
    settings = load_settings(program, config)
    try:
        logs.configure(settings[LogSettings], program.name, settings[ProgramSettings].user)
    except OSError as error:
        raise ConfigError(f"the log cannot be opened: {error}") from error
    if show_mta_lines:
        click.echo(first_lines(settings, program.name, config))
    if first_login:
        click.echo("\n".join(first_login_lines(settings, first_login)))

    board = board_of(program)
    try:
        plan = _plan(program, settings, board)
    except SettingsError as error:
        raise ConfigError(str(error)) from error
    return int(Supervisor(plan, lambda: _plan(program, program.read_settings(config), board)).run())


def _plan(program: Program, settings: Settings, board: Board) -> ProcessPlan:
    """The processes for the supervisor: the workers, and those required by [learn], [imap] and [web]. Raises
    SettingsError.
    """
    plan = process_plan(program, settings, board)
    beside = (
        *learn_server.side_servers(program.journey, settings),
        *_poller(program, settings),
        *_console(program, settings, board),
    )
    return dataclasses.replace(plan, side_servers=(*plan.side_servers, *beside))


def _poller(program: Program, settings: Settings) -> tuple[SideServer, ...]:
    if ImapSettings not in settings or not (settings[ImapSettings].serve and settings[ImapSettings].accounts):
        return ()
    try:
        from antispam.service.imap_server import side_server
    except ImportError as error:
        text = f"[imap]: the poller needs one more package, pip install 'bms-antispam[imap]' ({error})"
        raise SettingsError(text) from error
    return (side_server(program.journey, settings),)


def _console(program: Program, settings: Settings, board: Board) -> tuple[SideServer, ...]:
    if WebSettings not in settings or not settings[WebSettings].listen:
        return ()
    try:
        from antispam.web.server import side_server
    except ImportError as error:
        text = f"[web] listen: the console needs more packages, pip install 'bms-antispam[web]' ({error})"
        raise SettingsError(text) from error
    return (side_server(program.journey, settings, board),)


def first_lines(settings: Settings, name: str, config: Path | None) -> str:
    """The lines to paste into sendmail.mc and main.cf so that the MTA uses the filter, and the commands for questions
    about mail.
    """
    return "\n".join(
        (
            f"{name} {__version__} filters mail as soon as an MTA sends it here. Paste one of these:",
            "",
            *sendmail_lines(settings, name),
            "",
            *postfix_lines(settings),
            "",
            "  in another terminal   (--help lists all commands)",
            f"    {_typed(name)}{f' -c {config}' if config is not None else ''} report",
            "",
            "Ctrl-C stops the filter.",
            "",
        )
    )


def _typed(name: str) -> str:
    """The command to type for this program: the one beside the running Python, which finds its packages."""
    beside = Path(sys.executable).with_name(name)
    if not beside.exists():
        return sys.argv[0]
    here = Path.cwd()
    return str(beside.relative_to(here) if beside.is_relative_to(here) else beside)


def sendmail_lines(settings: Settings, name: str) -> list[str]:
    """The lines to paste into sendmail.mc."""
    spec, called = SocketSpec.parse(settings[ProgramSettings].socket), settings[ProgramSettings].name or name
    return [
        "  sendmail.mc   (then make -C /etc/mail, and restart sendmail)",
        f"    INPUT_MAIL_FILTER(`{called}', `S={spec.sendmail}, F=T, T=C:10s;S:10s;R:30s;E:5m')dnl",
    ]


def postfix_lines(settings: Settings, chroot: str = "") -> list[str]:
    """The lines to paste into main.cf. Postfix sees a socket below `chroot` by the rest of its path only."""
    shown = SocketSpec.parse(settings[ProgramSettings].socket).postfix
    if chroot and shown.startswith(f"unix:{chroot}/"):
        shown = f"unix:{shown.removeprefix(f'unix:{chroot}/')}"
    return [
        "  main.cf       (then postfix reload)",
        f"    smtpd_milters = {shown}",
        "    milter_default_action = tempfail",
    ]


def print_settings(settings: Settings, *, only_changed: bool = False) -> None:
    """Print the effective options, section by section; secrets are hidden."""
    import rich.console  # imported here because `run` would keep it in memory while it serves

    console = rich.console.Console(soft_wrap=True, highlight=False, emoji=False)
    sections: dict[str, dict[str, Origin]] = {}  # checks may share a section, including mode and on_error
    for origin in settings.origins:
        if not (only_changed and origin.where == "default"):
            sections.setdefault(origin.section, {})[origin.option] = origin
    for section, origins in sections.items():
        console.print(f"[bold]\\[{section}][/]")
        width = max(map(len, origins))
        for origin in origins.values():
            # Not a table, which would truncate values in a narrow terminal or a pipe.
            line = f"{origin.option:{width}} = {shown(origin)}  # {origin.where}"
            console.print(line, markup=False, style="dim" if origin.where == "default" else "")
        console.print()
