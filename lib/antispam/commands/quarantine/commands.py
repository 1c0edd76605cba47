"""The commands `quarantine list`, `show`, `release`, `delete`, `clean` and `import`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click

from antispam.commands.durations import parsed_duration
from antispam.commands.quarantine import show
from antispam.commands.quarantine.common import INTERRUPTED, LimitsFrom, opened
from antispam.commands.quarantine.upkeep import clean_command, import_command, same_for_all
from antispam.journey.protection import protector
from antispam.learning import releases
from antispam.service import courier
from antispam.service.application import Program
from antispam.settings import Settings
from antispam.settings.outbox import OutboxSettings
from antispam.store import Store, StoreError, history
from antispam.store.quarantine import (
    PAGE,
    Entry,
    Search,
    State,
    content,
    find,
    of_ref,
    remove,
)
from antispam.store.quarantine_order import LOOKED_AT, bounded
from antispam.store.release import Outcome, Protect, checked_address, release
from antispam.store.stored_messages import sweep
from antispam.text import for_log, local_time

SCREEN = 500  # entries listed together
LOOK_AGAIN = 0.2  # seconds between two checks of a queued message

Teach = Callable[[str, str], object]
"""teach(user, ref): the user says that the message is honest mail."""

Teaching = Callable[[Settings, Store], Teach]

SendNow = Callable[[Store, OutboxSettings, int], object]
"""send_now(store, settings, outbox_id): offers a message of the outbox to the MTA at once. Raises LookupError if
another process is sending it."""


def quarantine_commands(
    teaching: Teaching | None = None, limits: LimitsFrom | None = None, send_now: SendNow = courier.send_now
) -> Callable[[Program], click.Command]:
    """A factory of `quarantine`, for the commands of a program.

    teaching  the function by which a release teaches; None teaches nothing
    limits    the limits for `clean`; None uses those of [quarantine] for all users
    send_now  the function by which `release --wait` sends
    """

    def make(program: Program) -> click.Command:
        @click.group("quarantine")
        def group() -> None:
            """View, release and delete quarantined mail, and clean up.

            Every message has a reference, which is also in the log. If several users have a message in their quarantine, each
            has their own entry: --user names one.

            \b
                bms quarantine list --user ann --since 7d
                bms quarantine show 7h2k9m3p5q8r
                bms quarantine release 7h2k9m3p5q8r
            """

        group.add_command(_list_command(program))
        group.add_command(_show_command(program))
        group.add_command(_release_command(program, teaching, send_now))
        group.add_command(_delete_command(program))
        group.add_command(clean_command(program, limits or same_for_all))
        group.add_command(import_command(program))
        return group

    return make


def quarantine_command(program: Program) -> click.Command:
    """`quarantine` of bms.py: a release teaches, and each user has their own limits."""
    return quarantine_commands(releases.teaching, limits=releases.limits)(program)


def _print_objects(entries: Sequence[Entry]) -> None:
    for entry in entries:
        click.echo(json.dumps(show.as_object(entry)))


_user_option = click.option("--user", default="", help="only this user's quarantine")
_json_option = click.option("--json", "as_json", is_flag=True, help="one JSON object per line, for programs")


def _list_command(program: Program) -> click.Command:
    @click.command("list")
    @_user_option
    @click.option(
        "--search", "text", default="", help="messages with this text in subject, sender, recipient or reason"
    )
    @click.option(
        "--check", default="", help="messages quarantined by this check: spam_action, attachments, spf and so on"
    )
    @click.option(
        "--since", callback=parsed_duration, metavar="DURATION", help="messages that came in this time: 12h, 7d, 2w"
    )
    @click.option(
        "--limit", type=click.IntRange(min=0), default=PAGE, show_default=True, help="at most this many; 0 lists all"
    )
    @_json_option
    @click.pass_obj
    def command(
        config: Path | None, user: str, text: str, check: str, since: float | None, limit: int, as_json: bool
    ) -> None:
        """List the messages in the quarantine, the newest first.

        STATE is `kept`, `under way` (released, but the mail server has not accepted it yet), `released`, or `failed` (the
        release was given up; the message is still here).

        --search and --check look at the newest 50,000 messages of all users; with --user or --limit 0, at all of them."""
        oldest = 0.0 if since is None else time.time() - since
        asked = Search(user=user, text=text, check=check, since=oldest)
        with opened(program, config) as (_, store):
            search, left_out = bounded(store, asked, most=LOOKED_AT) if limit else (asked, False)
            listed, last = _listed(_pages(store, search, limit), as_json=as_json, with_user=not user)
            if not (listed or as_json):
                click.echo("The quarantine is empty." if asked == Search() else "No quarantined message matches.")
            if listed == limit and last is not None and find(store, search, 1, after=last):
                if not as_json:
                    said = f"Only the newest {listed} are listed; --limit 0 lists all, --search and --since select."
                    click.echo(said, err=True)
            elif left_out:
                said = f"Only the newest {LOOKED_AT} messages of all users were searched; --limit 0 or --user searches all."
                click.echo(said, err=True)

    return command


def _listed(pages: Iterator[list[Entry]], *, as_json: bool, with_user: bool) -> tuple[int, Entry | None]:
    """Print them; how many there were, and the last one."""
    console, listed, last = show.console(), 0, None
    for page in pages:
        if as_json:
            _print_objects(page)
        else:
            console.print(show.table(page, console.width, with_user=with_user, with_head=not listed))
        listed, last = listed + len(page), page[-1]
    return listed, last


def _pages(store: Store, search: Search, limit: int) -> Iterator[list[Entry]]:
    """The entries, page by page, so that the whole quarantine is never in memory."""
    left, last = limit, None
    while True:
        size = min(left, SCREEN) if limit else SCREEN
        page = find(store, search, size, after=last)
        if page:
            yield page
        left -= len(page)
        if len(page) < size or (limit and left <= 0):
            return
        last = page[-1]


def _show_command(program: Program) -> click.Command:
    @click.command("show")
    @click.argument("ref")
    @_user_option
    @click.option("--raw", is_flag=True, help="print the message exactly as it came; not to a terminal")
    @_json_option
    @click.pass_obj
    def command(config: Path | None, ref: str, user: str, raw: bool, as_json: bool) -> None:
        """Explain why a message is in the quarantine, and show its header and the beginning of its text.

        REF is its reference. Control characters are written as escapes. --raw writes the original for other programs, to a
        file or a pipe only, because it may contain control sequences."""
        if raw and _is_terminal():
            raise click.UsageError("The original may contain control sequences: redirect it to a file or a pipe.")
        with opened(program, config) as (_, store):
            entries = of_ref(store, ref, user)
            if raw:
                click.echo(content(store, entries[0].ref), nl=False)
                return
            if as_json:
                _print_objects(entries)
                return
            console = show.console()
            decisions = history.decisions(store, entries[0].ref)
            for entry in entries:
                console.print("\n".join(show.explanation(entry, decisions)), soft_wrap=True)
            console.print()
            console.print("\n".join(show.excerpt(content(store, entries[0].ref))), soft_wrap=True)

    return command


def _is_terminal() -> bool:
    return sys.stdout.isatty()


_refs_argument = click.argument("refs", metavar="REF...", nargs=-1, required=True)
_all_users_option = click.option("--all-users", is_flag=True, help="for all users who have it in their quarantine")


def _chosen(store: Store, refs: Sequence[str], user: str, all_users: bool) -> list[Entry]:
    """The selected entries, each once, found before any is changed. Raises NoEntry, BadName, StoreError, and UsageError
    if several users may be meant.
    """
    if user and all_users:
        raise click.UsageError("Give either --user or --all-users.")
    chosen: dict[int, Entry] = {}
    for ref in refs:
        entries = of_ref(store, ref, user)
        if len(entries) > 1 and not all_users:
            names = ", ".join(for_log(entry.user) for entry in entries[:20])
            raise click.UsageError(
                f"{entries[0].ref} is in the quarantine of several users ({names}): give --user or --all-users."
            )
        chosen |= {entry.number: entry for entry in entries}
    return list(chosen.values())


def _release_command(program: Program, teaching: Teaching | None, send_now: SendNow) -> click.Command:
    @click.command("release")
    @_refs_argument
    @click.option("--user", default="", help="for this user only")
    @_all_users_option
    @click.option("--to", multiple=True, metavar="ADDRESS", help="send it there instead; may be repeated")
    @click.option("--wait", is_flag=True, help="send it now, and say whether the mail server accepted it")
    @click.option("--teach/--no-teach", default=True, show_default=True, help="also learn it as honest mail")
    @click.option("--original", is_flag=True, help="release it as it came, dangerous attachments included")
    @click.option("--force", is_flag=True, help="release it again, even if that was done or is under way")
    @click.pass_obj
    def command(
        config: Path | None, refs: tuple[str, ...], user: str, all_users: bool, to: tuple[str, ...], wait: bool,
        teach: bool, original: bool, force: bool,
    ) -> None:  # fmt: skip
        """Send messages to the recipients who did not get them.

        Dangerous attachments are replaced and forged results removed, as in other mail; --original sends the message
        unchanged.

        The filter sends it within moments, and keeps trying until the mail server accepts it; until then `list` says `under
        way`. A released message stays in the quarantine for a while. Releasing also trains the filter that such mail is
        honest."""
        with opened(program, config) as (settings, store):
            addresses = tuple(map(checked_address, to))
            learns = teaching(settings, store) if teach and teaching is not None else None
            protect = None if original else protector(program.journey, settings)
            trouble = False
            done: list[str] = []
            try:
                for entry in _chosen(store, refs, user, all_users):
                    trouble |= not _release_one(store, entry, addresses, force, learns, protect)
                    done.append(entry.ref)
                    if wait:
                        trouble |= not _sent(store, settings[OutboxSettings], entry, send_now)
            except KeyboardInterrupt:
                click.echo(f"stopped; {len(done)} released before that, and they stay released", err=True)
                sys.exit(INTERRUPTED)
            sys.exit(1 if trouble else 0)

    return command


def _release_one(
    store: Store, entry: Entry, to: Sequence[str], force: bool, teach: Teach | None, protect: Protect | None
) -> bool:
    """Release an entry, print the result, and teach. False if something failed."""
    released = release(store, entry, time.time(), protect=protect, to=to, force=force)
    name = f"{entry.ref} for {for_log(entry.user)}"
    if released.outcome is Outcome.UNDER_WAY:
        click.echo(f"{name}: is already being released")
        return True
    if released.outcome is Outcome.RELEASED:
        click.echo(f"{name}: was released {local_time(entry.released_at or time.time())}; --force sends it again")
        return True
    click.echo(f"{name}: will be sent to {', '.join(map(for_log, released.recipients[:20]))}")
    if teach is None:
        return True
    try:
        teach(entry.user, entry.ref)
    except (StoreError, LookupError, ValueError) as error:
        click.echo(f"{name}: released, but nothing was learned from it: {for_log(str(error))}", err=True)
        return False
    return True


def _sent(store: Store, settings: OutboxSettings, entry: Entry, send_now: SendNow) -> bool:
    """Send the message and print the result. Returns whether the MTA accepted it. If the filter is already sending it,
    wait for that result.
    """
    ends = time.monotonic() + settings.lease
    (now,) = of_ref(store, entry.ref, entry.user)
    while now.state is State.UNDER_WAY and now.outbox_id is not None and time.monotonic() < ends:
        try:
            send_now(store, settings, now.outbox_id)
            ends = 0.0
        except LookupError:
            time.sleep(LOOK_AGAIN)
        (now,) = of_ref(store, entry.ref, entry.user)
    if now.state is State.RELEASED:
        click.echo(f"{entry.ref} for {for_log(entry.user)}: the mail server took it")
        return True
    rest = (
        "the filter goes on trying"
        if now.state is State.UNDER_WAY
        else "it was given up, and is still in the quarantine"
    )
    said = for_log(now.error) or "no answer yet"
    click.echo(f"{entry.ref} for {for_log(entry.user)}: the mail server did not take it ({said}); {rest}", err=True)
    return False


def _delete_command(program: Program) -> click.Command:
    @click.command("delete")
    @_refs_argument
    @click.option("--user", default="", help="of this user only")
    @_all_users_option
    @click.pass_obj
    def command(config: Path | None, refs: tuple[str, ...], user: str, all_users: bool) -> None:
        """Delete messages from the quarantine for good. Nothing is learned from them.

        A message that is being released can be deleted once the mail server has accepted it."""
        with opened(program, config) as (_, store):
            stayed, gone = 0, set()
            for entry in _chosen(store, refs, user, all_users):
                name = f"{entry.ref} of {for_log(entry.user)}"
                if remove(store, [entry]).entries:
                    gone.add(entry.ref)
                    click.echo(f"{name}: deleted")
                else:
                    stayed += 1
                    click.echo(f"{name}: is being released, and stays until the mail server has accepted it", err=True)
            for _ in sweep(store, sorted(gone)):
                pass
            sys.exit(1 if stayed else 0)

    return command
