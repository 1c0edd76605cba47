"""What the console works with: the store, the settings, the journey, the clock; and who is logged in."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hmac
import math
from collections.abc import Callable
from typing import TypeVar

import itsdangerous

from antispam.journey.table import Journey
from antispam.learning.corrections import Corrections
from antispam.learning.digest_settings import DigestSettings
from antispam.learning.login_settings import By, LoginSettings, login_name, mailbox_of
from antispam.learning.people import Addresses
from antispam.learning.settings import DspamSettings
from antispam.net.resolver import DnsSettings, Lookup, Resolver
from antispam.service.board import Board
from antispam.service.digest.links import Links, secret_name
from antispam.service.teaching import means
from antispam.service.trials import Try
from antispam.settings import Settings
from antispam.settings.web import WebSettings
from antispam.store import Store, accounts, callbacks, digests, login_failures, sessions
from antispam.store.accounts import Account, BadAccount, Login, Role
from antispam.store.hours import Hours, read_hour
from antispam.store.release import Protect
from antispam.store.replica import Replica
from antispam.store.sessions import How
from antispam.web import passwords
from antispam.web.limiter import Limiter
from antispam.web.site_logins import SiteLogins
from antispam.web.turns import Turns

LINKS_A_MINUTE = 60  # of one user
LOGINS_A_MINUTE = 30  # from one network
LOGINS_AT_ONCE = 8
LOGINS_WAITING = 40  # they are through in about three seconds

T = TypeVar("T")
Teach = Callable[[str, str], None]
"""teach(user, ref): the user says that the message is honest mail. Raises StoreError and LookupError."""


@dataclasses.dataclass(frozen=True, slots=True)
class Session:
    """Somebody who is logged in, with the secret that the cookie holds."""

    account: Account
    secret: str
    how: How

    @property
    def token(self) -> str:
        """What every form of this session carries, so that no other site can send one."""
        return itsdangerous.Signer(self.secret, salt="form").get_signature(self.account.name).decode()

    def sent(self, token: str) -> bool:
        """Whether a form with that token is ours."""
        return hmac.compare_digest(token.encode("utf-8", "replace"), self.token.encode())


@dataclasses.dataclass(frozen=True, slots=True)
class Refused:
    """A login that failed; `wait` is how many seconds must pass before the next try, 0 if a password was wrong."""

    wait: float = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)  # without slots: what it makes once is kept in its dictionary
class Console:
    """The means of the console; tests give it a clock.

    protect  takes what is dangerous or forged out of what is released
    teach    what a release teaches by
    replica  where the history is read; None reads it from the store
    dns      who is asked whether a key is published; None is the resolver of the settings
    try_out  tries a configuration, in a process of its own; None if there is none
    board    what the workers count; None if there are none beside the console
    """

    settings: Settings
    store: Store
    journey: Journey
    clock: Callable[[], float]
    protect: Protect
    teach: Teach
    replica: Replica | None = None
    dns: Lookup | None = None
    try_out: Try | None = None
    board: Board | None = None

    @property
    def options(self) -> WebSettings:
        return self.settings[WebSettings]

    @functools.cached_property
    def addresses(self) -> Addresses:
        """Whose mail is whose."""
        return Addresses(self.settings[DspamSettings])

    @functools.cached_property
    def corrections(self) -> Corrections:
        """What users say of messages that the history has."""
        return Corrections(means(self.journey, self.settings, self.store, self.clock), self.clock)

    @functools.cached_property
    def hours(self) -> Hours:
        """What the history says of the last weeks."""
        return Hours(self.store, count=lambda begins: self.ask(lambda store: read_hour(store, begins)))

    def ask(self, question: Callable[[Store], T]) -> T:
        """What the history says, which may be some seconds old. Raises StoreError."""
        return question(self.store) if self.replica is None else self.replica.ask(question)

    def behind(self) -> float:
        """How many seconds old the answers of ask() are. Raises StoreError."""
        return 0.0 if self.replica is None else self.replica.behind() or 0.0

    @functools.cached_property
    def resolver(self) -> Lookup:
        """Who answers questions to the DNS."""
        return self.dns or Resolver.from_settings(self.settings[DnsSettings])

    @functools.cached_property
    def links(self) -> Links:
        """The links of digests. Raises StoreError."""
        secret = callbacks.secret(self.store, secret_name(), self.clock())
        return Links(secret, self.settings[DigestSettings].links, self.clock)

    @functools.cached_property
    def limiter(self) -> Limiter:
        """How often the links of one user may be opened."""
        return Limiter(LINKS_A_MINUTE, self.clock)

    @functools.cached_property
    def login_limiter(self) -> Limiter:
        """How many passwords may come from one network: names wait one by one, which does not stop who tries many names."""
        return Limiter(LOGINS_A_MINUTE, self.clock)

    @functools.cached_property
    def login_turns(self) -> Turns:
        """Who waits until a password is checked: hashing takes a tenth of a second, the site's servers as long as they like."""
        return Turns(LOGINS_AT_ONCE, LOGINS_WAITING)

    @functools.cached_property
    def site_logins(self) -> SiteLogins:
        """The servers of the site that know names and passwords."""
        return SiteLogins.from_settings(self.settings[LoginSettings])

    def login(self, name: str, password: str) -> Session | Refused:
        """Raises StoreError, and Unavailable. Says nothing of whether there is such an account, and takes as long without
        one."""
        if (wait := login_failures.attempt(self.store, name, self.clock(), self.options.attempts)) > 0:
            return Refused(wait)
        account, how = self._own(name, password), How.PASSWORD
        if account is None and self.site_logins:
            account, how = self._of_site(name, password), How.SITE
        return Refused() if account is None else self._begin(account, how)

    def expects(self, named: str) -> bool:
        """Whether login_by_header() would let in whom a proxy names. Changes nothing. Raises StoreError."""
        name = login_name(named)
        found = accounts.get(self.store, name) if name else None
        return bool(name) and (found is None or found.login is Login.SITE)

    def login_by_header(self, named: str) -> Session | None:
        """A session of whom a proxy names; None if that can be nobody. Raises StoreError."""
        account = self._site_account(login_name(named))
        return None if account is None else self._begin(account, How.HEADER)

    def _own(self, name: str, password: str) -> Account | None:
        found = accounts.get(self.store, name)
        fits = passwords.fits(found.password if found is not None else "", password)
        own = found is not None and found.login is Login.OWN and By.PASSWORD in self.settings[LoginSettings].login_by
        return found if fits and own else None

    def _of_site(self, name: str, password: str) -> Account | None:
        """Who has an account of ours is asked for like anybody: how long it takes must not tell names apart."""
        known = login_name(name)
        return self._site_account(known) if known and self.site_logins.accept(known, password) else None

    def _site_account(self, name: str) -> Account | None:
        """The account of somebody whom the site knows, made when they come first; None if that name is an account of ours:
        it may be somebody else's. Raises StoreError."""
        if not name:
            return None
        if accounts.get(self.store, name) is None:
            with contextlib.suppress(BadAccount):  # somebody else was quicker, or it is no name
                accounts.add(self.store, Account(name, Role.USER, "", (), Login.SITE), self.clock())
        found = accounts.get(self.store, name)
        return found if found is not None and found.login is Login.SITE else None

    def _begin(self, account: Account, how: How) -> Session:
        self.purge()
        secret = sessions.begin(self.store, account.name, how, self.clock(), self.options.session)
        return Session(self._with_mailbox(account), secret, how)

    def _with_mailbox(self, account: Account) -> Account:
        """Who has no mailbox of their own by the account has the one of their name."""
        if account.login is Login.OWN or account.mailboxes:
            return account
        mailbox = mailbox_of(account.name, self.settings[LoginSettings], self.addresses)
        return dataclasses.replace(account, mailboxes=(mailbox,))

    def purge(self) -> None:
        """Forget some of what is over. Raises StoreError."""
        sessions.purge(self.store, self.clock())
        login_failures.purge(self.store, self.clock())
        digests.purge(self.store, self.clock())

    def program(self, token: str) -> Session | None:
        """The session of a program's token, which no pause ends; None if it is over. Raises StoreError."""
        found = sessions.find(self.store, token, self.clock(), math.inf) if token else None
        if found is None or found.how is not sessions.How.TOKEN:
            return None
        return Session(self._with_mailbox(found.account), token, found.how)

    def session(self, secret: str) -> Session | None:
        """The session of a cookie; None if it is over. Raises StoreError."""
        found = sessions.find(self.store, secret, self.clock(), self.options.idle) if secret else None
        if found is None or found.how is sessions.How.TOKEN:
            return None
        return Session(self._with_mailbox(found.account), secret, found.how)
