"""The commands `outbox list`, `show`, `retry` and `delete`."""

from __future__ import annotations

import datetime
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from antispam.commands.tables import table_of
from antispam.service.application import Program, load_settings, opened_store
from antispam.service.courier import NotWaiting, send_now
from antispam.settings.outbox import OutboxSettings
from antispam.store import Store, outbox
from antispam.store.outbox import Entry
from antispam.text import for_log

_NAMED = 3  # recipients in the table
_LISTED = 1000


def outbox_command(program: Program) -> click.Command:
    """`outbox`, for the commands of a program."""

    @click.group("outbox")
    def group() -> None:
        """The mail that the filter sends itself: waiting and failed messages."""

    group.add_command(_list_command(program))
    group.add_command(_show_command(program))
    group.add_command(_retry_command(program))
    group.add_command(_delete_command(program))
    return group


def _list_command(program: Program) -> click.Command:
    @click.command("list")
    @click.option("--failed", is_flag=True, help="only messages that were given up")
    @click.option("--json", "as_json", is_flag=True, help="one JSON object per line instead of the table")
    @click.pass_obj
    def list_command(config: Path | None, failed: bool, as_json: bool) -> None:
        """List the messages: first those that were given up, then by the time of their next try."""
        with opened_store(load_settings(program, config), existing=True) as store:
            found = outbox.entries(store, time.time(), _LISTED)
        shown = [entry for entry in found if entry.failed_at is not None or not failed]
        if as_json:
            for entry in shown:
                click.echo(json.dumps(_values(entry)))
        else:
            Console().print(
                _table(shown) if shown else "No message was given up." if failed else "No message waits to be sent."
            )
        if len(found) == _LISTED:
            click.echo(f"Only the first {_LISTED} are listed.", err=True)

    return list_command


def _show_command(program: Program) -> click.Command:
    @click.command("show")
    @click.argument("number", type=int)
    @click.option("--json", "as_json", is_flag=True, help="one JSON object, without the message itself")
    @click.pass_obj
    def show_command(config: Path | None, number: int, as_json: bool) -> None:
        """Show everything about message NUMBER, and print it."""
        with opened_store(load_settings(program, config), existing=True) as store:
            entry = outbox.entry(store, number, time.time())
        if entry is None:
            raise click.ClickException(f"there is no message {number} in the outbox")
        if as_json:
            click.echo(json.dumps(_values(entry)))
            return
        values = _values(entry) | {"recipients": ", ".join(f"<{address}>" for address in entry.recipients)}
        for name, value in values.items():
            shown: str = _when(value) if name.endswith("_at") else for_log(str(value), 100_000)
            click.echo(f"{name.replace('_', ' ') + ':':12} {shown}")
        click.echo()
        _print_octets(entry.content)

    return show_command


def _retry_command(program: Program) -> click.Command:
    @click.command("retry")
    @click.argument("numbers", nargs=-1, type=int)
    @click.option("--failed", is_flag=True, help="all messages that were given up")
    @click.option("--now", is_flag=True, help="send them now, and show what the MTA says")
    @click.pass_obj
    def retry_command(config: Path | None, numbers: tuple[int, ...], failed: bool, now: bool) -> None:
        """Send the messages with these NUMBERS again, with as much time as new ones, as soon as the filter runs."""
        _demand_either(numbers, failed)
        with opened_store(load_settings(program, config), existing=True) as store:
            chosen = _chosen(store, numbers, failed)
            if now:
                _send(store, load_settings(program, config)[OutboxSettings], chosen)
            else:
                _change(store, chosen, outbox.retry, "will be sent")

    return retry_command


