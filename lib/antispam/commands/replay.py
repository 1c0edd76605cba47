"""The command `replay`: the decisions of another configuration about recent mail."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.progress import Progress

from antispam.commands.durations import parsed_duration
from antispam.commands.tables import console_of, table_of
from antispam.journey.comparing import Change, Outcome, caveats, compare, messages_since
from antispam.journey.replay import Replay
from antispam.service.application import Program, load_settings, opened_store
from antispam.service.rehearsal import rehearsal
from antispam.store.history_search import Transaction
from antispam.text import for_log, local_time

_SHOWN = 20  # examples, and recipients with the most changes
_WIDE = 160  # columns if the output is not a terminal


def replay_command(program: Program) -> click.Command:
    """`replay`, for the commands of a program."""

    @click.command("replay")
    @click.option(
        "--config", "new", required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="FILE",
        help="the configuration to try",
    )  # fmt: skip
    @click.option(
        "--since", callback=parsed_duration, default="1d", show_default=True, metavar="AGE",
        help="the mail that is not older than this: 2h, 7d",
    )  # fmt: skip
    @click.option("--json", "as_json", is_flag=True, help="one JSON object for each change, and one with the sums")
    @click.pass_obj
    def command(config: Path | None, new: Path, since: float, as_json: bool) -> None:
        """Show what another configuration would have decided about the mail of the last days.

        The evidence that the history has of each message is decided twice: under the present configuration and under the new
        one. Nothing is looked up, sent, stored or learned. What the new one asks for that nobody asked then is not known; the
        command says which checks and options these are.

        \b
            cp /etc/mail/milter.cfg /tmp/new.cfg     # change it: [score] mark = 5
            bms replay --since 7d --config /tmp/new.cfg
        """
        present = load_settings(program, config)
        planned = load_settings(program, new)
        outcome = Outcome()
        with (
            opened_store(present, existing=True) as store,
            rehearsal(program.journey, present) as old,
            rehearsal(program.journey, planned) as later,
        ):
            pair = Replay(program.journey, old.services()), Replay(program.journey, later.services())
            now = time.time()
            with contextlib.suppress(KeyboardInterrupt):  # the results so far are shown
                for found in _shown_while_read(messages_since(store, now - since), now - since, now):
                    compare(found, *pair, outcome)
        told = list(caveats(program.journey, present, planned, pair[1].read, outcome))
        if as_json:
            _print_json(outcome, told)
        else:
            _print(outcome, told)

    return command


def _shown_while_read(messages: Iterator[Transaction], since: float, until: float) -> Iterator[Transaction]:
    """The messages, with a progress bar on a terminal that shows the part of the period read so far."""
    if not sys.stderr.isatty():
        yield from messages
        return
    from rich.console import Console

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("deciding again", total=until - since)
        for one in messages:
            progress.update(task, completed=until - one.received_at)
            yield one


def _print(outcome: Outcome, told: list[str]) -> None:
    click.echo(f"{outcome.messages} messages, {outcome.deliveries} deliveries; {len(outcome.changes)} would change.")
    console = console_of(_WIDE)
    if outcome.changes:
        kinds = table_of("became", "would become", "deliveries")
        for (before, after), count in outcome.by_kind().most_common():
            kinds.add_row(before, after, str(count))
        people = table_of("for", "changes")
        for recipient, count in outcome.by_recipient().most_common(_SHOWN):
            people.add_row(for_log(recipient), str(count))
        examples = table_of("reference", "received", "from", "to", "would become", "because")
        for one in outcome.changes[:_SHOWN]:
            why = one.after if one.after.decided else one.before
            because = f"{why.decided}: {why.reason}" if why is one.after else f"no longer {why.decided}: {why.reason}"
            examples.add_row(
                one.ref, local_time(one.received_at), for_log(one.mail_from or "<>", 60), for_log(one.after.recipient, 60),
                str(one.after.became), for_log(because, 120),
            )  # fmt: skip
        for table in (kinds, people, examples):
            console.print(table)
        if len(outcome.changes) > _SHOWN:
            click.echo(f"and {len(outcome.changes) - _SHOWN} more: --json prints all")
    for sentence in told:
        click.echo(sentence)


def _print_json(outcome: Outcome, told: list[str]) -> None:
    for one in outcome.changes:
        click.echo(json.dumps(_plain(one)))
    sums: dict[str, Any] = {
        "messages": outcome.messages, "deliveries": outcome.deliveries, "changes": len(outcome.changes),
        "unknown": outcome.unknown, "drifted": outcome.drifted, "notes": told,
    }  # fmt: skip
    click.echo(json.dumps(sums))


def _plain(change: Change) -> dict[str, Any]:
    value = dataclasses.asdict(change)
    for side in ("before", "after"):
        value[side]["became"], value[side]["stage"] = str(value[side]["became"]), value[side]["stage"].name
    return value
