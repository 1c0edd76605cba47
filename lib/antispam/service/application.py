"""Assembly of a program from its journey and its settings."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import functools
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import sqlalchemy as sa

import Milter
import milter
from antispam.chores import EVERY, Chore, Pieces, Task
from antispam.deadline import Deadline
from antispam.journey import saved
from antispam.journey.delivery import Recorder
from antispam.journey.plan import known_tests
from antispam.journey.protection import protector
from antispam.journey.recorder import NullRecorder, StoreRecorder
from antispam.journey.runner import Runner
from antispam.journey.services import Services
from antispam.journey.session import Session
from antispam.journey.table import Journey, Stage
from antispam.learning import releases, upkeep
from antispam.learning.digest_settings import DigestSettings
from antispam.learning.people import People
from antispam.learning.settings import DspamSettings
from antispam.learning.teacher import Dictionaries
from antispam.mail.access_map import AccessMap, AccessSettings
from antispam.mail.subject import Subject
from antispam.net.resolver import DnsSettings, Lookup, Resolver
from antispam.net.sockets import SocketSpec
from antispam.service import request_mail
from antispam.service.board import Board
from antispam.service.counting import CountingRecorder, Counts
from antispam.service.courier import Courier
from antispam.service.known_names import demand_known_checks, demand_known_tests
from antispam.settings import CheckSettings, Mode, Settings, SettingsError, load
from antispam.settings.dialects import BMS, Dialect
from antispam.settings.load import Defaults
from antispam.settings.logs import LogSettings
from antispam.settings.outbox import OutboxSettings
from antispam.settings.program import (
    PROGRAM_SETTINGS,
    ExceptionPolicy,
    HistoryAddresses,
    ProgramSettings,
    StoreSettings,
)
from antispam.settings.web import WebSettings
from antispam.store import Store, StoreError, attempts, dmarc_received, folders_read, history, history_sums, migrate
from antispam.store.connecting import demand_driver, demand_one_password, url_from, with_driver
from antispam.store.history import HistoryWriter
from antispam.store.migrate import leave_to_its_owner
from antispam.store.outbox_upkeep import purge_failed
from antispam.store.quarantine_settings import QuarantineSettings
from antispam.store.retention import Cleaned, cleaning
from antispam.text import for_log

log = logging.getLogger(__name__)

CLEAN_EVERY = 6 * 3600.0  # seconds between two cleanings of the quarantine

UNTRAPPED = {
    ExceptionPolicy.CONTINUE: Milter.CONTINUE,
    ExceptionPolicy.TEMPFAIL: Milter.TEMPFAIL,
    ExceptionPolicy.REJECT: Milter.REJECT,
}


def settings_classes(journey: Journey) -> list[type]:
    """Every settings class that a program with this journey reads."""
    return [
        *PROGRAM_SETTINGS,
        DnsSettings,
        QuarantineSettings,
        LogSettings,
        AccessSettings,
        *journey.settings_classes(),
    ]


@dataclasses.dataclass(frozen=True, slots=True)
class Program:
    """A milter program: its name (of its command, in the log, of its socket), its journey, and the place of its
    configuration.

    dialect   its configuration syntax
    defaults  its own defaults by section and option, if they differ from those of the settings classes
    """

    name: str
    journey: Journey
    config: Path
    dialect: Dialect = BMS
    defaults: Defaults = dataclasses.field(default_factory=dict)

    @property
    def socket(self) -> str:
        """The default socket; it differs by program, because several may serve one MTA."""
        return f"local:/run/milter/{self.name}.sock"

    def read_settings(self, given: Path | None) -> Settings:
        """Read the given file, otherwise the system's if there is one: the program's own, or the shared milter.cfg.
        Without a file, the defaults apply.

        Raises SettingsError.
        """
        common = self.config.with_name("milter.cfg")
        paths = [given] if given is not None else [path for path in (self.config, common) if path.exists()][:1]
        dialect = dataclasses.replace(self.dialect, shared=given is None and paths == [common] != [self.config])
        defaults = {("milter", "socket"): self.socket, **self.defaults}
        settings = validated(load(paths, settings_classes(self.journey), defaults, dialect))
        demand_known_tests(self.journey, settings)
        demand_known_checks(self.journey, settings)
        return observing(settings)


class ConfigError(click.ClickException):
    """Exit status 78 (EX_CONFIG): the configuration is invalid."""

    exit_code = 78


def load_settings(program: Program, config: Path | None) -> Settings:
    """The program's settings. Raises ConfigError with a message for the administrator."""
    try:
        return program.read_settings(config)
    except ValueError as error:
        raise ConfigError(str(error)) from error


