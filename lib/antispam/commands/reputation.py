"""The commands `reputation show`, `reset`, `feedback`, `export`, `import` and `serve`."""

from __future__ import annotations

import contextlib
import dataclasses
import heapq
import json
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import sqlalchemy as sa
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from antispam.checks._shared.reputation.settings import GossipSettings
from antispam.commands.tables import table_of
from antispam.net.addresses import normalize_domain
from antispam.service import logs
from antispam.service.application import ConfigError, Program, load_settings, opened_store
from antispam.service.gossip_server import server
from antispam.settings import Settings
from antispam.settings.logs import LogSettings
from antispam.store import StoreError, migrate
from antispam.store.connecting import url_from
from antispam.text import for_log, local_time
from gossip import HAM, SPAM, Observations, Records
from gossip.exchange import BadRecord, from_lines, from_pygossip, is_pygossip, to_line
from Milter.berkeleydb import BerkeleyDBError

_BARS = "▁▂▃▄▅▆▇█"
_WIDTH = 24


@contextlib.contextmanager
def _records(program: Program, config: Path | None) -> Iterator[Records]:
    """The records of reputation, with the log folded in. Raises ClickException if the database cannot be used."""
    with opened_store(load_settings(program, config)) as store:
        records = Records(store)
        while records.fold(time.time()):
            pass
        yield records


def reputation_command(program: Program) -> click.Command:
    """`reputation`, for the commands of a program."""

    @click.group("reputation")
    def group() -> None:
        """The reputation of senders' domains.

        An identity is a domain and how it was authenticated: example.com:SPF, example.com:DKIM, example.com:none. Reputation
        goes from -100 to 100 (-76 is nothing but spam), confidence from 0 to 100. A domain alone names all its identities.
        """

    group.add_command(_show_command(program))
    group.add_command(_reset_command(program))
    group.add_command(_feedback_command(program))
    group.add_command(_export_command(program))
    group.add_command(_import_command(program))
    group.add_command(_serve_command(program))
    return group


def _show_command(program: Program) -> click.Command:
    @click.command("show")
    @click.argument("names", nargs=-1)
    @click.option("--best", is_flag=True, help="list the best reputations first, not the worst")
    @click.option("--limit", default=50, show_default=True, help="how many to list if no names are given")
    @click.option("--json", "as_json", is_flag=True, help="one JSON object per line instead of the table")
    @click.pass_obj
    def show_command(config: Path | None, names: tuple[str, ...], best: bool, limit: int, as_json: bool) -> None:
        """Show identities, the worst first. NAMES are domains or identities.

        The bars show the remembered messages, the oldest on the left; a higher bar means more honest ones.

        \b
            bms reputation show                   the worst that we know, and are sure of
            bms reputation show example.com       all of one domain
        """
        now = time.time()
        with _records(program, config) as records:
            sign = -1 if best else 1

            def order(item: tuple[str, Observations]) -> float:
                return sign * item[1].reputation * item[1].confidence(now)

            everything = records.everything([_lower(name) for name in names])
            chosen = sorted(everything, key=order) if names else heapq.nsmallest(max(0, limit), everything, order)
        if as_json:
            for name, made in chosen:
                click.echo(json.dumps(_values(name, made, now)))
        elif chosen:
            Console().print(_table(chosen, now))
        else:
            click.echo("Nothing is known." if not names else "Nothing is known about that name.")
        if names and not chosen:
            sys.exit(1)

    return show_command


def _reset_command(program: Program) -> click.Command:
    @click.command("reset")
    @click.argument("names", nargs=-1, required=True)
    @click.pass_obj
    def reset_command(config: Path | None, names: tuple[str, ...]) -> None:
        """Delete the reputation of NAMES: identities, or domains with all their identities.

        \b
            bms reputation reset example.com:SPF
        """
        missed = False
        with _records(program, config) as records:
            for name in map(_lower, names):
                found = [one for one, _ in records.everything([name])]
                for one in found:
                    records.reset(one)
                    click.echo(f"{for_log(one)} is forgotten")
                if not found:
                    missed = True
                    click.echo(f"{for_log(name)}: nothing is known about it", err=True)
        if missed:
            sys.exit(1)

    return reset_command


def _feedback_command(program: Program) -> click.Command:
    @click.command("feedback")
    @click.argument("message")
    @click.argument("verdict", type=click.Choice(["spam", "ham"]))
    @click.pass_obj
    def feedback_command(config: Path | None, message: str, verdict: str) -> None:
        """Say that MESSAGE was spam, or honest: its reference in the log, or the first part of its X-GOSSiP field.

        Repeating it changes nothing, and the last feedback counts. It does not train the learning filter; use `bms train` for
        that.

        \b
            bms reputation feedback 7h2k9m3p5q8r spam
        """
        vote = SPAM if verdict == "spam" else HAM
        with _records(program, config) as records:
            now = time.time()
            known = records.report(message, vote, now) or records.feedback(message, vote, now)
        if not known:
            raise click.ClickException(
                f"no message is remembered as {for_log(message, 80)}; is it older than retain_messages?"
            )
        click.echo(f"{for_log(message)} counts as {verdict}")

    return feedback_command


