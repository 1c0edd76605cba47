"""The command `report`: what happened to the mail of the last days."""

from __future__ import annotations

import datetime
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from antispam.commands.tables import console_of
from antispam.service.application import Program, load_settings, opened_store
from antispam.store.reports import MAX_DAYS, MOST_SHOWN, report
from antispam.store.tally import Day, Disposition, Offender, Offenders, Report
from antispam.text import for_log, local_time

_WIDE = 160  # columns if the output is not a terminal
_BAR = 24
_EIGHTHS = " ▏▎▍▌▋▊▉"
_NAME = 320  # characters: names are shown whole
_ROOM_FOR_HOSTS = 120  # columns
_STOPPED = (Disposition.REJECTED, Disposition.QUARANTINED, Disposition.DISCARDED)


def report_command(program: Program, clock: Callable[[], float] = time.time) -> click.Command:
    """`report`, for the commands of a program; the clock says which day is today."""

    @click.command("report")
    @click.option(
        "--days", type=click.IntRange(1, MAX_DAYS), default=7, show_default=True, help="number of days, today included"
    )
    @click.option(
        "--top", type=click.IntRange(1, MOST_SHOWN), default=10, show_default=True, help="number of offenders to list"
    )
    @click.option("--json", "as_json", is_flag=True, help="one JSON object instead of the tables")
    @click.pass_obj
    def command(config: Path | None, days: int, top: int, as_json: bool) -> None:
        """Show what became of the mail of the last days: per day, what was refused and why, and who was stopped most often.

        Numbers go back as far as [store] report_retain says, names as far as [store] history_retain."""
        with opened_store(load_settings(program, config), existing=True) as store:
            made = report(store, clock(), days)
        if as_json:
            click.echo(json.dumps(as_object(made, top)))
        else:
            show(made, top, console_of(_WIDE))

    return command


def show(made: Report, top: int, console: Console) -> None:
    """Print the report as tables."""
    if not any(day.messages or day.spam or day.ham for day in made.days):
        console.print(f"No mail since {_date(made.days[0].begins)}, according to the history.")
        return
    bars = _Bars(console.encoding)
    _print_days(console, made.days, bars)
    _print_counts(console, "What was not delivered, and why (messages)", _why(made.why), bars)
    _print_counts(console, "Recipients refused individually", made.recipients.most_common(), bars)
    _print_counts(console, "What checks in mode log would have stopped (messages)", made.would.most_common(), bars)
    for title, offenders in _offenders(made):
        _print_offenders(console, title, offenders, top)