@contextlib.contextmanager
def opened_store(settings: Settings, *, existing: bool = False) -> Iterator[Store]:
    """The store for a command, with its tables up to date. Errors end the command with a sentence (ClickException).

    existing  the command only reads: a missing database is an error (probably the wrong place) and is not created
    """
    try:
        leave_to_its_owner(url_from(settings))
        if existing and (absent := absent_file(settings)) is not None:
            raise click.ClickException(
                f"there is no database at {absent}: the filter creates it when it starts. -c FILE selects another configuration"
            )
        migrate(url_from(settings))
        store = Store.from_settings(settings)
    except (StoreError, OSError, ImportError, sa.exc.SQLAlchemyError) as error:
        raise click.ClickException(f"the database: {for_log(str(error))}") from error
    with contextlib.closing(store), blaming():
        yield store


def absent_file(settings: Settings) -> Path | None:
    """SQLite's file if it does not exist."""
    url = sa.engine.make_url(url_from(settings))
    if url.get_backend_name() != "sqlite" or not url.database:
        return None
    path = Path(url.database)
    try:
        return None if path.exists() else path
    except OSError:  # in a folder that we may not enter: opening it will report that
        return None


@contextlib.contextmanager
def blaming() -> Iterator[None]:
    """End a command with a sentence that names what failed: the database or a file."""
    try:
        yield
    except (StoreError, sa.exc.SQLAlchemyError) as error:
        raise click.ClickException(f"the database: {for_log(str(error))}") from error
    except OSError as error:
        if error.filename is None:  # a pipe whose reader is gone (| head): click ends quietly
            raise
        raise click.ClickException(f"{for_log(str(error.filename))}: {error.strerror}") from error


def observing(settings: Settings) -> Settings:
    """The settings, with every check in mode log if [milter] observe is on."""
    if not settings[ProgramSettings].observe:
        return settings
    enforced = [one for one in settings.values if isinstance(one, CheckSettings) and one.mode is Mode.ENFORCE]
    return settings.replaced(*(dataclasses.replace(one, mode=Mode.LOG) for one in enforced))


def validated(settings: Settings) -> Settings:
    """The settings, after checking that the files and names in them are usable. Raises SettingsError."""
    SocketSpec.parse(settings[ProgramSettings].socket)
    AccessMap.from_settings(settings[AccessSettings])
    try:
        demand_driver(url_from(settings))
    except ValueError as error:
        raise SettingsError(f"[store] url: {error}") from error
    if WebSettings in settings and settings[WebSettings].replica:
        try:
            demand_driver(with_driver(settings[WebSettings].replica))
        except ValueError as error:
            raise SettingsError(f"[web] replica: {error}") from error
    try:
        demand_one_password(settings)
    except ValueError as error:
        raise SettingsError(f"[store] password_file: {error}") from error
    return settings


