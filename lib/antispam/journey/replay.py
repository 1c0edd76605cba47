"""What a configuration would decide about messages of the history: the runner, over stored evidence.

Nothing is looked up. What cannot be known is reported: the findings of checks that were switched off then, and the effect of
options that matter while evidence is collected.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from antispam.journey.contract import Check
from antispam.journey.history_row import SPOKEN, is_marked
from antispam.journey.plan import Plan
from antispam.journey.runner import Runner
from antispam.journey.services import Services
from antispam.journey.table import Journey, Stage
from antispam.learning.preferences import PREFERENCES
from antispam.mail.connection import Connection
from antispam.mail.decisions import Decision, ruling
from antispam.mail.findings import Finding, Findings
from antispam.mail.message import Body, Header, Message, Recipient
from antispam.mail.subject import Subject, all_decisions
from antispam.mail.verdicts import Action
from antispam.settings import Settings
from antispam.settings.declare import options_of
from antispam.store.history_search import Became, Transaction

_BECAME = {**SPOKEN, Action.QUARANTINE: Became.KEPT}
_OPTIONAL = ("applies", "points", "declares", "READS_HITS")


@dataclasses.dataclass(frozen=True, slots=True)
class Fate:
    """The outcome of a message for one recipient.

    decided  the check that keeps it from them, "" if none does
    reason   why
    stage    where that was decided: a message that was refused early has no evidence of the later steps
    """

    recipient: str
    became: Became
    decided: str
    reason: str
    stage: Stage


class Replay:
    """Decides stored messages under given settings. Not thread-safe.

    services  of an application with these settings that records nothing
    """

    def __init__(self, journey: Journey, services: Services) -> None:
        self._read = {(one.option.section, one.option.name) for one in PREFERENCES.values()}  # users' own go before
        by_class = {cls: _watched(services.settings[cls], self._read) for cls in journey.settings_classes()}
        settings = services.settings.replaced()
        self._settings = Settings(
            {**{type(value): value for value in settings.values}, **by_class}, services.settings.origins
        )
        self._services = dataclasses.replace(services, settings=self._settings)
        self._evidence = _Evidence()
        rows = [dataclasses.replace(row, check=_Again(row.check, self._evidence)) for row in journey.rows]
        self._journey = Journey(rows)
        self._runner = Runner(self._journey)

    @property
    def read(self) -> frozenset[tuple[str, str]]:
        """The options, by section and name, that were read so far."""
        return frozenset(self._read)

    def fates(self, found: Transaction) -> tuple[Fate, ...]:
        """What becomes of the message for each recipient. Raises StoreError if preferences can't be read."""
        connection = Connection(ref=found.ref, ip=found.client_ip, name=found.client_name, helo=found.helo)
        message = Message(
            found.ref, found.mail_from, found.received_at, Body(0), headers=_headers(found),
            findings=Findings(connection.findings),
        )  # fmt: skip
        self._evidence.of(found)
        for stage in (Stage.CONNECT, Stage.HELO, Stage.MAIL):
            if stopped := self._stopped(stage, Subject(connection, message)):
                return tuple(_fate(one.address, stopped, stage) for one in found.recipients)
        message.recipients = [Recipient(one.address, findings=Findings(message.findings)) for one in found.recipients]
        self._evidence.are(message.recipients, found)
        for recipient in message.recipients:
            recipient.refused = self._stopped(Stage.RCPT, Subject(connection, message, recipient))
        if message.accepted_recipients:
            for _ in self._runner.run(Stage.END, Subject(connection, message), self._services):
                pass
        return tuple(_end(Subject(connection, message, one)) for one in message.recipients)

    def _stopped(self, stage: Stage, subject: Subject) -> Decision | None:
        for _ in self._runner.run(stage, subject, self._services):
            if stopping := ruling(all_decisions(subject)):
                return stopping
        return None


def _end(subject: Subject) -> Fate:
    recipient = subject.recipient
    assert recipient is not None
    if recipient.refused is not None:
        return _fate(recipient.address, recipient.refused, Stage.RCPT)
    decision = ruling(all_decisions(subject))
    if decision is not None:
        return _fate(recipient.address, decision, Stage.END)
    marked = is_marked(recipient)
    became = Became.MARKED if marked else Became.DELIVERED
    return Fate(recipient.address, became, "spam_action" if marked else "", "", Stage.END)


def _fate(address: str, decision: Decision, stage: Stage) -> Fate:
    verdict = decision.verdict
    return Fate(address, _BECAME[verdict.action], decision.check, verdict.reason, stage)


def _headers(found: Transaction) -> list[Header]:
    """As much of the header as the history has."""
    fields = ((b"From", found.author), (b"Subject", found.subject), (b"Message-ID", found.message_id))
    return [Header(name, b" " + value.encode("utf-8", "replace")) for name, value in fields if value]


def newly_asked(journey: Journey, before: Settings, after: Settings) -> tuple[str, ...]:
    """The checks that run under the second settings but not under the first, in the order of the table."""
    asked = [_names(Plan(journey, settings)) for settings in (before, after)]
    return tuple(name for name in asked[1] if name not in asked[0])


def _names(plan: Plan) -> list[str]:
    return [asked.name for stage in Stage for wave in plan.waves[stage] for asked in wave.rows]


class _Evidence:
    """What the history has of the message that is decided."""

    def __init__(self) -> None:
        self._message: Mapping[str, Any] = {}
        self._recipients: dict[int, Mapping[str, Any]] = {}

    def of(self, found: Transaction) -> None:
        self._message, self._recipients = found.findings, {}

    def are(self, recipients: list[Recipient], found: Transaction) -> None:
        self._recipients = {id(one): stored.findings for one, stored in zip(recipients, found.recipients, strict=True)}

    def get(self, name: str, recipient: Recipient | None) -> Any:
        own = self._recipients.get(id(recipient), {}) if recipient is not None else {}
        return own.get(name, self._message.get(name))


class _Again:
    """A check whose evidence is what was stored. If it is derived from other evidence alone (DERIVED), it is computed again."""

    def __init__(self, check: Check, evidence: _Evidence) -> None:
        self.NAME, self.Settings, self.Finding = check.NAME, check.Settings, check.Finding
        self._check, self._evidence = check, evidence
        self.decide = check.decide
        for name in _OPTIONAL:
            if hasattr(check, name):
                setattr(self, name, getattr(check, name))

    def collect(
        self, connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
    ) -> Finding | None:
        if getattr(self._check, "DERIVED", False):
            return self._check.collect(connection, message, recipient, services)
        stored = self._evidence.get(self.NAME, recipient)
        if stored is None:
            return None
        try:
            return msgspec.convert(stored, self.Finding)
        except msgspec.ValidationError:  # of another version
            return None


def _watched(settings: Any, read: set[tuple[str, str]]) -> Any:
    """The same settings, recording which of their fields are read."""
    kind: Any = type(settings)
    options = {option.field: (option.section, option.name) for option in options_of(kind)}

    def noting(self: Any, name: str) -> Any:
        if name in options:
            read.add(options[name])
        return object.__getattribute__(self, name)

    made = copy.copy(settings)
    watched = type(kind.__name__, (kind,), {"__slots__": (), "__getattribute__": noting})
    object.__setattr__(made, "__class__", watched)
    return made


def changed_options(before: Settings, after: Settings) -> Iterator[tuple[str, str]]:
    """The options, by section and name, that differ."""
    old, new = ({(one.section, one.option): one.shown for one in settings.origins} for settings in (before, after))
    yield from (name for name in {**old, **new} if old.get(name) != new.get(name))
