"""The commands `lists` and `bans`: the lists of senders and clients, and a DNS zone of bans for other servers."""

from __future__ import annotations

import difflib
import ipaddress
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from antispam.commands import list_files
from antispam.commands.list_files import GREYLIST
from antispam.commands.tables import table_of
from antispam.net.addresses import is_hostname, normalize_domain
from antispam.service.application import Program, load_settings, opened_store
from antispam.settings.values import duration
from antispam.store import Store, lists
from antispam.store.lists import BadName, Entry, Kind
from antispam.store.upstream_lists import NotReadable
from antispam.text import for_log, local_time

_KINDS = click.Choice([kind.value for kind in Kind])
_KINDS_AND_GREYLIST = click.Choice([*(kind.value for kind in Kind), GREYLIST])
_ZONE_TTL = 3600
_LONGEST_TEXT = 200


def _kind(_context: click.Context, _parameter: click.Parameter, value: str | None) -> Kind | None:
    return None if value is None else Kind(value)


def _duration(_context: click.Context, _parameter: click.Parameter, value: str | None) -> float | None:
    try:
        return None if value is None else float(duration("d")(value))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def lists_command(program: Program) -> click.Group:
    """`lists`, for the commands of a program."""

    @click.group("lists")
    def group() -> None:
        """Lists of senders and clients: whitelist, blacklist, banned-ip, banned-domain.

        The filter adds entries itself (docs/lists.md); entries that you add stay until you remove them, unless you give
        --for."""

    group.add_command(_show_command(program))
    group.add_command(_add_command(program))
    group.add_command(_remove_command(program))
    group.add_command(_export_command(program))
    group.add_command(_import_command(program))
    return group


def _show_command(program: Program) -> click.Command:
    @click.command("show")
    @click.argument("kind", type=_KINDS, required=False, callback=_kind)
    @click.argument("name", required=False)
    @click.option("--expired", is_flag=True, help="also show entries that no longer count")
    @click.option("--json", "as_json", is_flag=True, help="one JSON object per line instead of the table")
    @click.pass_obj
    def show_command(config: Path | None, kind: Kind | None, name: str | None, expired: bool, as_json: bool) -> None:
        """Show all entries, those of a KIND, or those that cover NAME: `lists show banned-domain mx1.spam.example`."""
        kinds = (kind,) if kind is not None else tuple(Kind)
        now = time.time()
        with opened_store(load_settings(program, config)) as store:
            if name is not None:
                found = lists.find(store, [(one, name) for one in kinds], now)
            else:
                found = lists.everything(store, kinds, None if expired else now)
        if as_json:
            for entry in found:
                click.echo(json.dumps(_values(entry)))
            return
        Console().print(_table(found) if found else "Nobody is listed.")

    return show_command


def _add_command(program: Program) -> click.Command:
    @click.command("add")
    @click.argument("kind", type=_KINDS, callback=_kind)
    @click.argument("names", nargs=-1, required=True)
    @click.option("--reason", default="by hand", help="what the sender reads in the refusal")
    @click.option("--for", "period", metavar="TIME", callback=_duration, help="for so long (30d, 12h), else for ever")
    @click.pass_obj
    def add_command(config: Path | None, kind: Kind, names: tuple[str, ...], reason: str, period: float | None) -> None:
        """Add NAMES to the list KIND."""
        with opened_store(load_settings(program, config)) as store:
            for name in names:
                _add(store, kind, name.removeprefix("@"), reason, period)  # whole domains in the notation of milter.cfg
        what = "entry" if len(names) == 1 else "entries"
        click.echo(f"{len(names)} {what} added to {kind}; effective within {lists.REMEMBERED:.0f} seconds.")

    return add_command


