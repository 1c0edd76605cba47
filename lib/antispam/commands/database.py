"""The command `db`: the database's tables."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import click
import sqlalchemy as sa
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from antispam.commands.tables import console_of, table_of
from antispam.service.application import Program, absent_file, load_settings, opened_store
from antispam.store import live_move
from antispam.store.checking import check
from antispam.store.connecting import url_from
from antispam.store.engine import Store, StoreError
from antispam.store.live_move import move_live
from antispam.store.migrate import leave_to_its_owner
from antispam.store.move import Counted, MoveError, move
from antispam.store.move import Progress as Told
from antispam.text import for_log


class CheckError(click.ClickException):
    """An error with exit status 2: the database could not be checked."""

    exit_code = 2


def database_command(program: Program) -> click.Command:
    """`db`, for the commands of a program."""

    @click.group("db")
    def group() -> None:
        """The tables of the database ([store] url)."""

    @group.command("upgrade")
    @click.pass_obj
    def upgrade_command(config: Path | None) -> None:
        """Bring the tables up to date with this version. The filter does the same when it starts; packages do it before, so
        that a start does not wait for it."""
        with opened_store(load_settings(program, config)):
            click.echo("The tables are up to date.")

    @group.command("check")
    @click.pass_obj
    def check_command(config: Path | None) -> None:
        """Look for damage: the files, the version, tables, indexes, and rows that lack what they belong to. Only reads; the
        filter may run. Prints each fault with what would repair it. Exit status: 0 nothing found, 1 something found, 2 the
        database could not be checked."""
        settings = load_settings(program, config)
        try:
            leave_to_its_owner(url_from(settings))
            if (absent := absent_file(settings)) is not None:
                raise CheckError(f"there is no database at {absent}")
            with contextlib.closing(Store.from_settings(settings)) as store:
                faults = list(check(store))
        except (StoreError, OSError, ImportError, sa.exc.SQLAlchemyError) as error:
            raise CheckError(f"the database could not be checked: {for_log(str(error))}") from error
        for fault in faults:
            click.echo(f"{fault.about}: {for_log(fault.text, 500)}\n  repair: {for_log(fault.repair, 2000)}")
        if any(fault.harms for fault in faults):
            raise click.exceptions.Exit(1)
        click.echo("The database is sound.")

    @group.command("move")
    @click.argument("source", metavar="FROM")
    @click.argument("target", metavar="TO")
    @click.option("--live", is_flag=True, help="the filter goes on; at the end it can't write to FROM any more")
    @click.option("--cancel", is_flag=True, help="give a --live move up: FROM is used as before, TO can be deleted")
    def move_command(source: str, target: str, live: bool, cancel: bool) -> None:
        """Copy everything from the database FROM to the empty database TO: SQLite, PostgreSQL or MariaDB, each given as in
        [store] url. Stop the filter first, or use --live. If the copy is interrupted, the same command continues it. Set
        [store] url to TO afterwards. See docs/databases.md."""
        try:
            if cancel:
                live_move.cancel(source)
                click.echo("FROM can be used again; it lacks what was written to TO.")
                return
            counted = _moved(move_live if live else move, source, target)
        except KeyboardInterrupt:
            raise click.ClickException("interrupted. Nothing is lost: the same command continues the copy") from None
        except (MoveError, StoreError, OSError, ImportError, sa.exc.SQLAlchemyError) as error:
            raise click.ClickException(for_log(str(error))) from error
        _print(counted, "reload" if live else "start")

    return group


def _moved(how: Callable[[str, str, Told], list[Counted]], source: str, target: str) -> list[Counted]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("")
        return how(
            source,
            target,
            lambda table, copied, total: bar.update(task, description=table, completed=copied, total=total),
        )


def _print(counted: list[Counted], then: str) -> None:
    table = table_of("table", "rows in FROM", "rows in TO")
    for one in counted:
        table.add_row(one.table, str(one.source), str(one.target))
    console_of(100).print(table)
    differing = [one.table for one in counted if one.source != one.target]
    if differing:
        raise click.ClickException(
            f"the counts differ ({', '.join(differing)}): something wrote to a database meanwhile. Stop the filter, empty TO, "
            "and give the command again"
        )
    click.echo(f"Every row was copied. Set [store] url to the new database, then {then} the filter.")
