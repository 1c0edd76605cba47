"""The command `health`: a check of the whole filter, for monitoring and load balancers."""

from __future__ import annotations

import contextlib
import json
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import sqlalchemy as sa
from prometheus_client.parser import text_string_to_metric_families

from antispam.checks._shared.dkim_keys.configured import configured
from antispam.checks._shared.dkim_keys.signing import SigningSettings
from antispam.learning.settings import DspamSettings
from antispam.net.resolver import DnsSettings, Resolver
from antispam.net.sockets import SocketSpec
from antispam.service import health
from antispam.service.application import Program, absent_file, load_settings
from antispam.service.health import Result, State
from antispam.settings import Settings
from antispam.settings.health import HealthSettings
from antispam.settings.metrics import MetricsSettings, parse_place
from antispam.settings.program import ProgramSettings
from antispam.store import Store, StoreError
from antispam.store.connecting import url_from
from antispam.store.migrate import leave_to_its_owner, newest
from antispam.text import for_log

_QUESTIONS = ("filter", "store", "workers", "housekeeping", "training", "backup", "dkim", "disk", "clock", "outbox")
_MOST = 1 << 22  # octets of metrics
_STALE = 300.0  # seconds after which a file of metrics is outdated


def health_command(program: Program) -> click.Command:
    """`health`, for the commands of a program."""

    @click.command("health")
    @click.option("--json", "as_json", is_flag=True, help="one JSON object with every answer")
    @click.option("--verbose", "-v", is_flag=True, help="every answer on a line of its own")
    @click.option("--skip", multiple=True, type=click.Choice(_QUESTIONS), help="don't ask this (can be repeated)")
    @click.pass_obj
    def command(config: Path | None, as_json: bool, verbose: bool, skip: tuple[str, ...]) -> None:
        """Say in one line whether all is well, with the exit codes of monitoring plugins.

        The exit status is 0 (all is well), 1 (warning), 2 (critical) or 3 (unknown), as Nagios has it.

        It speaks with the filter as an MTA does, asks the database, and looks at workers, training, backups, DKIM keys, the
        disk, the clock and the outbox. [health] has the limits. Run it as the filter's user. See docs/health.md."""
        try:
            results = [one for one in _results(program, load_settings(program, config)) if one.name not in skip]
        except click.ClickException as error:
            results = [Result("configuration", State.UNKNOWN, error.format_message())]
        state = health.worst(results)
        if as_json:
            answers = [{"name": one.name, "state": one.state.name.lower(), "text": one.text} for one in results]
            click.echo(json.dumps({"state": state.name.lower(), "answers": answers}))
        else:
            click.echo(_line(program.name, state, results))
            for one in results if verbose else ():
                click.echo(f"{one.state.name:9}{one.name}: {for_log(one.text)}")
        sys.exit(state)

    return command


def _line(name: str, state: State, results: list[Result]) -> str:
    """The line of output: the worst results first, and only the number of good ones."""
    bad = sorted((one for one in results if one.state is not State.OK), key=lambda one: one.state is not state)
    told = " -- ".join(for_log(one.text) for one in bad) or f"{len(results)} questions, all is well"
    return f"{name.upper()} {state.name}: {told}"


def _results(program: Program, settings: Settings) -> Iterator[Result]:
    now, limits = time.time(), settings[HealthSettings]
    options = settings[ProgramSettings]
    yield health.filter_answers(SocketSpec.parse(options.socket), limits.timeout, program.name)
    yield from _of_store(settings, now)
    yield from _of_processes(settings, now)
    yield health.backup(limits, now)
    try:
        keys = configured(settings[SigningSettings])
    except (OSError, ValueError) as error:
        yield Result("dkim", State.CRITICAL, f"the keys cannot be read: {error}")
    else:
        resolver = Resolver.from_settings(settings[DnsSettings])
        yield from health.keys(keys, resolver, limits.timeout, now)
    yield health.disk(options.datadir, limits)


def _of_store(settings: Settings, now: float) -> Iterator[Result]:
    """The results that need the database, which is never created or upgraded here."""
    url, limits = url_from(settings), settings[HealthSettings]
    try:
        leave_to_its_owner(url)
    except (OSError, sa.exc.SQLAlchemyError) as error:
        yield Result("store", State.UNKNOWN, f"the database: {error}")
        return
    if (absent := absent_file(settings)) is not None:
        yield Result("store", State.CRITICAL, f"there is no database at {absent}; the filter creates it when it starts")
        return
    with contextlib.closing(Store.from_settings(settings)) as store:
        answer = health.store_answers(store, limits.timeout, newest())
        yield answer
        if answer.state is State.CRITICAL:
            return
        questions: dict[str, Callable[[], Result]] = {
            "training": lambda: health.training(store, settings[DspamSettings], now),
            "clock": lambda: health.clock(store, now),
            "outbox": lambda: health.queue(store, limits, now),
        }
        for name, ask in questions.items():
            try:
                yield ask()
            except (StoreError, sa.exc.SQLAlchemyError) as error:
                yield Result(name, State.UNKNOWN, f"the database did not say: {str(error).splitlines()[0]}")


def _of_processes(settings: Settings, now: float) -> Iterator[Result]:
    """The results from the metrics, if there are any."""
    options = settings[MetricsSettings]
    try:
        if options.listen:
            host, port = parse_place(options.listen)
            place = f"[{host}]" if ":" in host else host
            address = f"http://{place}:{port}/metrics"
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(address, timeout=settings[HealthSettings].timeout) as answer:
                text = answer.read(_MOST).decode("utf-8", "replace")
        elif options.file is not None:
            if (age := now - options.file.stat().st_mtime) > _STALE:
                advice = "the worker that writes it hangs, or the folder is not writable: see the log"
                yield Result("workers", State.CRITICAL, f"{options.file} is {age / 60:.0f} minutes old; {advice}")
                return
            text = options.file.read_text(errors="replace")
        else:
            yield Result("workers", State.OK, "not looked at: [metrics] listen is empty")
            return
        yield from health.workers(_figures(text), now)
    except (OSError, ValueError) as error:
        yield Result("workers", State.CRITICAL, f"the metrics cannot be read: {error}; see [metrics] and the log")


def _figures(text: str) -> dict[str, float]:
    """The values of metrics in the text format, by name and labels. Raises ValueError."""
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {_series(sample.name, sample.labels): sample.value for sample in samples}


def _series(name: str, labels: dict[str, str]) -> str:
    told = ",".join(f'{key}="{value}"' for key, value in labels.items())
    return f"{name}{{{told}}}" if told else name
