"""The command `digest send`."""

from __future__ import annotations

import time
from pathlib import Path

import click

from antispam.checks import dkim_sign
from antispam.deadline import Deadline
from antispam.journey.services import Services
from antispam.mail.access_map import EMPTY
from antispam.net.resolver import DnsSettings, Resolver
from antispam.service.application import ConfigError, Program, load_settings, opened_store
from antispam.settings import Settings, SettingsError
from antispam.store import Store
from antispam.text import for_log

SIGNING = 20.0  # seconds


def digest_command(program: Program) -> click.Command:
    """`digest`, for the commands of a program."""

    @click.group("digest")
    def group() -> None:
        """Tell users by mail what is kept from them.

        Each message has a link that delivers it. See docs/digest.md."""

    @group.command("send")
    @click.option("--quiet", is_flag=True, help="print nothing but errors, for cron")
    @click.pass_obj
    def send_command(config: Path | None, quiet: bool) -> None:
        """Post the digests that are due, one for each user with something new. The running filter does the same by itself, and
        sends them; a second time does no harm."""
        settings = load_settings(program, config)
        try:
            from antispam.service.digest import sending
        except ImportError as error:
            raise click.ClickException(
                f"Digests need more packages: pip install 'bms-antispam[web]' ({error})"
            ) from error
        try:
            sending.demand_sendable(settings)
        except SettingsError as error:
            raise ConfigError(str(error)) from error
        with opened_store(settings, existing=True) as store:
            means = sending.Means(settings, store, lambda queued: _signed(queued, settings, store), time.time)
            posted = 0
            for sent in sending.sending(means):
                posted += 1
                if not quiet:
                    click.echo(f"{for_log(sent.user)}: {sent.count} to {for_log(sent.address)}")
        if not posted and not quiet:
            click.echo(
                f"Nobody is due: a digest tells, once, of what was kept more than {sending.SETTLED / 60:g} minutes ago, and "
                "goes to users, accounts and listed addresses (docs/digest.md)."
            )

    return group


def _signed(queued: bytes, settings: Settings, store: Store) -> bytes:
    services = Services(
        settings=settings, resolver=Resolver.from_settings(settings[DnsSettings]), store=store, access=EMPTY,
        clock=time.time, deadline=Deadline.after(SIGNING),
    )  # fmt: skip
    return dkim_sign.sign_own(queued, services)
