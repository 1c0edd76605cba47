"""`rates`: shows the amounts sent and the stopped logins, and releases logins."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from antispam.checks._shared.rates import Of, RatesSettings, counted_as, login_key, period_in_words
from antispam.service.application import Program, load_settings, opened_store
from antispam.store import windows
from antispam.text import for_log, local_time


def rates_command(program: Program) -> click.Command:
    """`rates`, for the commands of a program."""

    @click.group("rates")
    def group() -> None:
        """How much logins, networks and senders send, and the logins that were stopped ([rates], docs/rates.md)."""

    @group.command("show")
    @click.pass_obj
    def show(config: Path | None) -> None:
        """Show the stopped logins, and who sent most recently and most."""
        settings = load_settings(program, config)
        period = settings[RatesSettings].period
        now = time.time()
        with opened_store(settings) as store:
            stopped = windows.all_stopped(store)
            busiest = {of: windows.busiest(store, counted_as(of, ""), now, period, 10) for of in Of}
        table = Table("", "who", f"in the last {period_in_words(period)}")
        for one in stopped:
            told = f"[red]stopped[/] {local_time(one.stopped_at)}: {escape(for_log(one.reason))}"
            table.add_row("login", escape(for_log(one.login)), told)
        for of, found in busiest.items():
            for name, used in found:
                table.add_row(of, escape(for_log(name)), f"{used:.0f}")
        Console(soft_wrap=True).print(table if table.row_count else "Nothing was sent lately that is counted.")

    @group.command("release")
    @click.argument("logins", nargs=-1, required=True, metavar="LOGIN...")
    @click.pass_obj
    def release(config: Path | None, logins: tuple[str, ...]) -> None:
        """Let LOGINs send again that were stopped, and count what they send from now on.

        Exit status 1: one was not stopped.
        """
        with opened_store(load_settings(program, config)) as store:
            released = {one: windows.release(store, one, counted_as(Of.LOGIN, one)) for one in map(login_key, logins)}
        missing = [login for login, was_stopped in released.items() if not was_stopped]
        for login in missing:
            click.echo(f"{for_log(login)} is not stopped", err=True)
        click.echo(f"{len(released) - len(missing)} released")
        sys.exit(1 if missing else 0)

    return group
