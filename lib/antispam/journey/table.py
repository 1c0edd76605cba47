"""The table of checks: what a row says, what a check must offer, and what makes a table valid."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence
from typing import Any, Protocol

from antispam.journey.services import Services
from antispam.mail.connection import Connection
from antispam.mail.findings import Finding as BaseFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.verdicts import Verdict
from antispam.settings import CheckSettings


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
    """What a row still does once an earlier one has accepted the message (a whitelist, say)."""

    SKIP = "skip"  # its evidence is of no use then
    RECORD = "record"  # evidence and header fields are written; it can't refuse any more
    DECIDE = "decide"  # what it looks for is dangerous whoever sent it


class Check(Protocol):
    """The contract of a check: a module in antispam.checks with these names. CONTRIBUTING.md walks through one.

    A module may also have
    - `applies(settings)`, false where its settings give it nothing to ask: the row is left out then, as with `mode = off`;
    - `perform(finding, message, recipient, services) -> Finding`, called after collect() and before decide() where the row is
      enforced and the message is real: does what the decision depends on (teaches what a user reports), and returns the
      finding with what came of it. collect() only looks, so that `mode = log` changes nothing;
    - `act(finding, verdict, draft, services)`, called at the end of a message that will be delivered, to queue its edits;
    - `content(finding)`, for a check of recipients that edits: recipients for whom it is equal get the same message, and share
      one draft;
    - `readdress(finding)`, for a check of recipients at RCPT: the address that is meant, where it is another than the client
      named; "" where it is not. The checks below see it, and so does the MTA;
    - `afterwards(finding, message, services)`, called before the reply for a message that is taken (delivered, held or
      kept), to learn from it, say. What it raises is logged, and changes nothing for the mail;
    - `offended(finding, connection, message, verdict, services)`, called at RCPT, and when a transaction is over, if the client
      has collected demerits since; `verdict` is the last that brought some;
    - `concluded(finding, connection, message, verdict, services)`, called when a transaction is over, whatever became of it, to
      remember what its client or sender did. At the end of a message that is before the reply, so it must be quick;
    - `tidy(services)`, called every hour, or every TIDY_EVERY seconds, to forget one slice of what it keeps in the store (true
      while more is left);
    - LOOKS_UP = True where collect() waits for the network, so that the runner lets it wait beside others, and
      `ready(message, services)`, true where this time it will not have to;
    - `sign_letter(letter, services)`, for the one check that signs: a letter of our own, signed (Services.sign);
    - ALSO_READS, settings classes that a program with this check reads as well.
    """

    @property
    def NAME(self) -> str: ...

    @property
    def Settings(self) -> type[CheckSettings]: ...

    @property
    def Finding(self) -> type[BaseFinding]: ...

    def collect(
        self, connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
    ) -> BaseFinding | None:
        """Do the I/O and return evidence; None where the question does not arise. Expected failures are a finding with
        `error`; whatever is raised counts as a defect."""

    def decide(self, finding: Any, findings: Findings, settings: Any, policy: Any) -> Verdict:
        """Evidence to verdict under `settings` (the check's own) and `policy` (the access map). Pure: no clock, no I/O."""


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
    """Raised by act() where what was to be done could not be done, as has to be expected: a full disk, a lock. Its text says
    why, for the log; the check's on_error decides."""


class JourneyError(ValueError):
    """The table contradicts itself: a defect of the program, found at start."""


class Journey:
    """A validated table. Raises JourneyError where a row needs what no earlier row finds, where rows stand out of order, or
    where a name is used twice."""

    def __init__(self, rows: Sequence[Row]) -> None:
        names: set[str] = set()
        stage = Stage.CONNECT
        for row in rows:
            if row.stage < stage:
                raise JourneyError(f"{row.check.NAME} ({row.stage.name}) stands below a row of {stage.name}")
            if missing := set(row.needs) - names:
                raise JourneyError(f"{row.check.NAME} needs {', '.join(sorted(missing))}, which no row above it finds")
            if row.check.NAME in names:
                raise JourneyError(f"two rows are named {row.check.NAME}")
            names.add(row.check.NAME)
            stage = row.stage
        self.rows = tuple(rows)
        self._by_stage = {stage: tuple(row for row in rows if row.stage is stage) for stage in Stage}

    def at(self, stage: Stage) -> tuple[Row, ...]:
        return self._by_stage[stage]

    def settings_classes(self) -> list[type]:
        """What the checks read, each once: several may share theirs."""
        more = (cls for row in self.rows for cls in getattr(row.check, "ALSO_READS", ()))
        return list(dict.fromkeys([*(row.check.Settings for row in self.rows), *more]))
