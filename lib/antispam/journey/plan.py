"""The rows of a journey that run under some settings, and which of them run in parallel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from antispam.journey.table import Accepted, Journey, Row, Scope, Stage
from antispam.mail.findings import Finding
from antispam.mail.score import Test
from antispam.mail.score_table import TABLE
from antispam.settings import CheckSettings, Mode, Settings, SettingsError


class Asked(NamedTuple):
    """A row in force, with what the runner wants to know of it for each message.

    name           of its check
    finding        the class of its evidence
    settings       its check's own
    enforced       the row may do more than say what it would do
    firm, protects what its decisions are (mail.decisions)
    looks_up       its collect() may wait for the network
    performs, readdresses  whether its check has that optional function
    """

    row: Row
    name: str
    finding: type[Finding]
    settings: CheckSettings
    enforced: bool
    firm: bool
    protects: bool
    of_connection: bool
    of_recipients: bool
    looks_up: bool
    performs: bool
    readdresses: bool


class Wave(NamedTuple):
    """Rows that may run at the same time.

    skips       whether some of them are left out once the message is accepted
    reads_hits  whether the first of them reads the tests of the score that the rows above have hit
    looks_up    whether some of them may wait for the network
    """

    rows: list[Asked]
    skips: bool
    reads_hits: bool
    looks_up: bool


class Plan:
    """The rows of a journey that are in force under some settings.

    waves    by stage, in their order
    scoring  those that may say which tests of the score a message meets
    """

    def __init__(self, journey: Journey, settings: Settings) -> None:
        self.settings = settings
        self._rows = [row for row in journey.rows if _in_force(row, settings, Mode.ENFORCE)]
        self._having: dict[str, list[Row]] = {}
        self.waves = {stage: self._grouped(journey, stage) for stage in Stage}
        asked = (row for row in journey.rows if _in_force(row, settings, Mode.ENFORCE, Mode.LOG))
        self.scoring = [_asked(row, settings) for row in asked if hasattr(row.check, "points")]

    def _grouped(self, journey: Journey, stage: Stage) -> list[Wave]:
        rows = [row for row in journey.at(stage) if _in_force(row, self.settings, Mode.ENFORCE, Mode.LOG)]
        done: set[str] = {row.check.NAME for row in journey.rows} - {row.check.NAME for row in rows}
        waves = []
        while rows:
            wave = _ready(rows, done)
            skips = any(row.accepted is Accepted.SKIP for row in wave)
            asked = [_asked(row, self.settings) for row in wave]
            waves.append(Wave(asked, skips, _reads_hits(wave[0]), any(one.looks_up for one in asked)))
            done.update(row.check.NAME for row in wave)
            rows = rows[len(wave) :]
        return waves

    def having(self, method: str) -> list[Row]:
        """The rows that may do more than say what they would do, and whose check has that optional method."""
        found = self._having.get(method)
        if found is None:
            found = self._having[method] = [row for row in self._rows if hasattr(row.check, method)]
        return found


def _asked(row: Row, settings: Settings) -> Asked:
    own = settings[row.check.Settings]
    return Asked(
        row,
        row.check.NAME,
        row.check.Finding,
        own,
        enforced=own.mode is Mode.ENFORCE,
        firm=row.accepted in (Accepted.DECIDE, Accepted.PROTECT),
        protects=row.accepted is Accepted.PROTECT,
        of_connection=row.scope is Scope.CONNECTION,
        of_recipients=row.scope is Scope.RECIPIENT,
        looks_up=bool(getattr(row.check, "LOOKS_UP", False)),
        performs=hasattr(row.check, "perform"),
        readdresses=hasattr(row.check, "readdress"),
    )


def _in_force(row: Row, settings: Settings, *modes: Mode) -> bool:
    own = settings[row.check.Settings]
    applies: Callable[[CheckSettings], bool] | None = getattr(row.check, "applies", None)
    return own.mode in modes and (applies is None or applies(own))


def _ready(rows: list[Row], done: set[str]) -> list[Row]:
    """The longest run of rows from the top whose needs are met: they may run at the same time, and the order in which
    decisions are made stays that of the table."""
    wave: list[Row] = []
    for row in rows:
        if not done.issuperset(row.needs) or (wave and _reads_hits(row)):
            break
        wave.append(row)
    return wave


def _reads_hits(row: Row) -> bool:
    return bool(getattr(row.check, "READS_HITS", False))


def known_tests(journey: Journey, settings: Settings) -> Mapping[str, Test]:
    """Every test of the score by name: those of the table, and those that the configuration declares.

    Raises SettingsError if two checks declare the same name: one would count what the other found."""
    declared: dict[str, Test] = {}
    for row in journey.rows:
        declares: Callable[[CheckSettings], tuple[Test, ...]] | None = getattr(row.check, "declares", None)
        if declares is not None:
            for test in declares(settings[row.check.Settings]):
                other = declared.setdefault(test.name, test)
                if other.check != test.check:
                    raise SettingsError(f"[{other.check}] and [{test.check}] both have a test {test.name}; rename one")
    return {**TABLE, **declared}
