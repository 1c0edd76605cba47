"""Entries of the quarantine in forms for people and programs. Text from mail is escaped for the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from antispam.commands.tables import console_of
from antispam.mail.reading import readable
from antispam.store.quarantine import Entry, State
from antispam.text import for_log, local_time, utc_time

WIDE = 240  # columns of a table if the output is not a terminal
_NARROW = 110
_EXCERPT = 2_000  # characters
_WRAP = 110
_MAX_SHOWN = 20  # recipients
_UNITS = ("", "k", "M", "G", "T")


def console() -> Console:
    """A console on standard output; in a pipe no column is truncated."""
    return console_of(WIDE)


def table(entries: Iterable[Entry], width: int, with_user: bool, with_head: bool = True) -> Table:
    """A table with one line per entry; on a narrow terminal without the columns that `show` also has."""
    wide = width >= _NARROW
    fixed = {"REFERENCE": 12, "RECEIVED": 16, "CHECK": 11, "SCORE": 5, "SIZE": 5, "STATE": 9}
    names = ["REFERENCE", "RECEIVED", *(["USER"] if with_user else []), "FROM", "SUBJECT"]
    names += ["CHECK", "SCORE", "SIZE", "STATE"] if wide else ["SCORE", "STATE"]
    # Text from mail may be long; it must not push the reference out of the table.
    free = max(12, width - sum(fixed.get(name, 0) for name in names) - 2 * (len(names) - 1))
    most = {"USER": min(24, free // 4) if with_user else 0, "FROM": min(40, free // 3)}
    most["SUBJECT"] = free - sum(most.values())
    made = Table(box=None, pad_edge=False, header_style="bold", show_header=with_head)
    for name in names:
        made.add_column(
            name,
            no_wrap=True,
            min_width=fixed.get(name),
            max_width=most.get(name),
            justify="right" if name in ("SCORE", "SIZE") else "left",
        )
    for entry in entries:
        cells = [entry.ref, local_time(entry.received_at)]
        cells += [for_log(entry.user)] if with_user else []
        cells += [for_log(entry.mail_from or "<>"), for_log(entry.subject)]
        cells += [for_log(entry.check)] if wide else []
        cells += ["" if entry.score is None else f"{entry.score:.3f}"]
        cells += [octets(entry.size)] if wide else []
        made.add_row(*map(Text, [*cells, str(entry.state)]))
    return made


def explanation(entry: Entry, decisions: Sequence[dict[str, Any]] = ()) -> list[str]:
    """The reason for the quarantine and the state of the entry, in sentences. `decisions` are those of all checks, from
    the history.
    """
    shown = [for_log(address) for address in entry.recipients[:_MAX_SHOWN]]
    if len(entry.recipients) > _MAX_SHOWN:
        shown.append(f"and {len(entry.recipients) - _MAX_SHOWN} more")
    verb = {"quarantine": "to keep it", "reject": "to refuse it"}.get(entry.action, f"to {for_log(entry.action)} it")
    lines = [
        f"{entry.ref}, kept from {for_log(entry.user)} since {local_time(entry.received_at)}",
        f"  why         [{for_log(entry.check)}] wanted {verb}: {for_log(entry.reason, 2000) or 'it gave no reason'}",
    ]
    if entry.score is not None:
        lines.append(f"  score       {entry.score:.4f} (the probability that it is spam)")
    lines += [
        f"  from        <{for_log(entry.mail_from)}>, {octets(entry.size)} octets",
        f"  recipients  {', '.join(shown) or 'none known'}",
        f"  state       {_state(entry)}",
    ]
    others = [decision for decision in decisions if decision.get("check") != entry.check and decision.get("reason")]
    for number, decision in enumerate(others):
        said = (
            f"{for_log(str(decision['check']))}: {for_log(str(decision['action']))}, {for_log(str(decision['reason']))}"
        )
        lines.append(f"  {'' if number else 'others':11} {said}")
    return lines


def _state(entry: Entry) -> str:
    match entry.state:
        case State.KEPT:
            return f"quarantined; `bms quarantine release {entry.ref}` sends it to the recipients"
        case State.UNDER_WAY:
            return f"being released{entry.error and f'; not taken yet: {for_log(entry.error)}'}"
        case State.RELEASED:
            return f"released; the mail server took it {local_time(entry.released_at or 0.0)}"
    return f"its release failed{entry.error and f': {for_log(entry.error)}'}; it may be released again"


def excerpt(raw: bytes) -> list[str]:
    """Some header fields and the beginning of the text, decoded, each line safe for a terminal. Never raises."""
    message = readable(raw)
    lines = [f"  {name}: {for_log(value)}" for name, value in message.fields]
    for line in message.text[:_EXCERPT].splitlines():
        lines += textwrap.wrap(for_log(line.strip()), _WRAP, initial_indent="  | ", subsequent_indent="  | ") or ["  |"]
    if len(message.text) > _EXCERPT:
        lines.append("  ...")
    lines += [f"  attached: {for_log(name)}" for name in message.attachments]
    return lines


def as_object(entry: Entry) -> dict[str, Any]:
    """The entry for programs: times in ISO 8601, UTC; text as stored."""
    return {
        "ref": entry.ref,
        "user": entry.user,
        "received_at": _iso(entry.received_at),
        "mail_from": entry.mail_from,
        "recipients": list(entry.recipients),
        "subject": entry.subject,
        "size": entry.size,
        "check": entry.check,
        "action": entry.action,
        "reason": entry.reason,
        "score": entry.score,
        "state": str(entry.state),
        "released_at": None if entry.released_at is None else _iso(entry.released_at),
        "error": entry.error,
    }


def octets(number: int) -> str:
    """A size in short form: 812, 14k, 3.2M."""
    size = float(number)
    for unit in _UNITS:
        if size < 1024 or unit == _UNITS[-1]:
            return f"{size:.0f}{unit}" if size >= 10 or not unit else f"{size:.1f}{unit}"
        size /= 1024
    raise AssertionError("the last unit has no end")


def _iso(seconds: float) -> str:
    return utc_time(seconds).isoformat(timespec="seconds")
