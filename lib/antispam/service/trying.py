"""Trying a configuration on the last hours of the history: what would have changed, and for whom."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections import Counter
from collections.abc import Callable

import msgspec

from antispam.journey.comparing import Change, Outcome, caveats, compare, messages_since
from antispam.journey.replay import Replay
from antispam.journey.table import Journey
from antispam.mail.access_map import AccessTable, parse_text
from antispam.service.known_names import demand_known_tests
from antispam.service.rehearsal import rehearsal
from antispam.settings import Settings, SettingsError
from antispam.settings.changes import changed
from antispam.store import Store
from antispam.text import for_log, from_wire

SECONDS = 15.0  # seconds for deciding
MESSAGES = 20_000
EXAMPLES = 50
PEOPLE = 20
_FILE = "your text"


class Question(msgspec.Struct, frozen=True):
    """Options to change, as text in the syntax of milter.cfg, and the period to examine, in seconds since the epoch.

    access  entries of an access map, as text: they go before those of the present one
    """

    text: str
    since: float
    now: float
    access: str = ""


class Example(msgspec.Struct, frozen=True):
    """A message whose outcome for one recipient would have changed. `why` is the deciding check and its reason: under
    the new configuration if that stops it (`stops`), otherwise under the present one.
    """

    ref: str
    received_at: float
    mail_from: str
    subject: str
    recipient: str
    before: str
    after: str
    stops: bool
    why: str


class Trial(msgspec.Struct, frozen=True):
    """The effect of the changes. Times are in seconds since the epoch.

    problem     why nothing was tried, "" if it was
    messages, deliveries  the numbers decided again; a delivery is a message for one recipient
    changes     deliveries with another outcome
    kinds       the actual outcome, the new outcome, the number
    people      recipients with the most changes
    notes       limits of these figures, as sentences
    oldest      the arrival time of the oldest message decided; `complete` is False if time ran out first
    """

    problem: str = ""
    messages: int = 0
    deliveries: int = 0
    changes: int = 0
    kinds: list[tuple[str, str, int]] = []
    people: list[tuple[str, int]] = []
    examples: list[Example] = []
    notes: list[str] = []
    oldest: float = 0.0
    complete: bool = True


def tried(
    journey: Journey, present: Settings, question: Question, clock: Callable[[], float] = time.monotonic
) -> Trial:
    """The trial, in this process. `clock` is monotonic. Raises StoreError."""
    try:
        planned = changed(present, question.text, journey.settings_classes(), _FILE)
        demand_known_tests(journey, planned)
        entries = _entries(question.access)
    except SettingsError as error:
        return Trial(problem=for_log(str(error), 500))
    kinds: Counter[tuple[str, str]] = Counter()
    people: Counter[str] = Counter()
    examples: list[Example] = []
    outcome, oldest, complete = Outcome(), question.now, True
    with (
        contextlib.closing(Store.from_settings(present)) as store,
        rehearsal(journey, present) as old,
        rehearsal(journey, planned) as later,
    ):
        services = later.services()
        services = dataclasses.replace(services, access=entries.over(services.access))
        pair = Replay(journey, old.services()), Replay(journey, services)
        ends = clock() + SECONDS
        for found in messages_since(store, question.since):
            if outcome.messages >= MESSAGES or clock() >= ends:
                complete = False
                break
            compare(found, *pair, outcome)
            oldest = found.received_at
            changes, outcome.changes = outcome.changes, []
            for one in changes:
                kinds[str(one.before.became), str(one.after.became)] += 1
                people[one.before.recipient] += 1
                if len(examples) < EXAMPLES:
                    examples.append(_example(one))
        notes = list(caveats(journey, present, planned, pair[1].read, outcome))
    return Trial(
        messages=outcome.messages, deliveries=outcome.deliveries, changes=kinds.total(),
        kinds=[(*kind, count) for kind, count in kinds.most_common()],
        people=[(from_wire(one, 320), count) for one, count in people.most_common(PEOPLE)],
        examples=examples, notes=notes, oldest=oldest, complete=complete,
    )  # fmt: skip


def _entries(text: str) -> AccessTable:
    """The entries of an access map. Raises SettingsError for one that the filter would ignore: the trial would hide that."""
    found = parse_text(text, "your entries")
    if found.problems:
        raise SettingsError(str(found.problems[0]))
    if text.strip() and not found:
        raise SettingsError("your entries: none is for the filter; an example is SPF-Softfail:example.com REJECT")
    return found


def _example(one: Change) -> Example:
    fate = one.after if one.after.decided else one.before
    return Example(
        ref=one.ref, received_at=one.received_at, mail_from=from_wire(one.mail_from, 320),
        subject=from_wire(one.subject, 200), recipient=from_wire(one.after.recipient, 320),
        before=str(one.before.became), after=str(one.after.became), stops=fate is one.after,
        why=for_log(f"{fate.decided}: {fate.reason}", 300),
    )  # fmt: skip
