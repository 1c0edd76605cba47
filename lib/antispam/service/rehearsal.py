"""A rehearsal of the filter: it decides, but sends, stores and learns nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
import sqlalchemy as sa

from antispam.journey.table import Journey
from antispam.service.application import Application
from antispam.settings import CheckSettings, Mode, Settings
from antispam.settings.program import ProgramSettings, StoreSettings
from antispam.store import Store, StoreError, migrate, preferences
from antispam.store.connecting import url_from
from antispam.text import for_log

# Their answer depends on earlier mail: with an empty store they would refuse everything, so they run in mode log.
_REMEMBERING = ("greylist", "greylist_suspicious")


def _only_saying(journey: Journey, settings: Settings) -> Iterator[CheckSettings]:
    for row in journey.rows:
        check = settings[row.check.Settings]
        if row.check.NAME in _REMEMBERING and check.mode is Mode.ENFORCE:
            yield dataclasses.replace(check, mode=Mode.LOG)


@contextlib.contextmanager
def _learned(settings: Settings) -> Iterator[Store | None]:
    """The configured database, for its dictionaries and preferences. None if there is none or, with a warning, if it
    cannot be read.
    """
    url = sa.engine.make_url(url_from(settings))
    try:
        absent = url.get_backend_name() == "sqlite" and not Path(url.database or "").exists()
    except OSError as error:  # in a folder that we may not enter
        click.echo(
            f"the configured database cannot be read, so nothing is known of spam: {for_log(str(error))}", err=True
        )
        absent = True
    if absent:
        yield None
        return
    with contextlib.closing(Store.from_settings(settings)) as store:
        try:
            preferences.everything(store)
        except (StoreError, sa.exc.SQLAlchemyError) as error:
            click.echo(
                f"the configured database cannot be read, so nothing is known of spam: {for_log(str(error))}", err=True
            )
            yield None
        else:
            yield store


@contextlib.contextmanager
def rehearsal(journey: Journey, configured: Settings, *, live: bool = False) -> Iterator[Application]:
    """The application over an empty store (or, live, the configured one), recording nothing."""
    with tempfile.TemporaryDirectory(prefix="bms-scan-") as scratch:
        if live:
            settings = configured.replaced(dataclasses.replace(configured[ProgramSettings], tempdir=Path(scratch)))
        else:
            elsewhere = dataclasses.replace(configured[ProgramSettings], datadir=Path(scratch), tempdir=None)
            settings = configured.replaced(elsewhere, dataclasses.replace(configured[StoreSettings], url=""))
            settings = settings.replaced(*_only_saying(journey, settings))
            migrate(url_from(settings))
        with (
            _learned(configured) as learned,
            contextlib.closing(Application(journey, settings, record=False, learned=learned)) as application,
        ):
            yield application