class Application:
    """The objects of one worker: created after the fork, closed at its end. Sessions are made from it."""

    def __init__(
        self,
        journey: Journey,
        settings: Settings,
        *,
        resolver: Lookup | None = None,
        clock: Callable[[], float] = time.time,
        record: bool = True,
        learned: Store | None = None,
        counts: Counts | None = None,
    ) -> None:
        """record=False stores nothing: for `scan`. `learned` is a store with dictionaries and preferences, if it is
        another one.
        """
        counts = counts or Counts(Board().own)
        self.settings = settings
        self._journey = journey
        self._program = program = settings[ProgramSettings]
        self._pool = concurrent.futures.ThreadPoolExecutor(program.lookups, thread_name_prefix="look-up")
        self.store = Store.from_settings(settings, counts.store_failed)
        self._posted = threading.Event()
        self.history = self._history() if record else None
        self._recorder = self._recorder_of(self.history, clock, counts)
        self.dictionaries = Dictionaries(learned or self.store)
        self._access = AccessMap.from_settings(settings[AccessSettings])
        self._services = Services(
            settings=settings,
            resolver=resolver or Resolver.from_settings(settings[DnsSettings], counts.looked_up),
            store=self.store,
            access=self._access.table,
            clock=clock,
            deadline=Deadline.after(0),
            dictionaries=self.dictionaries,
            people=People(settings[DspamSettings], learned or self.store) if DspamSettings in settings else None,
            read_only=not record,
            write_later=self.history.put if self.history is not None else _forget_row,
            protect=protector(journey, settings),
            tests=known_tests(journey, settings),
            **_signing(journey),
        )
        self._runner = self._runner_of(journey, counts, record)

    def _runner_of(self, journey: Journey, counts: Counts, record: bool) -> Runner:
        return Runner(
            journey,
            pool=self._pool,
            slots=self._program.lookups,
            watch=counts,
            waiting=milter.waiting,
            failed=self._save_failed if record else _forget,
        )

    def _history(self) -> HistoryWriter:
        wanted = self.settings[StoreSettings]
        hashed = wanted.history_addresses is HistoryAddresses.HASHED
        return HistoryWriter(self.store, keep=wanted.history, hide=hashed)

    def _recorder_of(self, history: HistoryWriter | None, clock: Callable[[], float], counts: Counts) -> Recorder:
        if history is None:
            return NullRecorder()
        subjects = self.settings[StoreSettings].history_subject
        return CountingRecorder(
            StoreRecorder(self.store, history, clock, posted=self._posted, subjects=subjects), counts
        )

    def asks(self, stage: Stage) -> bool:
        """Whether any check is active after that step."""
        return self._runner.asks(stage, self.settings)

    def services(self) -> Services:
        """The services for checks, with the current access map."""
        return dataclasses.replace(self._services, access=self._access.table)

    def session(self) -> Session:
        return Session(self._runner, self.services(), self._recorder)

    def chores(self) -> list[Chore]:
        """The periodic chores, which only one worker does."""
        services, settings = self._services, self.settings
        retain, numbers = settings[StoreSettings].history_retain, settings[StoreSettings].report_retain

        def originals() -> bool:
            saved.purge(self._program, services.clock())
            return False

        def older_messages() -> bool:
            return history_sums.count_older(self.store)

        def messages() -> bool:
            return history.purge(self.store, services.clock() - retain) > 0

        def sums() -> bool:
            return history_sums.purge(self.store, services.clock() - retain, services.clock() - numbers)

        def noted_attempts() -> bool:
            return attempts.purge(self.store, services.clock() - attempts.KEEP) > 0

        def dmarc_reports() -> bool:
            return dmarc_received.purge(self.store, services.clock() - dmarc_received.KEPT) > 0

        def folders() -> bool:
            folders_read.purge(self.store, services.clock() - folders_read.KEEP)
            return False

        # Counting must come before deletion.
        tasks = (originals, older_messages, messages, sums, noted_attempts, dmarc_reports, folders)
        found = [Chore(task) for task in tasks]
        found.append(Chore(lambda: history_sums.fold(self.store), history_sums.FOLD_EVERY))
        for check in (row.check for row in self._journey.rows if hasattr(row.check, "tidy")):
            task: Task = functools.partial(check.tidy, services)
            found.append(Chore(task, getattr(check, "TIDY_EVERY", EVERY)))
        if QuarantineSettings in settings:
            limits = releases.limits(settings, self.store)
            found.append(Chore(Pieces(lambda: cleaning(self.store, services.clock(), limits, Cleaned())), CLEAN_EVERY))
        if QuarantineSettings in settings and WebSettings in settings:
            found += request_mail.chores(settings, self.store, self._sign, services.clock)
        if OutboxSettings in settings:
            found.append(Chore(self._forget_failed_messages))
        if DspamSettings in settings:
            found += upkeep.chores(settings[DspamSettings], self.store, services.clock)
        if DigestSettings in settings and settings[DigestSettings].send:
            found += self._digests()
        return found

    def _digests(self) -> list[Chore]:
        try:
            from antispam.service.digest import sending
        except ImportError as error:
            log.error("no digests are sent: they need more packages, pip install 'bms-antispam[web]' (%s)", error)
            return []
        return sending.chores(sending.Means(self.settings, self.store, self._sign, self._services.clock))

    def _sign(self, queued: bytes) -> bytes:
        """Our own message with our DKIM signature, if there is a key."""
        return self._services.sign(queued, self._services)

    def _forget_failed_messages(self) -> bool:
        outbox = self.settings[OutboxSettings]
        return purge_failed(self.store, self._services.clock(), outbox.keep_failed, outbox.failed_size) > 0

    def rows_of_history(self) -> tuple[int, int]:
        """The number of rows waiting to be written, and of those lost."""
        return (0, 0) if self.history is None else (self.history.waiting, self.history.lost)

    def courier(self) -> Courier | None:
        """The courier for the outbox; None if our own mail would not be recognised when it comes back."""
        if OutboxSettings not in self.settings:
            return None
        return Courier(self.store, self.settings[OutboxSettings], posted=self._posted, clock=self._services.clock)

    def close(self) -> None:
        """Flush queued rows and close the database."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self.history is not None:
            self.history.close()
        self.store.close()

    def _save_failed(self, subject: Subject) -> None:
        """Save the message during which an unexpected exception was raised; before its headers there is nothing to
        save.
        """
        if subject.message is not None and subject.message.headers:
            path = saved.save(subject.message, "failed", self._program)
            log.error("[%s] the message is kept as %s", subject.ref, path)


def _forget(subject: Subject) -> None:
    pass


def _forget_row(table: sa.Table, row: Mapping[str, object]) -> None:
    pass


def _signing(journey: Journey) -> dict[str, Any]:
    """The function that signs our own messages, if a check provides one."""
    found = [row.check.sign_own for row in journey.rows if hasattr(row.check, "sign_own")]
    return {"sign": found[0]} if found else {}
