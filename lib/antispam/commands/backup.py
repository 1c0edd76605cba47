"""The commands `backup` and `restore`: the whole store, copied and put back while mail flows."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import sqlalchemy as sa

from antispam.service.application import Program, load_settings
from antispam.store import backup, migrate
from antispam.store.connecting import url_from
from antispam.store.migrate import revisions


def backup_command(program: Program) -> click.Command:
    """`backup`, for the commands of a program."""

    @click.command("backup")
    @click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
    @click.pass_obj
    def command(config: Path | None, file: Path) -> None:
        """Copy the whole store (history, quarantine, outbox, dictionaries, lists) to FILE while the filter runs.

        A copy made with `cp` would lack recent changes. For PostgreSQL and MariaDB the right command is printed."""
        url = sa.engine.make_url(url_from(load_settings(program, config)))
        if (commands := backup.of_server(url, file)) is not None:
            click.echo(commands[0])
            return
        with _explained(), _bar("Copying") as progress:
            backup.save(Path(url.database or ""), file, progress)
        click.echo(
            f"{file} has everything, {file.stat().st_size:,} octets. `{program.name} restore {file}` puts it back."
        )

    return command


def restore_command(program: Program) -> click.Command:
    """`restore`, for the commands of a program."""

    @click.command("restore")
    @click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
    @click.option("--yes", is_flag=True, help="don't ask")
    @click.pass_obj
    def command(config: Path | None, file: Path, yes: bool) -> None:
        """Replace the contents of the store with the backup in FILE. What was stored since then is lost.

        Mail may flow in the meantime. Reload the filter afterwards, because its workers cache data."""
        url = sa.engine.make_url(url_from(load_settings(program, config)))
        if (commands := backup.of_server(url, file)) is not None:
            click.echo(commands[1])
            return
        database = Path(url.database or "")
        with _explained():
            backup.check(file, revisions())
        if database.exists() and not yes:
            click.confirm(f"Replace everything in {database} with the contents of {file}?", abort=True, err=True)
        with _explained():
            migrate(str(url))  # refuses if root would leave files that the filter cannot write
            with _bar("Restoring") as progress:
                backup.put_back(file, database, progress)
            migrate(str(url))  # the backup may come from an older version
        click.echo(
            f"{database} has been restored from {file}. Please reload the filter now: systemctl reload {program.name}"
        )

    return command


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except backup.BackupError as error:
        raise click.ClickException(str(error)) from error
    except (OSError, sa.exc.SQLAlchemyError) as error:
        raise click.ClickException(f"the database: {error}") from error


@contextlib.contextmanager
def _bar(label: str) -> Iterator[backup.Progress]:
    """A progress bar on standard error, only on a terminal."""
    with click.progressbar(length=1, label=label, file=sys.stderr) as bar:

        def progress(left: int, total: int) -> None:
            bar.length = max(total, 1)
            bar.update(total - left - bar.pos)

        yield progress
