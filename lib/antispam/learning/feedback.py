"""Teaching from reports: each reported message is found by its signature, or learned from the text in the report."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from antispam.deadline import Deadline
from antispam.learning.fingerprinting import Fingerprinter, FingerprintSettings
from antispam.learning.forwards import Forwarded, Report
from antispam.learning.settings import DspamSettings
from antispam.learning.teacher import Dictionaries, Teacher
from antispam.mail.verdicts import Verdict, tempfail
from antispam.protocols.mailboxes import identity
from antispam.settings import Mode, Settings
from antispam.store import Store, quarantine, rates, release
from antispam.text import from_wire
from dspam.features import extract
from dspam.hashing import Keys
from dspam.store import Taught, find_signature, unpack_keys

PERIOD = 3600.0  # seconds, of report_rate
_TOO_MANY = "You have reported {used} messages in the last hour, which is the limit; please try again later."
RELEASED_BY_USERS = "spam_action"  # the check whose verdicts a user may overrule


def rate_name(user: str) -> str:
    """The name of the counter of a user's reports."""
    return f"report {user}"[:255]


def count(store: Store, user: str, messages: int, now: float, deadline: Deadline) -> int:
    """Count a user's reported messages. Returns the number reported within the previous hour. Raises StoreError."""
    return -messages + rates.use(store, rate_name(user), messages, now, PERIOD, deadline)


def too_many(user: str, used: int) -> Verdict:
    """The refusal for a user who has reported too many messages."""
    return tempfail(_TOO_MANY.format(used=used), f"{user} reported {used} messages", enhanced="4.7.1")


def seen(spam: int, ham: int, least: int) -> int:
    """The learned messages that count towards those needed, at most `least` of each kind; once there are enough, all learned
    messages."""
    return spam + ham if min(spam, ham) >= least else min(spam, least) + min(ham, least)


@dataclasses.dataclass(frozen=True, slots=True)
class Lesson:
    """The name and the features of a reported message. `ref` is our reference if the store knows the message."""

    name: str
    keys: Keys
    ref: str = ""


@dataclasses.dataclass(slots=True)
class Result:
    """The result for the messages of a report.

    missing   the number that cannot be learned: their signatures are unknown and their text is missing
    released  the recipients of messages that are being released
    subjects  the subjects of messages reported with their header
    refs      our references of messages in the history
    """

    learned: int = 0
    corrected: int = 0
    known: int = 0
    missing: int = 0
    released: list[str] = dataclasses.field(default_factory=list)
    subjects: list[str] = dataclasses.field(default_factory=list)
    refs: list[str] = dataclasses.field(default_factory=list)

    @property
    def found(self) -> int:
        return self.learned + self.corrected + self.known


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """The services needed by all ways of teaching: forwarding, `bms learn`, the mailbox poller.

    tell     tells the reputation of the sender what the message was: tell(ref, is_spam)
    protect  removes dangerous or forged parts from a released message
    """

    settings: Settings
    store: Store
    dictionaries: Dictionaries
    tell: Callable[[str, bool], None]
    protect: release.Protect


def teach(
    forwarded: Forwarded, is_spam: bool, user: str, means: Means, now: float, deadline: Deadline, *, owner: str = ""
) -> Result:
    """Teach from a user's report: their dictionary and the one that lends to it, the reputation of the senders, and the
    fingerprints.

    owner  the owner of the dictionary that learns, if the user has none

    Raises StoreError if the database cannot do this before the deadline.
    """
    owner = owner or user
    lending = (name for name in means.settings[DspamSettings].dspam_screener[:1] if name != owner)
    return take(
        forwarded,
        is_spam,
        user,
        means.dictionaries.make(owner),
        means.store,
        now,
        deadline,
        lambda ref: means.tell(ref, is_spam),
        means.protect,
        others=[means.dictionaries.make(name) for name in lending],
        octets=lambda raw: _fingerprint(raw, is_spam, user, means, now, deadline),
    )


