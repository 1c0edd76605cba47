"""What the console works with: the store, the settings, the journey, the clock; and who is logged in."""

from __future__ import annotations

import dataclasses
import functools
import hmac
from collections.abc import Callable

import itsdangerous

from antispam.journey.table import Journey
from antispam.learning.corrections import Corrections
from antispam.learning.digest_settings import DigestSettings
from antispam.learning.people import Addresses
from antispam.learning.settings import DspamSettings
from antispam.net.resolver import DnsSettings, Lookup, Resolver
from antispam.service.board import Board
from antispam.service.digest.links import Links, secret_name
from antispam.service.teaching import means
from antispam.settings import Settings
from antispam.settings.web import WebSettings
from antispam.store import Store, accounts, callbacks, digests, login_failures, sessions
from antispam.store.accounts import Account
from antispam.store.hours import Hours
from antispam.store.release import Protect
from antispam.store.sessions import How
from antispam.web import passwords
from antispam.web.limiter import Limiter

LINKS_A_MINUTE = 60  # of one user

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
    """A login that failed; `wait` is how many seconds must pass before the next try, 0 where a password was wrong."""

    wait: float = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)  # without slots: what it makes once is kept in its dictionary
class Console:
    """The means of the console; tests give it a clock.

    protect  takes what is dangerous or forged out of what is released
    teach    what a release teaches by
    dns      who is asked whether a key is published; None is the resolver of the settings
    board    what the workers count; None where there are none beside the console
    """

    settings: Settings
    store: Store
    journey: Journey
    clock: Callable[[], float]
    protect: Protect
    teach: Teach
    dns: Lookup | None = None
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
        return Hours(self.store)

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

    def login(self, name: str, password: str) -> Session | Refused:
        """Raises StoreError. Says nothing of whether there is such an account, and takes as long without one."""
        now = self.clock()
        account = accounts.get(self.store, name)
        if (wait := login_failures.attempt(self.store, name, now, self.options.attempts)) > 0:
            return Refused(wait)
        if not passwords.fits(account.password if account is not None else "", password) or account is None:
            return Refused()
        self.purge()
        secret = sessions.begin(self.store, account.name, How.PASSWORD, now, self.options.session)
        return Session(account, secret, How.PASSWORD)

    def purge(self) -> None:
        """Forget some of what is over. Raises StoreError."""
        sessions.purge(self.store, self.clock())
        login_failures.purge(self.store, self.clock())
        digests.purge(self.store, self.clock())

    def session(self, secret: str) -> Session | None:
        """The session of a cookie; None where it is over. Raises StoreError."""
        found = sessions.find(self.store, secret, self.clock(), self.options.idle) if secret else None
        return None if found is None else Session(found.account, secret, found.how)