def _remove_command(program: Program) -> click.Command:
    @click.command("remove")
    @click.argument("kind", type=_KINDS, callback=_kind)
    @click.argument("names", nargs=-1, required=True)
    @click.pass_obj
    def remove_command(config: Path | None, kind: Kind, names: tuple[str, ...]) -> None:
        """Remove NAMES from the list KIND."""
        missing = []
        with opened_store(load_settings(program, config)) as store:
            for name in names:
                try:
                    if not lists.remove(store, kind, name.removeprefix("@")):
                        missing.append((name, _near(store, kind, name)))
                except BadName as error:
                    raise click.ClickException(str(error)) from error
        for name, near in missing:
            click.echo(f"{for_log(name)} is not on the {kind}{near}", err=True)
        if missing:
            sys.exit(1)

    return remove_command


def _export_command(program: Program) -> click.Command:
    @click.command("export")
    @click.argument("kind", type=_KINDS_AND_GREYLIST)
    @click.pass_obj
    def export_command(config: Path | None, kind: str) -> None:
        """Write the current entries of KIND to standard output in upstream's format: one name per line, with the time of the
        last addition if it expires; for greylist, CSV."""
        with opened_store(load_settings(program, config)) as store:
            for line in list_files.exported(store, None if kind == GREYLIST else Kind(kind), time.time()):
                click.echo(line)

    return export_command


def _import_command(program: Program) -> click.Command:
    @click.command("import")
    @click.argument("kind", type=_KINDS_AND_GREYLIST)
    @click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
    @click.option("--reason", default="imported", help="what the sender reads in the refusal")
    @click.option("--for", "period", metavar="TIME", callback=_duration, help="for so long (30d, 12h), else for ever")
    @click.pass_obj
    def import_command(config: Path | None, kind: str, file: str, reason: str, period: float | None) -> None:
        """Read names for KIND from FILE (- for standard input): one per line, the rest of the line is ignored, # starts a
        comment. Upstream's files (banned_ips, banned_domains, auto_whitelist.log, blacklist.log) are supported.

        If a line has a date, its time counts from that date; without --for it is [auto_whitelist] keep or [bans] blacklist.
        For greylist, FILE is upstream's greylist database."""
        settings = load_settings(program, config)
        now = time.time()
        try:
            with opened_store(load_settings(program, config)) as store:
                if kind == GREYLIST:
                    done = list_files.import_greylist(store, settings, Path(file), now)
                else:
                    with click.open_file(file, encoding="utf-8", errors="replace") as stream:
                        done = list_files.import_names(store, settings, Kind(kind), stream, reason, period, now)
        except NotReadable as error:
            raise click.ClickException(f"{for_log(file)}: {for_log(str(error))}") from error
        for complaint in done.complaints:
            click.echo(for_log(complaint), err=True)
        old = f", {done.expired} too old" if done.expired else ""
        click.echo(f"{done.taken} on the {kind}{old}, {done.refused} lines not understood.")
        if done.refused:
            sys.exit(1)

    return import_command


def _add(store: Store, kind: Kind, name: str, reason: str, period: float | None) -> None:
    now = time.time()
    try:
        expires = None if period is None else now + period
        lists.add(store, kind, name, reason=reason, by=lists.ADMINISTRATOR, now=now, expires_at=expires)
    except BadName as error:
        raise click.ClickException(str(error)) from error


def _near(store: Store, kind: Kind, name: str) -> str:
    names = [entry.name for entry in lists.everything(store, (kind,))]
    near = difflib.get_close_matches(name.lower(), names, n=1)
    return f"; did you mean {for_log(near[0])}?" if near else ""


def _values(entry: Entry) -> dict[str, Any]:
    return {
        "kind": entry.kind.value,
        "name": entry.name,
        "reason": entry.reason,
        "added_by": entry.added_by,
        "added_at": entry.added_at,
        "seen_at": entry.seen_at,
        "expires_at": entry.expires_at,
        "offences": entry.offences,
    }


