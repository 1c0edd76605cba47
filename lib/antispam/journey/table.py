"""The table of checks: its rows, and what makes a table valid."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from antispam.journey.contract import Check


class Stage(enum.IntEnum):
    """The SMTP step after which a row runs."""

    CONNECT = 1
    HELO = 2
    MAIL = 3
    RCPT = 4
    END = 5


class Scope(enum.StrEnum):
    """What a row's finding belongs to, and how long it lives."""

    CONNECTION = "connection"
    MESSAGE = "message"
    RECIPIENT = "recipient"


class Accepted(enum.StrEnum):
    """What a row still does after an earlier one, such as a whitelist, has accepted the message."""

    SKIP = "skip"  # its evidence is of no use then
    RECORD = "record"  # evidence and header fields are written; it can't refuse any more
    DECIDE = "decide"  # what it looks for is dangerous, whoever the sender is
    PROTECT = "protect"  # the same, and our own messages are no exception: they may carry what strangers wrote


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One line of the JOURNEY table.

    stage     after which SMTP step it runs
    scope     what its finding belongs to
    check     the module that does it
    needs     the names of the checks whose findings it reads; they run before it, others may run at the same time
    accepted  what it still does once the message is accepted
    asks      what it asks, for people
    """

    stage: Stage
    scope: Scope
    check: Check
    needs: tuple[str, ...] = ()
    accepted: Accepted = Accepted.RECORD
    asks: str = ""


class NotDone(Exception):
    """Raised by act() for an expected failure, such as a full disk or a lock. Its text explains the cause in the log; the
    check's on_error decides."""


class JourneyError(ValueError):
    """The table contradicts itself: a defect of the program that is found at start."""


def _name(check: Check) -> str:
    """The name of a check without reading its module, which may not have happened yet (antispam.checks): they have one name."""
    if isinstance(check, ModuleType):
        return str(ModuleType.__getattribute__(check, "__name__")).rpartition(".")[2]
    return check.NAME


class Journey:
    """A validated table. Raises JourneyError if a row needs what no earlier row finds, where rows stand out of order, or
    where a name is used twice."""

    def __init__(self, rows: Sequence[Row]) -> None:
        names: set[str] = set()
        stage = Stage.CONNECT
        for row in rows:
            name = _name(row.check)
            if row.stage < stage:
                raise JourneyError(f"{name} ({row.stage.name}) stands below a row of {stage.name}")
            if missing := set(row.needs) - names:
                raise JourneyError(f"{name} needs {', '.join(sorted(missing))}, which no row above it finds")
            if name in names:
                raise JourneyError(f"two rows are named {name}")
            names.add(name)
            stage = row.stage
        self.rows = tuple(rows)
        self._by_name = {_name(row.check): row for row in rows}
        self._by_stage = {stage: tuple(row for row in rows if row.stage is stage) for stage in Stage}

    @property
    def names(self) -> frozenset[str]:
        """The names of the checks."""
        return frozenset(self._by_name)

    def named(self, name: str) -> Row | None:
        """The row of that check; None for decisions made without a row."""
        return self._by_name.get(name)

    def at(self, stage: Stage) -> tuple[Row, ...]:
        return self._by_stage[stage]

    def settings_classes(self) -> list[type]:
        """The settings classes of the checks, each once: several checks may share one."""
        more = (cls for row in self.rows for cls in getattr(row.check, "ALSO_READS", ()))
        return list(dict.fromkeys([*(row.check.Settings for row in self.rows), *more]))