class _Bars:
    """Bars in a column, in plain characters if the terminal supports no others."""

    def __init__(self, encoding: str) -> None:
        self._fine = encoding.lower().replace("-", "") == "utf8"

    def bar(self, value: int, largest: int) -> str:
        if not value or not largest:
            return ""
        eighths = max(1, round(8 * _BAR * value / largest))
        if not self._fine:
            return "#" * max(1, eighths // 8)
        return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _table(*names: str, left: Iterable[str] = ()) -> Table:
    made = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        text = name.startswith("  ") or name == "HOST"  # any length; shown whole, on several lines if necessary
        made.add_column(
            name, no_wrap=not text, overflow="fold" if text else "ellipsis", justify="left" if name in left else "right"
        )
    return made


def _print_days(console: Console, days: Sequence[Day], bars: _Bars) -> None:
    """Print one row per day or, if that is too wide for the terminal, one column per day, as many side by side as fit."""
    wide = _per_day(days, bars)
    if console.measure(wide, options=console.options.update(width=_WIDE * 2)).maximum <= console.width:
        console.print(wide)
        return
    names = max(len(name) for name, _ in _columns(days))
    beside = max(1, (console.width - names - 2) // 8 - (len(days) > 1))
    for start in range(0, len(days), beside):
        part = days[start : start + beside]
        whole = len(days) > 1 and start + beside >= len(days)
        table = _table("", *(_date(day.begins)[5:] for day in part), *(["all"] if whole else []), left=("",))
        for name, values in _columns(days):
            table.add_row(name, *map(str, [*values[start : start + beside], *([sum(values)] if whole else [])]))
        console.print(table)


def _columns(days: Sequence[Day]) -> list[tuple[str, list[int]]]:
    """The counts by day, without those that are always zero."""
    columns: list[tuple[str, list[int]]] = [("MESSAGES", [day.messages for day in days])]
    columns += [(disposition.upper(), [day.dispositions[disposition] for day in days]) for disposition in Disposition]
    columns += [
        ("TAGGED", [day.tagged for day in days]),
        ("QUARANTINED FOR SOME", [day.parted for day in days]),
        ("RECIPIENTS REFUSED", [day.recipients for day in days]),
        ("SPAM LEARNED", [day.spam for day in days]),
        ("HAM LEARNED", [day.ham for day in days]),
    ]
    return [(name, values) for name, values in columns if name == "MESSAGES" or any(values)]


def _per_day(days: Sequence[Day], bars: _Bars) -> Table:
    """The table with one row per day; its bar shows rejected, quarantined and discarded messages."""
    shown = _columns(days)
    stopped = [sum(day.dispositions[disposition] for disposition in _STOPPED) for day in days]
    table = _table("DAY", *(name for name, _ in shown), "STOPPED", left=("DAY", "STOPPED"))
    for number, day in enumerate(days):
        cells = [str(values[number]) for _, values in shown]
        table.add_row(_date(day.begins), *cells, bars.bar(stopped[number], max(stopped)))
    if len(days) > 1:
        table.add_row("all", *(str(sum(values)) for _, values in shown), "", style="bold")
    return table


def _why(counted: Counter[tuple[Disposition, str]]) -> list[tuple[str, int]]:
    return [(f"{disposition:11} {check}", number) for (disposition, check), number in counted.most_common()]


def _print_counts(console: Console, title: str, counts: Sequence[tuple[str, int]], bars: _Bars) -> None:
    if not counts:
        return
    console.print(f"\n{title}")
    largest = max(number for _, number in counts)
    table = _table("  WHAT", "COUNT", "", left=("  WHAT", ""))
    for name, number in counts:
        table.add_row(f"  {for_log(name, _NAME)}", str(number), bars.bar(number, largest))
    console.print(table)


def _offenders(made: Report) -> list[tuple[str, Offenders]]:
    return [
        ("Clients whose mail was stopped most often", made.clients),
        ("Sender domains whose mail was stopped most often", made.domains),
        ("HELO names whose mail was stopped most often", made.helos),
    ]


def _print_offenders(console: Console, title: str, offenders: Offenders, top: int) -> None:
    found = offenders.top(top)
    if not found:
        return
    console.print(f"\n{title}" + ("" if offenders.complete else " (too many to count exactly: at least this often)"))
    with_host = any(one.called for one in found) and console.width >= _ROOM_FOR_HOSTS
    names = ["  NAME", "STOPPED", "LAST", *(["HOST"] if with_host else []), "WHY, THE LAST TIME"]
    table = _table(*names[:-1], left=("  NAME", "LAST", "HOST"))
    table.add_column(names[-1], overflow="fold")
    for one in found:
        cells = [f"  {for_log(one.name, _NAME)}", str(one.stopped), local_time(one.last_at)]
        cells += [for_log(one.called, _NAME)] if with_host else []
        table.add_row(*map(Text, [*cells, for_log(one.reason, 200)]))
    console.print(table)


def as_object(made: Report, top: int) -> dict[str, Any]:
    """The report for programs: days as dates, times in ISO 8601."""
    return {
        "days": [_day(day) for day in made.days],
        "not_delivered": [
            {"what": str(disposition), "check": check, "messages": number}
            for (disposition, check), number in made.why.most_common()
        ],
        "recipients_refused": dict(made.recipients.most_common()),
        "would_have_stopped": dict(made.would.most_common()),
        "clients": _as_objects(made.clients, top),
        "domains": _as_objects(made.domains, top),
        "helos": _as_objects(made.helos, top),
    }


def _day(day: Day) -> dict[str, Any]:
    return {
        "day": _date(day.begins),
        "messages": day.messages,
        **{str(disposition): day.dispositions[disposition] for disposition in Disposition},
        "tagged": day.tagged,
        "kept_from_some": day.parted,
        "recipients_refused": day.recipients,
        "spam_learned": day.spam,
        "ham_learned": day.ham,
    }


def _as_objects(offenders: Offenders, top: int) -> dict[str, Any]:
    return {"complete": offenders.complete, "worst": [_as_object(one) for one in offenders.top(top)]}


def _as_object(one: Offender) -> dict[str, Any]:
    at = datetime.datetime.fromtimestamp(one.last_at, datetime.UTC)
    return {
        "name": one.name,
        "stopped": one.stopped,
        "last_at": at.isoformat(timespec="seconds"),
        "host": one.called,
        "reason": one.reason,
    }


def _date(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds).strftime("%Y-%m-%d")
