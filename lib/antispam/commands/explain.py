"""The command `explain`: the fate of a message, the answer to "where is my mail?"."""

from __future__ import annotations

import dataclasses
import re
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from antispam.commands.durations import parsed_duration
from antispam.commands.tables import console_of
from antispam.journey.account import Account, Score, account, became
from antispam.service.application import Program, load_settings, opened_store
from antispam.store import Store
from antispam.store.history_search import Search, Transaction, search
from antispam.text import for_log, local_time

_MOST = 1000
_WIDE = 160  # columns if the output is not a terminal
_REF = re.compile(r"\(ref ([0-9a-z]{1,16})\)")


def explain_command(program: Program) -> click.Command:
    """`explain`, for the commands of a program."""

    @click.command("explain")
    @click.argument("names", metavar="[REF]...", nargs=-1)
    @click.option("--message-id", default="", help="the Message-ID, with or without <>")
    @click.option("--from", "sender", default="", metavar="ADDRESS", help="sender or author: an address or a domain")
    @click.option("--to", "recipient", default="", metavar="ADDRESS", help="a recipient: an address or a domain")
    @click.option("--since", callback=parsed_duration, metavar="AGE", help="not older than this: 2h, 7d")
    @click.option("--until", callback=parsed_duration, metavar="AGE", help="older than this: 1h")
    @click.option(
        "--limit", type=click.IntRange(1, _MOST), default=20, show_default=True, help="list at most this many"
    )
    @click.option("--json", "as_json", is_flag=True, help="one JSON object per message, with everything that was found")
    @click.pass_obj
    def command(
        config: Path | None, names: tuple[str, ...], message_id: str, sender: str, recipient: str, since: float | None,
        until: float | None, limit: int, as_json: bool,
    ) -> None:  # fmt: skip
        """Tell what became of a message, and why: by its reference, its queue ID, its Message-ID, or its people.

        It says who sent the message, what each check found, what decided, which reply was given, where the message is now, and
        what would have made it different.

        REF is the reference at the end of a refusal (you can paste the whole reply) and in the log, the mail server's queue
        ID, a Message-ID, or an address: of a sender, author or recipient. Without it, the newest matching messages are
        listed; a single match is explained. The history goes back as far as [store] history_retain says.

        \b
            bms explain 7h2k9m3p5q8r
            bms explain --from ann@example.org --to bob@example.com --since 2d
        """
        now = time.time()
        common = Search("", message_id, sender, recipient, since and now - since, until and now - until)
        if not names and common == Search():
            raise click.UsageError("Give a reference, a queue ID, or one of --message-id, --from, --to and --since.")
        searches = [_meant(common, _reference(name)) for name in names] or [[common]]
        missed = False
        with opened_store(load_settings(program, config), existing=True) as store:
            for wanted in searches:
                found = _found(store, wanted, limit)
                missed = missed or not found
                if as_json:
                    for one in found:
                        click.echo(msgspec.json.encode(one))
                    continue
                if len(found) == 1:
                    _print("\n".join(lines(account(store, program.journey, found[0], now))))
                elif found:
                    _list(found, limit)
                else:
                    _print(_nothing(wanted[0]))
        sys.exit(1 if missed else 0)

    return command


def _reference(name: str) -> str:
    """The reference in pasted text: a reference, a queue ID, or a reply with the reference at its end."""
    found = _REF.search(name)
    return found[1] if found else name.strip()


def _meant(common: Search, name: str) -> list[Search]:
    """The possible meanings of a name without an option. With an @ it is neither a reference nor a queue ID."""
    if "@" not in name:
        return [dataclasses.replace(common, name=name)]
    replace = dataclasses.replace
    asked = (
        (common.message_id, replace(common, message_id=name)),
        (common.sender, replace(common, sender=name)),
        (common.recipient, replace(common, recipient=name)),
    )
    return [meant for given, meant in asked if not given] or [replace(common, name=name)]


def _found(store: Store, wanted: Sequence[Search], limit: int) -> list[Transaction]:
    """The results of all searches, newest first."""
    found = {one.ref: one for search_ in wanted for one in search(store, search_, limit)}
    return sorted(found.values(), key=lambda one: one.received_at, reverse=True)[:limit]


def _nothing(wanted: Search) -> str:
    name = wanted.name or wanted.message_id
    what = f"{for_log(name)} is not in the history." if name else "The history has no such message."
    return f"{what} It goes back as far as [store] history_retain says; a client that left before RCPT leaves no trace."


def _print(text: str) -> None:
    Console(highlight=False, emoji=False, markup=False, soft_wrap=True).print(text)


def _list(found: Sequence[Transaction], limit: int) -> None:
    console = console_of(_WIDE)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("REFERENCE", "RECEIVED", "BECAME"):
        table.add_column(name, no_wrap=True)
    for name in ("FROM", "TO", "SUBJECT", "WHY"):
        table.add_column(name, overflow="fold")
    for one in found:
        to = one.recipients[0].address if one.recipients else ""
        more = f" +{len(one.recipients) - 1}" if len(one.recipients) > 1 else ""
        cells = [one.ref, local_time(one.received_at), became(one), for_log(one.mail_from or "<>"), for_log(to) + more]
        table.add_row(*map(Text, [*cells, for_log(one.subject, 80), for_log(one.reason, 120)]))
    console.print(table)
    if len(found) == limit:
        click.echo(f"There may be more than these {limit}: --limit, or --since.", err=True)


def lines(told: Account) -> Iterator[str]:
    """The account for a terminal, with all text from mail escaped."""
    yield f"Message {told.ref}: {for_log(told.became, 2000)}"
    yield from (f"  {label:11} {for_log(text, 2000)}" for label, text in told.facts)
    for number, line in enumerate(told.reply):
        yield f"  {'' if number else 'reply':11} {for_log(line)}"
    if told.recipients:
        yield "Recipients apart"
        yield from (f"  {for_log(address)}: {for_log(said, 2000)}" for address, said in told.recipients)
    yield "What the checks said"
    width = max((len(step.check) for step in told.steps), default=0)
    for step in told.steps:
        effect = "" if step.effect else " (mode log: no effect)"
        action = "" if step.action == "continue" else f"{step.action}: "
        yield f"  {step.check:{width}}  {for_log(action + step.said, 2000)}{effect}"
    for score in told.scores:
        yield from _table(score)
    if told.now:
        yield "Where it is now"
        yield from (f"  {for_log(text, 2000)}" for text in told.now)
    if told.otherwise:
        yield "What would make it different"
        yield from (f"  {check + ': ' if check else ''}{text}" for check, text in told.otherwise)


def _table(score: Score) -> Iterator[str]:
    yield f"Score {score.total:.1f} for {', '.join(map(for_log, score.recipients[:10]))}"
    width = max((len(one.test) for one in score.tests), default=0)
    for one in score.tests:
        yield f"  {one.points:+6.2f}  {one.test:{width}}  {for_log(one.evidence, 300)}"