def _export_command(program: Program) -> click.Command:
    @click.command("export")
    @click.argument("file", type=click.File("w"), default="-")
    @click.pass_obj
    def export_command(config: Path | None, file: Any) -> None:
        """Write all reputations to FILE or standard output: one JSON object per line, for `import`.

        \b
            bms reputation export > reputation.jsonl
        """
        with _records(program, config) as records:
            for name, made in records.everything():
                file.write(to_line(name, made) + "\n")

    return export_command


def _import_command(program: Program) -> click.Command:
    @click.command("import")
    @click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
    @click.option("--replace", is_flag=True, help="also replace what is already known")
    @click.pass_obj
    def import_command(config: Path | None, file: Path, replace: bool) -> None:
        """Read identities from FILE: what `export` wrote, or the database of pygossip (gossip4.db, a Berkeley DB).

        \b
            bms reputation import /var/lib/milter/gossip4.db
        """
        taken = kept = 0
        with _records(program, config) as records:
            try:
                for name, made in _read(file):
                    if not replace and records.get(name) is not None:
                        kept += 1
                        continue
                    records.put(name, made)
                    taken += 1
            except (BadRecord, BerkeleyDBError) as error:
                raise click.ClickException(f"{file}: {for_log(str(error))}; {taken} were taken before it") from error
        click.echo(f"{taken} identities were taken" + (f", {kept} were known and stay" if kept else ""))

    return import_command


def _serve_command(program: Program) -> click.Command:
    @click.command("serve")
    @click.option("--listen", help="where to listen, instead of [gossip] listen: 11900, or address:port")
    @click.pass_obj
    def serve_command(config: Path | None, listen: str | None) -> None:
        """Answer other nodes without filtering mail, in the foreground until TERM or Ctrl-C, according to [gossip] and
        [store]."""
        settings = _told_to_listen(load_settings(program, config), listen)
        logs.configure(settings[LogSettings], program.name)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            migrate(url_from(settings))
            with server(settings) as made:
                made.serve()
        except KeyboardInterrupt:
            return
        except (StoreError, OSError, sa.exc.SQLAlchemyError) as error:
            raise click.ClickException(for_log(str(error))) from error

    return serve_command


def _told_to_listen(settings: Settings, listen: str | None) -> Settings:
    """The settings with the address from the command line, if there is one. Raises ConfigError."""
    options = settings[GossipSettings]
    wanted = listen or options.listen
    if not wanted:
        raise ConfigError("where to listen? Give --listen 11900, or set [gossip] listen")
    return settings.replaced(dataclasses.replace(options, listen=wanted))


def _lower(name: str) -> str:
    """The name with its domain in lower case and A-labels, as stored."""
    domain, colon, how = name.rpartition(":")
    return f"{normalize_domain(domain)}:{how}" if colon else normalize_domain(name)


def _read(file: Path) -> Iterator[tuple[str, Observations]]:
    if is_pygossip(file):
        yield from from_pygossip(file)
        return
    with file.open(encoding="utf-8", errors="replace") as lines:
        yield from from_lines(lines)


def _values(name: str, made: Observations, now: float) -> dict[str, Any]:
    return {
        "identity": name,
        "reputation": round(made.reputation, 1),
        "confidence": round(made.confidence(now), 1),
        "spam": made.spam_count,
        "ham": made.ham_count,
        "first_seen": made.first_seen,
        "last_seen": made.last_seen,
    }


def _table(chosen: list[tuple[str, Observations]], now: float) -> Table:
    table = table_of(
        "identity", "reputation", "confidence", "spam", "ham", "honest share, oldest to newest", "last seen"
    )
    for name, made in chosen:
        cells = (
            for_log(name),
            f"{made.reputation:.0f}",
            f"{made.confidence(now):.1f}",
            str(made.spam_count),
            str(made.ham_count),
            bars(list(made.votes())),
            local_time(made.last_seen),
        )
        table.add_row(*map(escape, cells))
    return table


def bars(votes: list[int], width: int = _WIDTH) -> str:
    """A bar for each of `width` equal parts, showing the share of ham among the certain votes."""
    drawn = []
    parts = min(width, len(votes))
    for part in range(parts):
        some = votes[part * len(votes) // parts : (part + 1) * len(votes) // parts]
        certain = [vote for vote in some if vote]
        share = sum(vote > 0 for vote in certain) / len(certain) if certain else 0.5
        drawn.append(_BARS[round(share * (len(_BARS) - 1))])
    return "".join(drawn)
