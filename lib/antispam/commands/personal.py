"""The commands `export` and `forget`: what is stored about one person."""

from __future__ import annotations

import base64
import json
import os
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import sqlalchemy as sa

from antispam.journey import saved
from antispam.learning import erasure
from antispam.learning.personal_data import Person, Row, Search, person_of
from antispam.service.application import Program, load_settings, opened_store
from antispam.settings import Settings
from antispam.settings.program import ProgramSettings, StoreSettings
from antispam.store import Store
from antispam.store.connecting import url_from
from antispam.store.personal import TABLES
from antispam.store.sqlite_file import compact
from antispam.text import for_log

FILES = "files with originals"
_SECRET = {("web_account", "password"), ("web_session", "digest"), ("web_link", "digest"), ("outbox", "pass_digest")}
_ELSEWHERE = (
    "Not in the database, and not looked at: the log, the archive, backups, and what other nodes have in files. "
    "docs/privacy.md says how long each stays."
)


def export_command(program: Program) -> click.Command:
    """`export`, for the commands of a program."""

    @click.command("export")
    @click.argument("address")
    @click.option(
        "--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="a new file instead of standard output"
    )
    @click.pass_obj
    def command(config: Path | None, address: str, output: Path | None) -> None:
        """Write all that is stored about ADDRESS, as lines of JSON.

        A line is {"table": ..., "row": {...}}. Messages are text where they can be, else in base64. docs/privacy.md tells
        what each table is for."""
        settings = load_settings(program, config)
        with opened_store(settings, existing=True) as store:
            person = _person(address, settings, store)
            lines = _lines(store, settings, person)
            if output is None:
                for line in lines:
                    click.echo(line)
            else:
                _write(output, lines)
        if person.shares:
            click.echo(f"The dictionary {for_log(person.shares)} is shared with others, and is not exported.", err=True)

    return command


def forget_command(program: Program) -> click.Command:
    """`forget`, for the commands of a program."""

    @click.command("forget")
    @click.argument("address")
    @click.option("--yes", is_flag=True, help="delete it; without this it is only counted")
    @click.option(
        "--compact/--no-compact",
        "rewrite",
        default=True,
        help="write an SQLite file anew afterwards, so that no free page has it either; mail waits meanwhile  [default: on]",
    )
    @click.pass_obj
    def command(config: Path | None, address: str, yes: bool, rewrite: bool) -> None:
        """Delete all that is stored about ADDRESS; without --yes only count it.

        That is history, quarantine, outbox, lists, greylist, callbacks, reports, and the dictionary, preferences and account
        of the user whose address it is, unless they share these with others.

        Messages of others in which it is named go, too: release those that are needed first. What is still to be sent
        stays; then the exit status is 1. See docs/privacy.md."""
        settings = load_settings(program, config)
        with opened_store(settings, existing=True) as store:
            person = _person(address, settings, store)
            files = [path for path in saved.originals(settings[ProgramSettings]) if _names(path, person)]
            if not yes:
                found = erasure.counted(store, person) | ({FILES: len(files)} if files else {})
                _show(found)
                click.echo("Nothing was deleted: --yes deletes it." if found else f"Nothing is stored about {address}.")
                return
            store.overwrite_deleted()
            done = erasure.forget(store, person, time.time())
        for path in files:
            path.unlink(missing_ok=True)
        _show(done.rows | ({FILES: len(files)} if files else {}))
        clean = not rewrite or _compacted(settings)
        _conclude(program, person, done, clean)

    return command


def _conclude(program: Program, person: Person, done: erasure.Forgotten, clean: bool) -> None:
    if person.shares:
        click.echo(f"The dictionary {for_log(person.shares)} is shared with others, and stays.")
    for other in person.others:
        click.echo(f"The same user has the address {for_log(other)}, which is not forgotten.")
    click.echo(_ELSEWHERE)
    for table, number in done.left.items():
        click.echo(
            f"{table}: {number} are still to be sent and stay; `{program.name} outbox list` shows them", err=True
        )
    if done.left or not clean:
        sys.exit(1)


def _person(address: str, settings: Settings, store: Store) -> Person:
    try:
        return person_of(address, settings, store)
    except ValueError as error:
        raise click.ClickException(f"{for_log(address, 100)}: {error}") from error


def _show(found: dict[str, int]) -> None:
    for name, number in found.items():
        about = f": {TABLES[name].why}" if name in TABLES else ""
        click.echo(f"{number:8}  {name}{about}")


def _names(path: Path, person: Person) -> bool:
    return person.in_text(path.read_bytes().decode("latin-1"))


def _compacted(settings: Settings) -> bool:
    url = sa.engine.make_url(url_from(settings))
    if url.get_backend_name() != "sqlite" or not url.database:
        return True
    try:
        if compact(url.database, settings[StoreSettings].busy_timeout):
            return True
        problem = "somebody reads it"
    except sqlite3.Error as error:
        problem = str(error)
    click.echo(f"The database file could not be written anew ({for_log(problem)}); please try again.", err=True)
    return False


def _lines(store: Store, settings: Settings, person: Person) -> Iterator[str]:
    search = Search(store, person)
    for name in TABLES:
        for row in search.rows(name):
            yield json.dumps({"table": name, "row": _plain(name, row)}, ensure_ascii=False)
    for path in saved.originals(settings[ProgramSettings]):
        if _names(path, person):
            yield json.dumps({"file": path.name, "content": _text(path.read_bytes())}, ensure_ascii=False)


def _plain(table: str, row: Row) -> dict[str, Any]:
    values = {column: value for column, value in row.items() if (table, column) not in _SECRET}
    return {column: _text(value) if isinstance(value, bytes) else value for column, value in values.items()}


def _text(octets: bytes) -> str | dict[str, str]:
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(octets).decode()}


def _write(path: Path, lines: Iterator[str]) -> None:
    try:
        with open(path, "x", encoding="utf-8", opener=_privately) as file:
            for line in lines:
                print(line, file=file)
    except FileExistsError:
        raise click.ClickException(f"{path} exists; please name another file, or move it away") from None


def _privately(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
