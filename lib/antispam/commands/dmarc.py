"""The commands `dmarc report` and `dmarc read`: aggregate reports to other domains, and those of others about ours."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from antispam import __version__
from antispam.checks import dkim_sign
from antispam.checks._shared.dmarc_reports import DmarcReportSettings
from antispam.deadline import Deadline
from antispam.journey.services import Services
from antispam.mail.access_map import EMPTY
from antispam.net.addresses import host_list, parse_mailbox
from antispam.net.resolver import DnsSettings, DNSTemporaryError, Resolver
from antispam.protocols.dmarc_reports import (
    Published,
    Received,
    Record,
    Report,
    ReportMail,
    UnreadableReport,
    compose,
    destinations,
    read_file,
)
from antispam.protocols.dmarc_reports.reading import MAX_FILE
from antispam.service.application import Program, load_settings, opened_store
from antispam.settings import Settings
from antispam.store import Store, dmarc_received
from antispam.store.dmarc_results import DAY, counted, reported, unreported
from antispam.store.outbox import Kind, QueuedMessage

LOOKUP = 20.0  # seconds for the look-ups about one domain
_MAX_LISTED = 50


def dmarc_command(program: Program, clock: Callable[[], float] = time.time) -> click.Command:
    """`dmarc`, for the commands of a program; the clock says which days are over."""

    @click.group("dmarc")
    def group() -> None:
        """Aggregate reports of DMARC: those that we send, and those that we get."""

    group.add_command(_report_command(program, clock))
    group.add_command(_read_command(program))
    return group


def _report_command(program: Program, clock: Callable[[], float]) -> click.Command:
    @click.command("report")
    @click.option("--dry-run", is_flag=True, help="only print what would be sent, and to whom; nothing is forgotten")
    @click.option("--quiet", is_flag=True, help="print nothing but errors, for cron")
    @click.pass_obj
    def report_command(config: Path | None, dry_run: bool, quiet: bool) -> None:
        """Post the reports about all days that are over ([dmarc_reports]): one for each domain and day. The running filter
        sends them. Give it once a day; a second time does no harm."""
        settings = load_settings(program, config)
        if not settings[DmarcReportSettings].send:
            raise click.ClickException("nothing is noted for reports: [dmarc_reports] send = yes")
        with opened_store(settings, existing=True) as store:
            failed = _report(store, settings, clock, dry_run=dry_run, quiet=quiet)
        if failed:
            raise SystemExit(1)

    return report_command


def _read_command(program: Program) -> click.Command:
    @click.command("read")
    @click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
    @click.option(
        "--plot", type=click.Path(dir_okay=False, path_type=Path), help="draw a picture (PNG); needs matplotlib"
    )
    @click.option("--json", "as_json", is_flag=True, help="one JSON object a report instead of the tables")
    @click.option("--failed", is_flag=True, help="only senders of which some mail failed")
    @click.option("--store", "stores", is_flag=True, help="store them for the console, and print only what went wrong")
    @click.pass_obj
    def read_command(
        config: Path | None, files: Sequence[Path], plot: Path | None, as_json: bool, failed: bool, stores: bool
    ) -> None:
        """Show the reports in FILES: zip, gzip, XML, or the messages that brought them; of RFC 9990 and of the older form.

        With --store they go into the database, where the console adds them up. A report that is there already counts once, so
        the command can be given all messages of a mailbox again and again, by cron.
        """
        found: list[Received] = []
        bad = 0
        for file in files:
            try:
                found += _read(file)
            except (UnreadableReport, OSError) as error:
                bad += 1
                click.echo(f"{file}: {error}", err=True)
        if stores:
            with opened_store(load_settings(program, config)) as store:
                for one in found:
                    dmarc_received.put(store, one, time.time())
        elif as_json:
            for one in found:
                click.echo(json.dumps(msgspec.to_builtins(one)))
        elif found:
            _show(found, Console(), failed=failed)
        if plot is not None and found:
            draw(plot, found)
        if bad:
            raise SystemExit(1)

    return read_command


# Sending


def _report(store: Store, settings: Settings, clock: Callable[[], float], *, dry_run: bool, quiet: bool) -> int:
    """Queue the reports. Returns the number of domains that failed temporarily; they are tried again next time."""
    resolver, failed = Resolver.from_settings(settings[DnsSettings]), 0
    for day, domain in unreported(store, int(clock()) // DAY):
        try:
            to = (
                ()
                if domain in host_list(settings[DmarcReportSettings].never)
                else destinations(domain, resolver, Deadline.after(LOOKUP))
            )
            queued, last = _queued(store, settings, resolver, clock, day, domain, to)
        except DNSTemporaryError as error:
            click.echo(f"{domain}: {error}; tried again next time", err=True)
            failed += 1
            continue
        told = f"{_date(day)} {domain}: " + (f"to {', '.join(to)}" if to else "nobody wants it, or may get it")
        if dry_run:
            click.echo(told)
            continue
        if reported(store, day, domain, last, queued, clock()) and not quiet:
            click.echo(told)
    return failed


def _queued(
    store: Store,
    settings: Settings,
    resolver: Resolver,
    clock: Callable[[], float],
    day: int,
    domain: str,
    to: Sequence[str],
) -> tuple[list[QueuedMessage], int]:
    """The signed messages, and the last row that they include. Raises ClickException if they cannot be signed: RFC 9990
    section 3.5.2 requires them to pass DMARC themselves.
    """
    found, last = counted(store, day, domain)
    options, now = settings[DmarcReportSettings], clock()
    services = Services(
        settings=settings,
        resolver=resolver,
        store=store,
        access=EMPTY,
        clock=clock,
        deadline=Deadline.after(LOOKUP),
    )
    queued = []
    for published, counter in found.items() if to else ():
        report = make_report(options, day, published, counter, last)
        for address in to:
            mail = ReportMail(options.sender, address, _submitter(options), now)
            content = compose(report, mail)
            signed = dkim_sign.sign_own(content, services)
            if signed == content:
                raise click.ClickException(f"reports must be signed: [dkim_sign] has no key for {_submitter(options)}")
            ref = report.report_id[:16]
            queued.append(
                QueuedMessage(Kind.REPORT, ref, "", (address,), signed, once=f"report {report.report_id} {address}")
            )
    return queued, last


def make_report(options: DmarcReportSettings, day: int, published: str, counter: Counter[str], last: int) -> Report:
    """The report about a day's messages under one policy, up to the row `last`. The same rows give the same name."""
    policy = msgspec.json.decode(published, type=Published)
    rows = [(msgspec.json.decode(text, type=Record), count) for text, count in counter.most_common()]
    digest = hashlib.sha256(f"{day} {published} {last}".encode()).hexdigest()[:24]
    return Report(
        org_name=options.organization or _submitter(options),
        email=options.sender,
        report_id=f"{digest}@{_submitter(options)}",
        begin=day * DAY,
        end=(day + 1) * DAY - 1,
        published=policy,
        rows=tuple(rows),
        contact=options.contact,
        generator=f"bms {__version__}",
    )


