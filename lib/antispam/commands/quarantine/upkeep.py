"""The commands `quarantine clean` and `import`."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from antispam.commands.quarantine import importing, show
from antispam.commands.quarantine.common import INTERRUPTED, LimitsFrom, opened
from antispam.protocols.mailboxes import MailboxError
from antispam.service.application import Program
from antispam.settings import Settings
from antispam.store import Store
from antispam.store.quarantine import checked_user
from antispam.store.quarantine_settings import QuarantineSettings
from antispam.store.retention import Cleaned, LimitsOf, clean
from antispam.text import for_log

REST = 0.05  # seconds between two slices, in which mail can use the database


def same_for_all(settings: Settings, store: Store) -> LimitsOf:
    """The limits of [quarantine], for every user."""
    limits = settings[QuarantineSettings].limits
    return lambda user: limits


def clean_command(program: Program, limits: LimitsFrom) -> click.Command:
    """`clean`, for the group."""

    @click.command("clean")
    @click.option("--dry-run", is_flag=True, help="only say what would be deleted")
    @click.option("--quiet", is_flag=True, help="print nothing unless something is wrong, for cron")
    @click.option("--json", "as_json", is_flag=True, help="one JSON object instead of a sentence")
    @click.pass_obj
    def command(config: Path | None, dry_run: bool, quiet: bool, as_json: bool) -> None:
        """Delete messages older than [quarantine] keep, messages released longer ago than keep_released, and the oldest
        messages of users above user_size and user_messages.

        The filter does this several times a day; the command is for a time of your choice (cron/bms-quarantine). It works in
        short steps while mail flows; if it is stopped, nothing is left half done, and the next run continues. Messages that
        are being released stay."""
        cleaned = Cleaned()
        with opened(program, config) as (settings, store):
            limits_of = limits(settings, store)
            try:
                with _progress("cleaning", quiet) as tick:

                    def rest() -> None:
                        tick(cleaned.entries + cleaned.orphans)
                        time.sleep(REST)

                    clean(store, time.time(), limits_of, dry_run=dry_run, cleaned=cleaned, rest=rest)
            except KeyboardInterrupt:
                click.echo(f"stopped; {_summary(cleaned, dry_run)}. The next run continues from here.", err=True)
                sys.exit(INTERRUPTED)
        if as_json:
            click.echo(json.dumps(_counts(cleaned, dry_run)))
        elif not quiet:
            click.echo(_summary(cleaned, dry_run))

    return command


@contextlib.contextmanager
def _progress(what: str, quiet: bool) -> Iterator[Callable[[int], None]]:
    """A progress display without a total, which is known only at the end."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TextColumn("{task.completed:.0f}"),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal, transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done: progress.update(task, completed=done)


def _counts(cleaned: Cleaned, dry_run: bool) -> dict[str, object]:
    return {
        "dry_run": dry_run,
        "entries": cleaned.entries,
        "messages": cleaned.messages,
        "orphans": cleaned.orphans,
        "by_reason": {
            str(why): {"entries": removed.entries, "octets": removed.octets}
            for why, removed in cleaned.by_reason.items()
        },
    }


def _summary(cleaned: Cleaned, dry_run: bool) -> str:
    parts = [
        f"{removed.entries} {why} ({show.octets(removed.octets)})"
        for why, removed in cleaned.by_reason.items()
        if removed.entries
    ]
    if cleaned.orphans:
        parts.append(f"{cleaned.orphans} messages that nobody waits for")
    if not parts:
        return "nothing to delete"
    return f"{'would delete' if dry_run else 'deleted'} {', '.join(parts)}"


def import_command(program: Program) -> click.Command:
    """`import`, for the group."""

    @click.command("import")
    @click.option("--user", required=True, help="the user whose quarantine they were in")
    @click.argument("mailboxes", metavar="MBOX...", nargs=-1, required=True, type=click.Path(path_type=Path))
    @click.pass_obj
    def command(config: Path | None, user: str, mailboxes: tuple[Path, ...]) -> None:
        """Take over the mailboxes in which DSPAM or pydspam kept a user's quarantine (data/USER/USER.mbox).

        Recipients, score and signature are read from the fields X-Dspam-Recipients, X-DSpam-Score and X-DSPAM-Signature, the
        time from the mailbox's "From " lines. The mailboxes are only read. Messages are not imported twice, so the same
        command continues where it was stopped."""
        result = importing.Imported()
        now = time.time()
        unreadable: list[str] = []
        with opened(program, config) as (settings, store):
            checked_user(user)
            try:
                with _progress("importing", quiet=False) as tick:
                    for file in mailboxes:
                        try:
                            importing.import_mailbox(
                                store, user, file, now, result=result, done=lambda stored: tick(result.seen)
                            )
                        except MailboxError as error:
                            unreadable.append(str(error))
            except KeyboardInterrupt:
                click.echo(f"stopped; {_imported(result)}. The same command continues from here.", err=True)
                sys.exit(INTERRUPTED)
        for problem in [*result.problems, *unreadable]:
            click.echo(for_log(problem), err=True)
        click.echo(_imported(result))
        keep = settings[QuarantineSettings].keep
        if keep and result.oldest < now - keep:
            click.echo(
                "Some of them are older than [quarantine] keep: the next `bms quarantine clean` deletes those.",
                err=True,
            )
        sys.exit(1 if result.problems or unreadable else 0)

    return command


def _imported(result: importing.Imported) -> str:
    counts = {"imported": result.new, "there already": result.known, "not imported": len(result.problems)}
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count) or "no messages"
