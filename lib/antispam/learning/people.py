"""Users and their preferences: the addresses of the configuration, and the preferences of the store."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Iterable
from typing import Any

from antispam.learning.preferences import resolved
from antispam.learning.settings import DspamSettings, TrainingMode
from antispam.mail.authors import author_is_proved, authors, is_proved
from antispam.mail.message import Message
from antispam.net.addresses import normalize_domain, parse_mailbox
from antispam.store import Store
from antispam.store.own_history import Whose
from antispam.store.preferences import Preference, of_user, of_users

_USUAL = 320  # characters of the longest address that is cached
_FEW = 10  # users; for so few, one query each costs no more
REMEMBERED = 5.0  # seconds for which preferences are cached
_MOST_WISHES = 1_000  # combinations of preferences
_MOST = 50_000  # users whose preferences a worker caches; more than a message has recipients


class AddressList:
    """A list of addresses, and domains as `@example.com` or `example.com`, from the configuration."""

    def __init__(self, items: Iterable[str]) -> None:
        self._items = frozenset(map(_listed, items))

    def __contains__(self, address: str) -> bool:
        return any(form in self._items for form in _forms(address)) if self._items else False


@functools.lru_cache(maxsize=64)
def address_list(items: tuple[str, ...]) -> AddressList:
    """The list of a setting, made once, because each recipient needs it."""
    return AddressList(items)


def _listed(item: str) -> str:
    """An item of a list or map in the form for look-ups, with an internationalised domain converted."""
    mailbox = parse_mailbox(item)
    if mailbox.local and mailbox.domain:
        return f"{mailbox.local.lower()}@{mailbox.domain}"
    return mailbox.domain or normalize_domain(mailbox.local)


def _forms(address: str) -> tuple[str, ...]:
    """The forms in which a list or map may contain an address, the most specific first: itself, without its +detail
    (RFC 5233), its domain.
    """
    return _remembered_forms(address) if len(address) <= _USUAL else _new_forms(address)


def _new_forms(address: str) -> tuple[str, ...]:
    mailbox = parse_mailbox(address)
    local, domain = mailbox.local.lower(), mailbox.domain
    if not domain:
        return (local,)
    plain, plus, _ = local.partition("+")
    return (f"{local}@{domain}", *([f"{plain}@{domain}"] if plus and plain else []), domain)


_remembered_forms = functools.lru_cache(maxsize=4096)(_new_forms)  # each recipient is looked up in several lists


def is_listed(message: Message, senders: AddressList) -> bool:
    """Whether the envelope sender or the author is in the list and proved by SPF or DKIM."""
    sender = parse_mailbox(message.mail_from)
    if message.mail_from in senders and is_proved(message, sender.domain):
        return True
    return any(str(author) in senders for author in authors(message)) and author_is_proved(message)


class Addresses:
    """The users of the filter and their addresses. Pure: made from the settings."""

    def __init__(self, settings: DspamSettings) -> None:
        self.users = settings.users
        self._by_address = {_listed(address): user for user, addresses in self.users.items() for address in addresses}
        owners: dict[str, set[str]] = {}
        for address, user in self._by_address.items():
            local, at, _ = address.rpartition("@")
            if at:
                owners.setdefault(local, set()).add(user)
        self._by_local_part = {local: min(users) for local, users in owners.items() if len(users) == 1}

    def user_of(self, address: str) -> str | None:
        """The user whose mail it is; None if there is none."""
        return next((self._by_address[form] for form in _forms(address) if form in self._by_address), None)

    def mailbox_of(self, address: str) -> str:
        """The name under which mail to this address is kept and listed: its user's, or the address in lower case."""
        return self.user_of(address) or address.lower()

    def whose(self, mailbox: str) -> Whose:
        """The addresses whose mail is kept and listed under this name."""
        own = self.users.get(
            mailbox, (mailbox,) if "@" in mailbox else ()
        )  # a plain name must not be mistaken for a domain
        exact = {_listed(address) for address in own}
        others = [address for address in self._by_address if "@" in address and self._by_address[address] != mailbox]
        within = [address for address in others if exact & set(_forms(address))]
        return Whose(tuple(own), tuple(within))

    def user_of_login(self, login: str) -> str | None:
        """The user who authenticates with this name: a user's own name, one of the addresses, or the part before the @
        of addresses that all belong to one user (jim for jim@example.com).
        """
        name = login.lower()
        if name in self.users:
            return name
        return self.user_of(login) or self._by_local_part.get(name)


class People:
    """The users of a worker. Thread-safe.

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
        self._made: dict[tuple[object, ...], DspamSettings] = {}

    def user_of(self, address: str) -> str | None:
        """The user whose mail it is; None if there is none."""
        return self.addresses.user_of(address)

    def mailbox_of(self, address: str) -> str:
        """The name under which mail to this address is kept and listed."""
        return self.addresses.mailbox_of(address)

    def settings_for(self, user: str | None, deadline: Any = None) -> DspamSettings:
        """The [dspam] settings for this user: the configuration with the preferences of the site, the group and the
        user. Changes take effect within a few seconds. Raises StoreError.
        """
        until, known = self._known.get(user, (0.0, self._settings))
        if self._clock() < until:
            return known
        found = self._resolved(user, deadline)
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[user] = (self._clock() + REMEMBERED, found)
        return found

    def ask_for(self, users: Iterable[str], deadline: Any = None) -> None:
        """Load the preferences of many users with a few queries, so that settings_for() need not query each. Raises
        StoreError.
        """
        now = self._clock()
        unknown = [user for user in dict.fromkeys(users) if self._known.get(user, (0.0, None))[0] <= now]
        if self._store is None or len(unknown) < _FEW:
            return
        if len(self._known) + len(unknown) > _MOST:
            self._known.clear()
        for user, found in of_users(self._store, unknown, deadline).items():
            # Counted from the end of the query, so that they last for the whole message.
            self._known[user] = (self._clock() + REMEMBERED, self._overruled(user, found))

    def _resolved(self, user: str | None, deadline: Any) -> DspamSettings:
        return self._overruled(user, [] if self._store is None else of_user(self._store, user, deadline))

    def _overruled(self, user: str | None, preferences: list[Preference]) -> DspamSettings:
        """The settings with these preferences. Users with equal preferences share one object, because making one takes
        time proportional to the number of users.
        """
        learns_all = user in self._settings.dspam_train
        key = (learns_all, *((one.name, one.value) for one in preferences))
        made = self._made.get(key)
        if made is None:
            settings = self._settings
            if learns_all:
                settings = dataclasses.replace(settings, training_mode=TrainingMode.TEFT)
            if len(self._made) >= _MOST_WISHES:
                self._made.clear()
            made = self._made[key] = resolved(settings, preferences)
        return made