def _table(entries: Iterable[Entry]) -> Table:
    table = table_of("kind", "name", "reason", "by", "since", "until", "times")
    for entry in entries:
        cells = (
            entry.kind.value,
            for_log(entry.name),
            for_log(entry.reason, 80),
            for_log(entry.added_by, 40),
            local_time(entry.added_at),
            "for ever" if entry.expires_at is None else local_time(entry.expires_at),
            str(entry.offences),
        )
        table.add_row(*map(Text, cells))  # plain text, so that brackets are not markup
    return table


def bans_command(program: Program) -> click.Command:
    """`bans`, for the commands of a program."""

    @click.command("bans")
    @click.option("--zone", "origin", metavar="ORIGIN", required=True, help="the zone's name: bans.example.com")
    @click.option("--output", type=click.Path(path_type=Path), help="write this file, atomically")
    @click.option("--domains", is_flag=True, help="a zone of banned domains (RHSBL) instead of addresses (DNSBL)")
    @click.pass_obj
    def command(config: Path | None, origin: str, output: Path | None, domains: bool) -> None:
        """Write the bans as a zone file that other mail servers can use as a DNSBL (RFC 5782).

        Run it from cron, and make the name server reload the zone: bms bans --zone bans.example.com --output
        /etc/nsd/bans.zone"""
        name = normalize_domain(origin)
        if not is_hostname(name) or "." not in name:
            raise click.ClickException(f"{for_log(origin)} is not the name of a zone")
        now = time.time()
        kind = Kind.BANNED_DOMAIN if domains else Kind.BANNED_IP
        with opened_store(load_settings(program, config)) as store:
            found = lists.everything(store, (kind,), now)
        text = zone_file(name, found, now)
        if output is None:
            click.echo(text, nl=False)
            return
        try:
            _write(output, text)
        except OSError as error:
            raise click.ClickException(f"{output}: {error.strerror}") from error
        click.echo(f"{output}: {len(found)} entries")

    return command


def zone_file(origin: str, entries: Sequence[Entry], now: float) -> str:
    """A zone with an A record 127.0.0.2 and the reason as TXT for each entry, in presentation format (RFC 1035 section
    5). RFC 5782 section 5 requires a test entry in it. Names are checked and texts are quoted, because both came from
    outside.
    """
    lines = [
        f"$ORIGIN {origin}.",
        f"$TTL {_ZONE_TTL}",
        f"@ SOA localhost. postmaster.{origin}. {int(now)} 3600 600 604800 300",
        "@ NS localhost.",
    ]
    domains = any(entry.kind is Kind.BANNED_DOMAIN for entry in entries)
    lines += _records("test" if domains else "2.0.0.127", "this entry is for tests")
    for entry in entries:
        for owner in _owners(entry):
            if len(owner) + len(origin) < 250:
                lines += _records(owner, entry.reason)
    return "\n".join(lines) + "\n"


def _owners(entry: Entry) -> list[str]:
    if entry.kind is Kind.BANNED_DOMAIN:
        bare = entry.name.removeprefix("*.")
        if not is_hostname(bare):
            return []
        return [bare] if bare == entry.name else [bare, f"*.{bare}"]
    network = ipaddress.ip_network(entry.name)
    if network.version == 4:
        return [".".join(reversed(str(network.network_address).split(".")))]
    nibbles = network.network_address.exploded.replace(":", "")[: network.prefixlen // 4]
    return ["*." + ".".join(reversed(nibbles))]


def _records(owner: str, reason: str) -> list[str]:
    plain = "".join(char if " " <= char <= "~" and char not in '"\\' else "?" for char in reason[:_LONGEST_TEXT])
    return [f"{owner} A 127.0.0.2", f'{owner} TXT "{plain}"']


def _write(file: Path, text: str) -> None:
    """Write the file completely or not at all: a name server must never load half a zone. Raises OSError."""
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "w", encoding="ascii") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, file)
    except BaseException:
        os.unlink(temporary)
        raise