def _submitter(options: DmarcReportSettings) -> str:
    return parse_mailbox(options.sender).domain


# Reading


def _read(file: Path) -> Iterator[Received]:
    with file.open("rb") as opened:
        yield from read_file(opened.read(MAX_FILE + 1))


def _show(found: Sequence[Received], console: Console, *, failed: bool) -> None:
    """Print a table of the reports, and one of the senders of mail in the names of the domains."""
    table = Table("from", "about", "policy", "days", "messages", "passed")
    for one in sorted(found, key=lambda report: (report.domain, report.begin)):
        total = sum(source.count for source in one.sources)
        passed = sum(source.count for source in one.sources if source.passed)
        days = f"{_when(one.begin)} to {_when(one.end)}"
        table.add_row(*map(escape, (one.org_name, one.domain, one.policy, days, str(total), _percent(passed, total))))
    console.print(table)
    senders = Table("sent from", "as", "messages", "passed", "SPF", "DKIM", "done", "why")
    rows = _senders(found)
    shown = [row for row in rows if not failed or row[3] < row[2]]
    for ip, domain, total, passed, spf, dkim, done, why in shown[:_MAX_LISTED]:
        values = (
            ip,
            domain,
            str(total),
            _percent(passed, total),
            _percent(spf, total),
            _percent(dkim, total),
            done,
            why,
        )
        senders.add_row(*map(escape, values))
    console.print(senders)
    if len(shown) > _MAX_LISTED:
        console.print(f"and {len(shown) - _MAX_LISTED} more; --json has them all")


def _senders(found: Sequence[Received]) -> list[tuple[str, str, int, int, int, int, str, str]]:
    """The senders by address and author domain, those with most failures first."""
    sums: dict[tuple[str, str], list[Any]] = {}
    for source in (source for one in found for source in one.sources):
        entry = sums.setdefault((source.ip, source.header_from), [0, 0, 0, 0, Counter(), Counter()])
        entry[0] += source.count
        entry[1] += source.count * source.passed
        entry[2] += source.count * (source.spf == "pass")
        entry[3] += source.count * (source.dkim == "pass")
        entry[4][source.disposition] += source.count
        entry[5][source.reason] += source.count
    rows = [
        (ip, domain, *entry[:4], " ".join(sorted(entry[4])), " ".join(sorted(filter(None, entry[5]))))
        for (ip, domain), entry in sums.items()
    ]
    return sorted(rows, key=lambda row: (row[3] - row[2], -row[2], row[0]))


def draw(path: Path, found: Sequence[Received]) -> None:
    """Draw the daily numbers of messages that passed and failed, as a PNG. Raises ClickException without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise click.ClickException("--plot needs matplotlib: pip install bms-antispam[plot]") from None
    passed: Counter[int] = Counter()
    failed: Counter[int] = Counter()
    for one in found:
        for source in one.sources:
            (passed if source.passed else failed)[one.begin // DAY] += source.count
    days = sorted({*passed, *failed})
    labels = [_date(day) for day in days]
    picture = Figure(figsize=(max(6, len(days) * 0.5), 4), layout="constrained")
    axes = picture.subplots()
    axes.bar(labels, [passed[day] for day in days], label="passed", color="tab:green")
    axes.bar(
        labels, [failed[day] for day in days], bottom=[passed[day] for day in days], label="failed", color="tab:red"
    )
    axes.set(ylabel="messages", title="Mail in our name, as others saw it")
    axes.tick_params(axis="x", rotation=45)
    axes.legend()
    picture.savefig(path, format="png", dpi=110)


def _percent(part: int, total: int) -> str:
    return f"{100 * part / total:.0f} %" if total else "-"


def _when(seconds: int) -> str:
    return _date(seconds // DAY)


def _date(day: int) -> str:
    try:
        return datetime.fromtimestamp(day * DAY, UTC).strftime("%Y-%m-%d")
    except (OverflowError, ValueError, OSError):
        return "?"
