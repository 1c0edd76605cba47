"""The command `db`: the database's tables."""

from __future__ import annotations

from pathlib import Path

import click

from antispam.service.application import Program, load_settings, opened_store


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

    return group
