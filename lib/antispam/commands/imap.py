"""The command `imap`: polls Junk folders as a separate process."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

import click

from antispam.service import imap_poller
from antispam.service.application import ConfigError, Program, load_settings, opened_store
from antispam.settings.imap import ImapSettings
from antispam.text import for_log

NEEDS = "The poller needs one more package: pip install 'bms-antispam[imap]'"


def imap_command(program: Program) -> click.Command:
    """`imap`, for the commands of a program."""

    @click.command("imap")
    @click.option("--once", is_flag=True, help="look once into each folder, and exit")
    @click.pass_obj
    def command(config: Path | None, once: bool) -> None:
        """Teach what users move into their Junk folders, by IMAP, until TERM or Ctrl-C.

        The accounts stand in sections [imap NAME] (docs/dovecot.md). `bms run` does the same beside the filter, unless [imap]
        serve = no."""
        settings = load_settings(program, config)
        if not settings[ImapSettings].accounts:
            raise ConfigError("there is no account to poll: describe it in a section [imap NAME]")
        try:
            from antispam.service import imap_server
        except ImportError as error:
            raise click.ClickException(f"{NEEDS} ({error})") from error
        with opened_store(settings):
            pass  # the tables are up to date
        closing = threading.Event()
        with imap_server.folders(program.journey, settings, closing) as folders:
            if once:
                sys.exit(_once(folders))
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: closing.set())
            imap_poller.start(folders, closing)
            closing.wait()

    return command


def _once(folders: list[imap_poller.Folder]) -> int:
    status = 0
    for folder in folders:
        try:
            client = folder.connect(folder.mailbox)
            try:
                click.echo(f"{folder}: {folder.look(client)} learned")
            finally:
                client.shutdown()
        except folder.failures as error:
            click.echo(f"{folder}: {for_log(str(error))}", err=True)
            status = 1
    return status