def _fingerprint(raw: bytes, is_spam: bool, user: str, means: Means, now: float, deadline: Deadline) -> None:
    """Let near copies of spam be known to everybody; honest mail takes back what the user said. Raises StoreError."""
    settings = means.settings[FingerprintSettings]
    if settings.mode is Mode.OFF:
        return
    said = Fingerprinter(means.store, settings, user, now)
    (said.spam if is_spam else said.ham)(raw, deadline)


def take(
    forwarded: Forwarded,
    is_spam: bool,
    user: str,
    teacher: Teacher,
    store: Store,
    now: float,
    deadline: Deadline,
    reported: Callable[[str], None],
    protect: release.Protect,
    others: Sequence[Teacher] = (),
    octets: Callable[[bytes], object] = lambda raw: None,
) -> Result:
    """Teach the user's dictionary everything in the report, each message committed before the next, so that a report that comes
    again after an error goes on where it stopped. What was kept from them as spam and is none is released.

    others    dictionaries that are taught the same: those that lend to the user's
    reported  called with our reference of each message that the store knows
    octets    called with those of each message that came with its octets
    protect   removes dangerous or forged parts from a released message

    Raises StoreError if the database cannot do this before the deadline.
    """
    result = Result()
    for report in forwarded.reports:
        lesson = lesson_of(report, user, teacher.number, store)
        if lesson is None:
            result.missing += 1
            continue
        taught = teacher.learn(lesson.name, lesson.keys, is_spam, deadline)
        for other in others:
            other.learn(lesson.name, lesson.keys, is_spam, deadline)
        result.learned += taught is Taught.LEARNED
        result.corrected += taught is Taught.RETRAINED
        result.known += taught is Taught.REPLAY
        if report.octets:
            octets(report.octets)
        if report.subject:
            result.subjects.append(report.subject)
        if lesson.ref:
            reported(lesson.ref)
            result.refs.append(lesson.ref)
        if lesson.ref and not is_spam:
            result.released += _release(store, lesson.ref, user, now, protect)
    return result


def lesson_of(report: Report, user: str, number: int, store: Store) -> Lesson | None:
    """What there is to learn: the message as it came, named by the user's signature or in their quarantine; else what they
    sent along; else what another user's copy of it consisted of. None if there is nothing. `number` is the user's in the
    store. Raises StoreError.

    Of several signatures of the user the newest is the message's: a sender can copy older ones from replies into it, so that
    a report of spam would teach that honest mail was spam."""
    found = [one for name in report.signatures for one in find_signature(store, name)]
    own = max((one for one in found if one.user_id == number), key=lambda one: one.created_at, default=None)
    if own is not None:
        return Lesson(own.signature, unpack_keys(own.content), own.signature)
    for name in report.signatures:
        if (kept := _kept(store, name, user)) is not None:
            return Lesson(name, extract(kept), name)
    if report.octets:
        return Lesson(identity(report.octets), extract(report.octets))
    return Lesson(found[0].signature, unpack_keys(found[0].content)) if found else None


def _kept(store: Store, ref: str, user: str) -> bytes | None:
    """The message, if it is kept from the user: a signature is written after the reply, and forgotten sooner."""
    try:
        return quarantine.read(store, ref, user)[1]
    except (quarantine.NoEntry, quarantine.BadName):
        return None


def _release(store: Store, ref: str, user: str, now: float, protect: release.Protect) -> tuple[str, ...]:
    """The recipients of the message that was quarantined as spam for the user; none if another check quarantined it."""
    try:
        (entry,) = quarantine.of_ref(store, ref, user)
        if entry.check != RELEASED_BY_USERS:
            return ()
        released = release.release(store, entry, now, protect=protect)
        return tuple(from_wire(one) for one in released.recipients)
    except (quarantine.NoEntry, quarantine.BadName):
        return ()
