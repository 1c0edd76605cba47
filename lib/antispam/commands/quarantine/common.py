"""Code that the quarantine commands share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from antispam.protocols.mailboxes import MailboxError
from antispam.service.application import Program, load_settings, opened_store
from antispam.settings import Settings
from antispam.store import Store
from antispam.store.quarantine import BadName, NoEntry
from antispam.store.retention import LimitsOf
from antispam.text import for_log

INTERRUPTED = 130  # as in shells

LimitsFrom = Callable[[Settings, Store], LimitsOf]


@contextlib.contextmanager
def opened(program: Program, config: Path | None) -> Iterator[tuple[Settings, Store]]:
    """The settings and the store. Their errors end the command with a sentence."""
    settings = load_settings(program, config)
    with opened_store(settings, existing=True) as store:
        try:
            yield settings, store
        except (BadName, NoEntry, MailboxError) as error:
            raise click.ClickException(for_log(str(error), 2000)) from error
