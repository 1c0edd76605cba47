"""What tests of the learning filter begin with: a store, a taught dictionary, a message for some recipients."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from antispam.deadline import Deadline
from antispam.journey.services import Services
from antispam.learning.fingerprinting import FingerprintSettings
from antispam.learning.language_settings import LanguageSettings
from antispam.learning.people import People
from antispam.learning.settings import DspamSettings
from antispam.learning.teacher import Dictionaries, Teacher
from antispam.mail.access_map import EMPTY
from antispam.mail.findings import Finding, Findings
from antispam.mail.message import Body, Header, Message, Recipient
from antispam.settings import default_settings, load_text
from antispam.settings.program import ProgramSettings
from antispam.store import Store, migrate, own_lists, preferences
from antispam.store.preferences import Preference, Scope
from support.dns import ScriptedResolver
from support.patience import PATIENCE
from support.stores import make_store, snapshot

SPAM = "From: Pills <win{0}@spam.example>\r\nSubject: WIN {0}\r\n\r\nBuy cheap pills now, offer {0}, click here!\r\n"
HAM = "From: Bob <bob@example.org>\r\nSubject: lunch {0}\r\n\r\nShall we meet for lunch on day {0}?\r\n"


def teach(store: Store, user: str = "site", number: int = 120) -> None:
    """Teach a dictionary as many messages of both kinds."""
    teacher = Teacher(store, user)
    for each in range(number):
        teacher.teach(SPAM.format(each).encode(), True)
        teacher.teach(HAM.format(each).encode(), False)


@dataclasses.dataclass(frozen=True, slots=True)
class Learned:
    """What is in the store before a program starts: dictionaries that have learned so many messages of both kinds,
    preferences of users (user, name, value), and their own lists (user, kind, name)."""

    taught: Sequence[tuple[str, int]] = ()
    preferences: Sequence[tuple[str, str, str]] = ()
    own_lists: Sequence[tuple[str, str, str]] = ()

    def put_into(self, url: str) -> None:
        """Make the database and fill it. What an SQLite file gets is computed once for all of the same content."""
        if (file := sa.engine.make_url(url)).get_backend_name() == "sqlite":
            Path(str(file.database)).write_bytes(
                _snapshot(tuple(self.taught), tuple(self.preferences), tuple(self.own_lists))
            )
        else:
            migrate(url)
            self._teach(url)

    def _teach(self, url: str) -> None:
        with contextlib.closing(Store(url)) as store:
            for user, number in self.taught:
                teach(store, user, number)
            for user, name, value in self.preferences:
                preferences.put(store, Preference(Scope.USER, user, name, value))
            for user, kind, name in self.own_lists:
                own_lists.put(store, user, own_lists.Kind(kind), name, 0.0)


@functools.cache
def _snapshot(
    taught: tuple[tuple[str, int], ...],
    preferred: tuple[tuple[str, str, str], ...],
    listed: tuple[tuple[str, str, str], ...],
) -> bytes:
    def fill(url: str) -> None:
        Learned(taught, preferred, listed)._teach(make_store(url))

    return snapshot(fill)


def dspam_settings(config: str = "", **changes: Any) -> DspamSettings:
    """[dspam] as the lines say."""
    settings = load_text(f"[dspam]\n{config}", [DspamSettings])[DspamSettings]
    return dataclasses.replace(settings, **changes)


def services(store: Store | None, settings: DspamSettings | None = None, **changes: Any) -> Services:
    """Services over the store; `changes` replace parts of it."""
    dspam = settings or dspam_settings()
    given: dict[str, Any] = {
        "settings": default_settings([ProgramSettings, DspamSettings, FingerprintSettings, LanguageSettings]).replaced(
            dspam
        ),
        "resolver": ScriptedResolver({}),
        "store": store,
        "access": EMPTY,
        "clock": lambda: 1_700_000_000.0,
        "deadline": Deadline.after(PATIENCE),
        "dictionaries": Dictionaries(store) if store is not None else None,
        "people": People(dspam, store),
    }
    return Services(**(given | changes))


def message(text: str, recipients: Iterable[str] = ("b@example.com",), *found: Finding) -> Message:
    """A message as a session has it at its end."""
    head, _, body = text.encode().partition(b"\r\n\r\n")
    it = Message("abcdefghijkl", "a@example.org", 1_700_000_000.0, Body(1 << 20), findings=Findings(None, found))
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        it.headers.append(Header(name, value))
    it.body.write(body)
    it.recipients += [Recipient(one, (), f"<{one}>", Findings(it.findings)) for one in recipients]
    return it
