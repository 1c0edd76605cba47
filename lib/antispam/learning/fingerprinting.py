"""Fingerprints from reports: spam leaves marks that identify near copies, and honest mail removes them.

Reports come from users (by forwarding), from honeypots, and from the administrator (`bms train`).
"""

from __future__ import annotations

import email.utils
import re
import weakref

from antispam.deadline import Deadline
from antispam.mail.message import Body, Message, split_message
from antispam.mail.shown import Shown, shown
from antispam.protocols import fingerprints as marking
from antispam.protocols.fingerprints import Kind, Marks
from antispam.protocols.mailboxes import MAX_MESSAGE, identity
from antispam.settings import CheckSettings, OnError, option, section
from antispam.settings.values import duration, positive
from antispam.store import Store, callbacks
from antispam.store import fingerprints as stored
from antispam.store.fingerprint_filter import MarkFilter

SECRET = "fingerprints"
HONEYPOT = "honeypot"
ADMINISTRATOR = "administrator"
_LIST_FIELDS = ("List-Unsubscribe", "List-Subscribe", "List-Help", "List-Post", "List-Archive", "List-Owner")
_ANGLES = re.compile(r"<([^<>]{1,500})>")
_keys: weakref.WeakKeyDictionary[Store, bytes] = weakref.WeakKeyDictionary()
_filters: weakref.WeakKeyDictionary[Store, MarkFilter] = weakref.WeakKeyDictionary()


@section("fingerprints")
class FingerprintSettings(CheckSettings):
    """[fingerprints]: near copies of reported spam."""

    on_error: OnError = option(
        OnError.ACCEPT, "when the store cannot answer: accept (go on without them), tempfail or reject"
    )
    keep: float = option(
        30 * 86400.0, "how long a report is remembered and gives points to copies", parse=duration("d"), check=positive
    )
    common: int = option(
        5,
        "from how many different proved senders on a piece of text or a link, in delivered mail that is no copy of spam, tells "
        "nothing; one message that somebody taught as honest is enough, too",
        check=positive,
    )


def key_of(store: Store, now: float, deadline: Deadline | None = None) -> bytes:
    """The site's key for marks, shared by all nodes and created at the first report. Raises StoreError."""
    key = known_key(store, deadline)
    if key is None:
        key = _keys[store] = callbacks.secret(store, SECRET, now, deadline)
    return key


def known_key(store: Store, deadline: Deadline | None = None) -> bytes | None:
    """The site's key; None before the first report. Raises StoreError."""
    key = _keys.get(store) or callbacks.known_secret(store, SECRET, deadline)
    if key is not None:
        _keys[store] = key
    return key


def filter_of(store: Store) -> MarkFilter:
    """The filter of all marks in reports, as known to this process."""
    found = _filters.get(store)
    return found if found is not None else _filters.setdefault(store, MarkFilter(store))


def marks_of(seen: Shown, key: bytes) -> Marks:
    """The marks of a message."""
    return marking.marks(seen.text()[-1], seen.unquoted, seen.links(), seen.digests(), key)


def marks_of_report(seen: Shown, key: bytes) -> Marks:
    """The marks of a message that is reported as spam, without the links in its List fields (RFC 2369): a list that let
    spam through also adds them to honest messages.
    """
    listed = {
        marking.normal_link(link) for field in _LIST_FIELDS for link in _ANGLES.findall(" ".join(seen.header(field)))
    }
    links = [link for link in seen.links() if marking.normal_link(link) not in listed]
    return marking.marks(seen.text()[-1], seen.unquoted, links, seen.digests(), key)


def marks_of_message(message: Message, key: bytes) -> Marks:
    """The marks of a message, computed once per message."""
    known = message.memo.get(SECRET)
    if not isinstance(known, Marks):
        known = message.memo[SECRET] = marks_of(shown(message), key)
    return known


def _shown(raw: bytes) -> Shown:
    headers, content = split_message(raw)
    body = Body(MAX_MESSAGE)
    body.write(content)
    return Shown(Message("", "", 0.0, body, headers=headers))


def date_of(raw: bytes, now: float) -> float:
    """The date that a message claims, in seconds since the epoch; `now` without one."""
    dates = [header.text[:200] for header in split_message(raw)[0] if header.key == b"date"]
    try:
        return email.utils.parsedate_to_datetime(dates[0]).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return now


class Fingerprinter:
    """Records the reports of one reporter. Failures of the database raise StoreError.

    reporter  the user, HONEYPOT, or ADMINISTRATOR, who counts as three users
    """

    def __init__(self, store: Store, settings: FingerprintSettings, reporter: str, now: float) -> None:
        self._store = store
        self._settings = settings
        self._reporter = reporter
        self._now = now

    def spam(self, raw: bytes, deadline: Deadline | None = None) -> bool:
        """Report a message as spam. Returns whether the report was new."""
        return self.spam_of(_shown(raw), identity(raw), deadline)

    def spam_of(self, seen: Shown, name: str, deadline: Deadline | None = None) -> bool:
        """The same for a parsed message; `name` identifies it."""
        key = key_of(self._store, self._now, deadline)
        marks = marks_of_report(seen, key)
        if not marks:
            return False
        stored.without(self._store, marking.name_mark(name, key), deadline)
        is_new = stored.report(
            self._store,
            marks,
            marking.name_mark(name, key),
            marking.name_mark(self._reporter, key),
            self._now,
            self._settings.keep,
            common=self._settings.common,
            trusted=self._reporter == ADMINISTRATOR,
            deadline=deadline,
        )
        filter_of(self._store).note(marks.all)
        return is_new

    def ham(self, raw: bytes, deadline: Deadline | None = None, *, weight: int = stored.TAUGHT) -> int:
        """Report a message as honest: this reporter's reports of it and of its copies are withdrawn, and its marks
        count as common from now on; with a weight of 1, once others agree. Returns the number of withdrawn reports.
        """
        key = key_of(self._store, self._now, deadline)
        marks = marks_of(_shown(raw), key)
        who = marking.name_mark(self._reporter, key)
        possible = filter_of(self._store).possible(marks.texts, deadline)
        found = stored.matching(self._store, possible, self._now, stored.TAUGHT, deadline)
        copies = {
            number
            for number in {one.report for one in found if one.reporter == who and one.kind is Kind.TEXT}
            if stored.same_text(marking.contained(marks, [one for one in found if one.report == number]))
        }
        name = marking.name_mark(identity(raw), key)
        taken = stored.take_back(self._store, name, who, copies, deadline)
        stored.witness(self._store, stored.of_ham(marks), name, weight, self._now, deadline)
        return taken

    def forget(self, raw: bytes, deadline: Deadline | None = None) -> None:
        """Withdraw whatever this reporter said about the message."""
        key = key_of(self._store, self._now, deadline)
        name = marking.name_mark(identity(raw), key)
        stored.take_back(self._store, name, marking.name_mark(self._reporter, key), (), deadline)
        stored.without(self._store, name, deadline)
