"""What two configurations decide about the same messages of the history, and what that comparison can't tell."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator

from antispam.journey.account import stopping
from antispam.journey.replay import Fate, Replay, changed_options, newly_asked
from antispam.journey.table import Journey
from antispam.settings import Settings
from antispam.store import Store
from antispam.store.history_search import Became, Cursor, Search, Transaction, page

_PAGE = 500  # messages


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """A message that one recipient would have got otherwise."""

    ref: str
    received_at: float
    mail_from: str
    subject: str
    before: Fate
    after: Fate


@dataclasses.dataclass(slots=True)
class Outcome:
    """What a replay found.

    messages, deliveries  how many were decided again: a delivery is a message for one recipient
    unknown   messages that were refused early then and would not be now: their later evidence was never collected
    drifted   messages that the present configuration decides otherwise than the filter did when they came
    """

    messages: int = 0
    deliveries: int = 0
    unknown: int = 0
    drifted: int = 0
    changes: list[Change] = dataclasses.field(default_factory=list)

    def by_kind(self) -> Counter[tuple[str, str]]:
        return Counter((str(one.before.became), str(one.after.became)) for one in self.changes)

    def by_recipient(self) -> Counter[str]:
        return Counter(one.before.recipient for one in self.changes)


def compare(found: Transaction, old: Replay, new: Replay, outcome: Outcome) -> None:
    """Decide a message under both configurations and note what differs. Raises StoreError."""
    outcome.messages += 1
    before, after = old.fates(found), new.fates(found)
    outcome.drifted += not _fits(found, before)
    outcome.deliveries += len(before)
    for one, other in zip(before, after, strict=True):
        if one.became is other.became:
            continue
        if one.stage < other.stage:
            outcome.unknown += 1
            return
        outcome.changes.append(Change(found.ref, found.received_at, found.mail_from, found.subject, one, other))


def _fits(found: Transaction, fates: tuple[Fate, ...]) -> bool:
    """Whether the fates are what the filter decided when the message came."""
    stopped = {one.check for one in stopping(found)}
    decided = {one.decided for one in fates if one.became not in (Became.DELIVERED, Became.MARKED)}
    return bool(stopped) == bool(decided) and decided <= stopped


def caveats(
    journey: Journey, present: Settings, planned: Settings, read: frozenset[tuple[str, str]], outcome: Outcome
) -> Iterator[str]:
    """What the figures do not say, as sentences."""
    if asked := newly_asked(journey, present, planned):
        yield f"Not known, because it was not asked when the mail came: what {', '.join(asked)} would find."
    changed = [one for one in changed_options(present, planned) if one not in read and one[1] != "mode"]
    if changed:
        named = ", ".join(f"[{section}] {name}" for section, name in changed)
        yield f"Without effect here, because it only matters while a message is looked at: {named}."
    if outcome.unknown:
        yield (
            f"{outcome.unknown} messages were refused before their content came and would not be now: what would have become "
            "of them is not known."
        )
    if outcome.drifted:
        yield (
            f"{outcome.drifted} of {outcome.messages} messages are decided otherwise by the present configuration than when "
            "they came: it has changed since, or lists, greylist and preferences have."
        )


def messages_since(store: Store, since: float) -> Iterator[Transaction]:
    """The newest first. Raises StoreError."""
    after: Cursor | None = None
    while True:
        found = page(store, Search(since=since), _PAGE, after=after, most=_PAGE)
        yield from found.found
        after = found.after
        if after is None:
            return
