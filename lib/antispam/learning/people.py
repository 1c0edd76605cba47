"""Whose mail it is, and what that user wants: the address map of the configuration, and preferences of the store."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable
from typing import Any

from antispam.addresses import parse_mailbox
from antispam.authors import author_is_proved, authors, is_proved
from antispam.learning.preferences import resolved
from antispam.learning.settings import DspamSettings, TrainingMode
from antispam.message import Message
from antispam.store import Store
from antispam.store.preferences import of_user

REMEMBERED = 5.0  # seconds for which preferences are not asked for again
_MOST = 10_000  # users whose preferences a worker remembers


class AddressList:
    """Addresses, and domains as `@example.com` or `example.com`, as configuration lists them."""

    def __init__(self, items: Iterable[str]) -> None:
        self._items = frozenset(item.lower().removeprefix("@") for item in items)

    def __contains__(self, address: str) -> bool:
        return any(form in self._items for form in _forms(address)) if self._items else False


def _forms(address: str) -> tuple[str, ...]:
    """The ways in which a list or map may mean an address, the most exact first: as it is, without its +detail (RFC 5233), its
    domain."""
    mailbox = parse_mailbox(address)
    local, domain = mailbox.local.lower(), mailbox.domain
    if not domain:
        return (local,)
    plain, plus, _ = local.partition("+")
    return (f"{local}@{domain}", *([f"{plain}@{domain}"] if plus and plain else []), domain)


def is_listed(message: Message, senders: AddressList) -> bool:
    """Whether the envelope sender or the author is in the list, and SPF or DKIM prove who that is."""
    sender = parse_mailbox(message.mail_from)
    if message.mail_from in senders and is_proved(message, sender.domain):
        return True
    return any(str(author) in senders for author in authors(message)) and author_is_proved(message)


class Addresses:
    """The users of the filter and their addresses. Pure: made from the settings."""

    def __init__(self, settings: DspamSettings) -> None:
        self.users = settings.users
        self._by_address = {
            address.lower().removeprefix("@"): user for user, addresses in self.users.items() for address in addresses
        }

    def user_of(self, address: str) -> str | None:
        """Whose mail it is; None for nobody in particular."""
        return next((self._by_address[form] for form in _forms(address) if form in self._by_address), None)

    def user_of_login(self, login: str) -> str | None:
        """Who authenticated under this name: a user's own name, or one of the addresses."""
        return login.lower() if login.lower() in self.users else self.user_of(login)


class People:
    """One a worker; safe from any thread.

    clock  seconds that never run backwards
    """

    def __init__(
        self, settings: DspamSettings, store: Store | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.addresses = Addresses(settings)
        self._settings = settings
        self._store = store
        self._clock = clock
        self._known: dict[str | None, tuple[float, DspamSettings]] = {}

    def user_of(self, address: str) -> str | None:
        """Whose mail it is; None for nobody in particular."""
        return self.addresses.user_of(address)

    def settings_for(self, user: str | None, deadline: Any = None) -> DspamSettings:
        """[dspam] as it holds for this user: the configuration, overruled by the site's preferences, his group's and his own.
        What is set is known here within a few seconds. Raises StoreError."""
        until, known = self._known.get(user, (0.0, self._settings))
        if self._clock() < until:
            return known
        found = self._resolved(user, deadline)
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[user] = (self._clock() + REMEMBERED, found)
        return found

    def _resolved(self, user: str | None, deadline: Any) -> DspamSettings:
        settings = self._settings
        if user in settings.dspam_train:
            settings = dataclasses.replace(settings, training_mode=TrainingMode.TEFT)
        return settings if self._store is None else resolved(settings, of_user(self._store, user, deadline))
