"""The commands `cbv` and `dsn show`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import click

from antispam.checks._shared.callback.calls import make_caller
from antispam.checks._shared.callback.notice import NAMES, SAMPLE, Templates, compose
from antispam.checks._shared.callback.settings import CallbackSettings, DsnSettings
from antispam.deadline import Deadline
from antispam.net.resolver import DnsSettings, Resolver
from antispam.protocols.callback_dialogue import Outcome, Verification
from antispam.service.application import Program, load_settings, opened_store
from antispam.store import callbacks
from antispam.text import for_log

# Exit statuses for scripts, from sysexits(3) where one fits.
_STATUS = {Outcome.OK: 0, Outcome.FAILED: 67, Outcome.TEMPORARY: 75, Outcome.UNKNOWN: 69}


def cbv_command(program: Program) -> click.Command:
    """`cbv`, for the commands of a program."""

    @click.command("cbv")
    @click.argument("address")
    @click.option("--known", is_flag=True, help="show only what is remembered; ask no server")
    @click.option("--helo", default="", help="our HELO name  [default: the configured one]")
    @click.option("--json", "as_json", is_flag=True, help="one JSON object instead of the dialogue")
    @click.pass_obj
    def command(config: Path | None, address: str, known: bool, helo: str, as_json: bool) -> None:
        """Ask the mail server of ADDRESS whether it accepts bounces, and show the dialogue.

        Remembered results are neither used nor changed. Exit status: 0 if the address exists, 67 if not, 75 if unknown now,
        69 if it cannot be found out."""
        found = _remembered(program, config, address) if known else _asked(program, config, address, helo, as_json)
        if found is None:
            raise click.ClickException(f"nothing is remembered about {for_log(address)}")
        if as_json:
            click.echo(
                json.dumps({"address": address, "outcome": found.outcome, "detail": found.detail, "host": found.host})
            )
        else:
            host = f" {found.host}:" if found.host else ""
            click.echo(f"{for_log(address)}: {found.outcome}.{host} {found.detail}".rstrip())
        sys.exit(_STATUS[found.outcome])

    return command


def _asked(program: Program, config: Path | None, address: str, helo: str, quiet: bool) -> Verification:
    settings = load_settings(program, config)

    def listen(who: str, line: str) -> None:
        if not quiet:
            click.echo(f"{who}: {line}" if who != "*" else f"-- {line}")

    caller = make_caller(
        Resolver.from_settings(settings[DnsSettings]), settings, settings[CallbackSettings], helo, listen=listen
    )
    return caller.verify(address, Deadline.after(settings[CallbackSettings].timeout))


def _remembered(program: Program, config: Path | None, address: str) -> Verification | None:
    with opened_store(load_settings(program, config)) as store:
        return callbacks.recall(store, address, time.time())


def dsn_command(program: Program) -> click.Command:
    """`dsn`, for the commands of a program."""

    @click.group("dsn")
    def group() -> None:
        """The notices to senders."""

    @group.command("show")
    @click.argument("template", type=click.Choice(NAMES))
    @click.pass_obj
    def show_command(config: Path | None, template: str) -> None:
        """Print a notice as a sender would get it, about a fictitious message. It is not sent, and its Message-ID is
        invalid."""
        settings = load_settings(program, config)[DsnSettings]
        sender = settings.sender or f"postmaster@{SAMPLE.receiver}"
        content = compose(
            template,
            SAMPLE,
            settings.templates or Templates(),
            sender=sender,
            message_id=f"<example@{sender.rpartition('@')[2]}>",
        )
        click.echo(content.decode("ascii").replace("\r\n", "\n"), nl=False)

    return group