def _delete_command(program: Program) -> click.Command:
    @click.command("delete")
    @click.argument("numbers", nargs=-1, type=int)
    @click.option("--failed", is_flag=True, help="all messages that were given up")
    @click.option("--yes", is_flag=True, help="don't ask")
    @click.pass_obj
    def delete_command(config: Path | None, numbers: tuple[int, ...], failed: bool, yes: bool) -> None:
        """Delete the messages with these NUMBERS: they will not be sent. A quarantined message that one of them would have
        released stays in the quarantine."""
        _demand_either(numbers, failed)
        with opened_store(load_settings(program, config), existing=True) as store:
            chosen = _chosen(store, numbers, failed)
            if chosen and not yes:
                click.confirm(f"Delete {_queued(chosen)} for good?", abort=True, err=True)
            _change(store, chosen, outbox.delete, "is deleted")

    return delete_command


def _queued(numbers: list[int]) -> str:
    return f"message {numbers[0]}" if len(numbers) == 1 else f"{len(numbers)} messages"


def _demand_either(numbers: tuple[int, ...], failed: bool) -> None:
    if bool(numbers) is failed:
        raise click.UsageError("give message numbers, or --failed")


def _chosen(store: Store, numbers: tuple[int, ...], failed: bool) -> list[int]:
    if not failed:
        return list(numbers)
    return [entry.id for entry in outbox.entries(store, time.time(), _LISTED) if entry.failed_at is not None]


def _change(store: Store, numbers: list[int], change: Callable[[Store, int, float], bool], done: str) -> None:
    """Change each message and print the result. Exits with status 1 if one could not be changed."""
    missed = False
    for number in numbers:
        if change(store, number, time.time()):
            click.echo(f"message {number} {done}")
        else:
            missed = True
            click.echo(f"message {number}: no such message waits or failed; it may be under way", err=True)
    if not numbers:
        click.echo("no messages")
    if missed:
        sys.exit(1)


def _send(store: Store, settings: OutboxSettings, numbers: list[int]) -> None:
    """Send each message and print the MTA's reply. Exits with status 1 if one was not accepted for all recipients."""
    missed = False
    for number in numbers:
        try:
            result = send_now(store, settings, number)
        except NotWaiting as error:
            missed = True
            click.echo(f"message {number}: {error}", err=True)
            continue
        entry = outbox.entry(store, number, time.time())
        left = entry is not None and entry.sent_at is None
        click.echo(f"message {number}: {for_log(result.answer)}", err=left)
        missed = missed or left
    if missed:
        sys.exit(1)


def _values(entry: Entry) -> dict[str, Any]:
    """An entry as JSON-able values, without its content."""
    return {
        "number": entry.id,
        "state": str(entry.state),
        "kind": entry.kind,
        "ref": entry.ref,
        "mail_from": entry.mail_from,
        "recipients": list(entry.recipients),
        "size": entry.size,
        "created_at": entry.created_at,
        "tries": entry.tries,
        "next_at": entry.next_at,
        "sent_at": entry.sent_at,
        "failed_at": entry.failed_at,
        "last_error": entry.last_error,
    }


def _table(entries: list[Entry]) -> Table:
    table = table_of("number", "state", "kind", "reference", "to", "tries", "next try", "last error")
    for entry in entries:
        cells = (
            str(entry.id),
            str(entry.state),
            entry.kind,
            entry.ref,
            _people(entry.recipients),
            str(entry.tries),
            _when(entry.next_at),
            for_log(entry.last_error),
        )
        table.add_row(*map(escape, cells), style="bold" if entry.failed_at is not None else "")
    return table


def _people(addresses: tuple[str, ...]) -> str:
    more = len(addresses) - _NAMED
    named = ", ".join(for_log(address, 60) for address in addresses[:_NAMED])
    return named + (f" and {more} more" if more > 0 else "")


def _when(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return datetime.datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _print_octets(content: bytes) -> None:
    """Print content, unchanged to a file or a pipe, and escaped to a terminal."""
    if sys.stdout.isatty():
        for line in content.split(b"\r\n"):
            click.echo(for_log(line, 4 * len(line)))
    else:
        click.echo(content, nl=False)
