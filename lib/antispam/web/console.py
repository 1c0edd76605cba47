"""The console's means (store, settings, journey, clock), and its sessions."""

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
LOGINS_WAITING = 40  # logins that may wait; they take about three seconds

T = TypeVar("T")
Teach = Callable[[str, str], None]
"""teach(user, ref): the user reports the message as ham. Raises StoreError and LookupError."""


@dataclasses.dataclass(frozen=True, slots=True)
class Session:
    """A logged-in account, with the secret from the cookie."""

    account: Account
    secret: str
    how: How

    @property
    def token(self) -> str:
        """The token in every form of this session, so that other sites cannot send one."""
        return itsdangerous.Signer(self.secret, salt="form").get_signature(self.account.name).decode()

    def sent(self, token: str) -> bool:
        """Whether a form's token belongs to this session."""
        return hmac.compare_digest(token.encode("utf-8", "replace"), self.token.encode())


@dataclasses.dataclass(frozen=True, slots=True)
class Refused:
    """A failed login. `wait` is the number of seconds before the next attempt, 0 if the password was wrong."""

    wait: float = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)  # without slots, because cached properties need a dictionary
class Console:
    """The means of the console; tests give it a clock.

    protect  removes dangerous and forged parts from released messages
    teach    trains with released messages
    replica  the store from which the history is read; None stands for the main one
    dns      the resolver for published keys; None stands for the one of the settings
    try_out  tries a configuration in a separate process; None if there is none
    board    the workers' counters; None if the console runs without workers
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
        """The mapping of addresses to users."""
        return Addresses(self.settings[DspamSettings])

    @functools.cached_property
    def corrections(self) -> Corrections:
        """Users' corrections of messages in the history."""
        return Corrections(means(self.journey, self.settings, self.store, self.clock), self.clock)

    @functools.cached_property
    def hours(self) -> Hours:
        """The hourly figures of the history for the last weeks."""
        return Hours(self.store, count=lambda begins: self.ask(lambda store: read_hour(store, begins)))

    def ask(self, question: Callable[[Store], T]) -> T:
        """An answer from the history, which may be some seconds old. Raises StoreError."""
        return question(self.store) if self.replica is None else self.replica.ask(question)

    def behind(self) -> float:
        """The age of ask()'s answers in seconds. Raises StoreError."""
        return 0.0 if self.replica is None else self.replica.behind() or 0.0

    @functools.cached_property
    def resolver(self) -> Lookup:
        """The DNS resolver."""
        return self.dns or Resolver.from_settings(self.settings[DnsSettings])

    @functools.cached_property
    def links(self) -> Links:
        """The links of digests. Raises StoreError."""
        secret = callbacks.secret(self.store, secret_name(), self.clock())
        return Links(secret, self.settings[DigestSettings].links, self.clock)

    @functools.cached_property
    def limiter(self) -> Limiter:
        """The rate limit for opening one user's links."""
        return Limiter(LINKS_A_MINUTE, self.clock)

    @functools.cached_property
    def login_limiter(self) -> Limiter:
        """The rate limit for passwords from one network: delays by name do not stop an attacker who tries many names."""
        return Limiter(LOGINS_A_MINUTE, self.clock)

    @functools.cached_property
    def login_turns(self) -> Turns:
        """The queue for password checks: hashing takes a tenth of a second, the site's servers any time."""
        return Turns(LOGINS_AT_ONCE, LOGINS_WAITING)

    @functools.cached_property
    def site_logins(self) -> SiteLogins:
        """The site's own login servers."""
        return SiteLogins.from_settings(self.settings[LoginSettings])

    def login(self, name: str, password: str) -> Session | Refused:
        """Log in. Raises StoreError and Unavailable. Neither the answer nor its time tells whether the account exists."""
        if (wait := login_failures.attempt(self.store, name, self.clock(), self.options.attempts)) > 0:
            return Refused(wait)
        account, how = self._own(name, password), How.PASSWORD
        if account is None and self.site_logins:
            account, how = self._of_site(name, password), How.SITE
        return Refused() if account is None else self._begin(account, how)

    def expects(self, named: str) -> bool:
        """Whether login_by_header() would accept the user that a proxy names. Changes nothing. Raises StoreError."""
        name = login_name(named)
        found = accounts.get(self.store, name) if name else None
        return bool(name) and (found is None or found.login is Login.SITE)

    def login_by_header(self, named: str) -> Session | None:
        """A session for the user that a proxy names; None if no account can have that name. Raises StoreError."""
        account = self._site_account(login_name(named))
        return None if account is None else self._begin(account, How.HEADER)

    def _own(self, name: str, password: str) -> Account | None:
        found = accounts.get(self.store, name)
        fits = passwords.fits(found.password if found is not None else "", password)
        own = found is not None and found.login is Login.OWN and By.PASSWORD in self.settings[LoginSettings].login_by
        return found if fits and own else None

    def _of_site(self, name: str, password: str) -> Account | None:
        """The site's account for name and password. Names with a local account are queried as well, so that timing does
        not tell them apart.
        """
        known = login_name(name)
        return self._site_account(known) if known and self.site_logins.accept(known, password) else None

    def _site_account(self, name: str) -> Account | None:
        """The account of a site user, created at the first login. None if a local account has that name: it may be
        another person's. Raises StoreError.
        """
        if not name:
            return None
        if accounts.get(self.store, name) is None:
            with contextlib.suppress(BadAccount):  # created concurrently, or not a valid name
                accounts.add(self.store, Account(name, Role.USER, "", (), Login.SITE), self.clock())
        found = accounts.get(self.store, name)
        return found if found is not None and found.login is Login.SITE else None

    def _begin(self, account: Account, how: How) -> Session:
        self.purge()
        secret = sessions.begin(self.store, account.name, how, self.clock(), self.options.session)
        return Session(self._with_mailbox(account), secret, how)

    def _with_mailbox(self, account: Account) -> Account:
        """The account, with the mailbox of its name if it has none."""
        if account.login is Login.OWN or account.mailboxes:
            return account
        mailbox = mailbox_of(account.name, self.settings[LoginSettings], self.addresses)
        return dataclasses.replace(account, mailboxes=(mailbox,))

    def purge(self) -> None:
        """Delete some expired sessions and logins. Raises StoreError."""
        sessions.purge(self.store, self.clock())
        login_failures.purge(self.store, self.clock())
        digests.purge(self.store, self.clock())

    def program(self, token: str) -> Session | None:
        """The session of a program's token, which does not time out when idle; None if it has expired. Raises
        StoreError.
        """
        found = sessions.find(self.store, token, self.clock(), math.inf) if token else None
        if found is None or found.how is not sessions.How.TOKEN:
            return None
        return Session(self._with_mailbox(found.account), token, found.how)

    def session(self, secret: str) -> Session | None:
        """The session of a cookie; None if it has expired. Raises StoreError."""
        found = sessions.find(self.store, secret, self.clock(), self.options.idle) if secret else None
        if found is None or found.how is sessions.How.TOKEN:
            return None
        return Session(self._with_mailbox(found.account), secret, found.how)
