"""Sending digests through the outbox: recipients, times and content."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from antispam.chores import Chore, Pieces
from antispam.learning.digest_settings import DigestSettings, Often
from antispam.learning.language_settings import LanguageSettings
from antispam.learning.login_settings import LoginSettings, mailbox_of
from antispam.learning.people import Addresses, AddressList
from antispam.learning.preferences import resolved
from antispam.learning.settings import DspamSettings
from antispam.service.digest.letter import Facts, compose
from antispam.service.digest.links import Links, secret_name
from antispam.settings import Settings, SettingsError
from antispam.settings.web import WebSettings
from antispam.store import Store, accounts, callbacks, digests
from antispam.store.accounts import Login
from antispam.store.digests import News
from antispam.store.outbox import Kind, QueuedMessage
from antispam.store.preferences import Scope, of_user
from antispam.store.quarantine import Entry
from antispam.text import for_log

log = logging.getLogger(__name__)

EVERY = 900.0  # seconds between two checks
DAY = 86400.0
SETTLED = 300.0  # seconds after which a message's transaction has ended
OLDEST = 8 * DAY  # older messages are no longer reported
_PERIODS = {Often.DAILY: DAY, Often.WEEKLY: 7 * DAY}
_ADDRESS = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@[a-z0-9-]+(\.[a-z0-9-]+)+", re.IGNORECASE | re.ASCII)


@dataclasses.dataclass(frozen=True, slots=True)
class Sent:
    """A digest in the outbox: its user, address and number of messages."""

    user: str
    address: str
    count: int


@dataclasses.dataclass(frozen=True, slots=True)
class Means:
    """The means of making digests.

    sign   puts our DKIM signature on a message, if there is a key
    clock  seconds since the epoch
    """

    settings: Settings
    store: Store
    sign: Callable[[bytes], bytes]
    clock: Callable[[], float]


def demand_sendable(settings: Settings) -> None:
    """Raises SettingsError if the configuration does not allow digests to be sent."""
    if not settings[DigestSettings].send:
        raise SettingsError("digests are off: [digest] send = yes, and [digest] sender")
    if not settings[WebSettings].url:
        raise SettingsError("[digest] send needs [web] url: the links of a digest lead there")


def chores(means: Means) -> list[Chore]:
    """The chores of housekeeping for digests."""
    found = [Chore(lambda: digests.purge(means.store, means.clock()) > 0)]
    try:
        demand_sendable(means.settings)
    except SettingsError as error:
        log.error("no digests are sent: %s", error)
    else:
        found.append(Chore(Pieces(lambda: sending(means)), EVERY))
    return found


def latest_slot(now: float, often: Often, hour: int) -> float:
    """The time when the last digests were due, in local time: today or yesterday at that hour, or on Monday."""
    local = datetime.fromtimestamp(now).astimezone()
    slot = local.replace(hour=hour, minute=0, second=0, microsecond=0)
    if slot > local:
        slot -= timedelta(days=1)
    if often is Often.WEEKLY:
        slot -= timedelta(days=slot.weekday())
    return slot.timestamp()


def sending(means: Means) -> Iterator[Sent]:
    """Queue the due digests, one per step. Raises StoreError."""
    now = means.clock()
    options, addresses = means.settings[DigestSettings], Addresses(means.settings[DspamSettings])
    known: set[str] = set()
    for account in accounts.every(means.store):
        known.update(account.mailboxes)
        if account.login is Login.SITE and not account.mailboxes:
            known.add(mailbox_of(account.name, means.settings[LoginSettings], addresses))
    round_ = _Round(
        means, now, addresses, AddressList(options.to), frozenset(known),
        Links(callbacks.secret(means.store, secret_name(), now), options.links, lambda: now),
    )  # fmt: skip
    for news in digests.users_with_news(means.store, now - OLDEST, now - SETTLED):
        if (sent := round_.send(news)) is not None:
            yield sent


@dataclasses.dataclass(frozen=True, slots=True)
class _Round:
    """The values common to all digests of one round. `known` are the mailboxes of accounts."""

    means: Means
    now: float
    addresses: Addresses
    listed: AddressList
    known: frozenset[str]
    links: Links

    def send(self, news: News) -> Sent | None:
        """The digest of one user; None if they get none now. Raises StoreError."""
        store, site = self.means.store, self.means.settings[DigestSettings]
        preferences = of_user(store, news.user)
        options = resolved(site, preferences)
        if options.often is Often.NEVER or not self._due(news, options):
            return None
        chosen = any(one.scope is Scope.USER and one.name == "digest" for one in preferences)
        address = self._address(news.user, chosen)
        if not address:
            return None
        before = self.now - SETTLED
        since = max(self.now - OLDEST, self.now - _PERIODS[options.often] if news.until is None else news.until)
        entries, count = digests.kept(store, news.user, since, before, site.entries)
        if not count:
            return None
        language = resolved(self.means.settings[LanguageSettings], preferences).language
        queued = self._queued(news, address, entries, count, language)
        return Sent(news.user, address, count) if digests.told(store, news, before, queued, self.now) else None

    def _due(self, news: News, options: DigestSettings) -> bool:
        """Whether a digest is due. A last time in the future (a clock that was ahead) does not delay it."""
        slot = latest_slot(self.now, options.often, options.hour)
        return news.sent_at is None or not slot <= news.sent_at <= self.now

    def _address(self, user: str, chosen: bool) -> str:
        """The user's mail address; "" if nothing shows that the mailbox exists."""
        if user in self.addresses.users:
            listed = self.addresses.users[user]
            return next((address for address in listed if _ADDRESS.fullmatch(address)), "")
        exists = chosen or user in self.known or user in self.listed
        return user if exists and _ADDRESS.fullmatch(user) else ""

    def _queued(self, news: News, address: str, entries: list[Entry], count: int, language: str) -> QueuedMessage:
        options, web = self.means.settings[DigestSettings], self.means.settings[WebSettings].address
        name = hashlib.sha256(f"{news.user}\0{news.until!r}\0{self.now!r}".encode("utf-8", "replace")).hexdigest()
        facts = Facts(
            recipient=address, sender=options.sender, entries=entries, count=count, console=f"{web}/",
            stop=f"{web}/digest/stop/{self.links.stop_token(news.user)}",
            link=lambda entry: f"{web}/kept/{self.links.token(entry.ref, entry.user)}",
            days=max(1, int(options.links // DAY)), name=name[:24], now=self.now,
        )  # fmt: skip
        signed = self.means.sign(compose(facts, language))
        log.info("digest: %d messages kept from %s to <%s>", count, for_log(news.user), for_log(address))
        return QueuedMessage(Kind.DIGEST, name[:16], "", (address,), signed, once=f"digest {name[:48]}")
