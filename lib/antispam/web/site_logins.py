"""Logins of the site: its IMAP server or directory verifies name and password. Neither is stored."""

from __future__ import annotations

import contextlib
import imaplib
import importlib
import logging
import secrets
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from antispam.checks._shared.author_directories import (
    LdapPlace,
    Question,
    Unreadable,
    bound,
    filter_for,
    ldap_connection,
)
from antispam.learning.login_settings import By, LoginSettings, is_here
from antispam.net.addresses import Mailbox
from antispam.text import for_log

log = logging.getLogger(__name__)

AT_ONCE = 8  # simultaneous queries to the site's servers
MAX_PASSWORD = 1024
_PORTS = {"imap": 143, "imaps": 993}
# A server in trouble also says NO (RFC 5530): that does not mean a wrong password.
_NOT_NOW = ("[UNAVAILABLE]", "[INUSE]", "[LIMIT]", "[SERVERBUG]")


class Unavailable(Exception):
    """The login server cannot be queried now; the text is for the log."""


class SiteLogin(Protocol):
    """A login server of the site."""

    def accepts(self, name: str, password: str) -> bool:
        """Whether name and password are right. Raises Unavailable."""


Connect = Callable[[], imaplib.IMAP4]


class ImapLogin:
    """The site's IMAP server.

    connect  opens a connection, encrypted unless the server is on this machine; tests pass another one
    """

    def __init__(self, settings: LoginSettings, connect: Connect | None = None) -> None:
        self._settings = settings
        self._connect = connect or self._open

    def accepts(self, name: str, password: str) -> bool:
        try:
            connection = self._connect()
        except (OSError, imaplib.IMAP4.error) as error:
            raise Unavailable(f"IMAP: {type(error).__name__}: {error}") from error
        try:
            # RFC 4616. Not LOGIN: here name and password are octets, not arguments of a command.
            answer = f"\0{name}\0{password}".encode()
            connection.authenticate("PLAIN", lambda _: answer)
        except (imaplib.IMAP4.abort, OSError) as error:
            raise Unavailable(f"IMAP: {type(error).__name__}: {error}") from error
        except imaplib.IMAP4.error as error:
            if any(code in str(error).upper() for code in _NOT_NOW):
                raise Unavailable(f"IMAP: {error}") from error
            return False
        else:
            return True
        finally:
            with contextlib.suppress(OSError, imaplib.IMAP4.error):
                connection.logout()

    def _open(self) -> imaplib.IMAP4:
        parts, seconds = urlsplit(self._settings.imap), self._settings.login_timeout
        host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        context = ssl.create_default_context(cafile=_file(self._settings.login_ca_file))
        if parts.scheme == "imaps":
            return imaplib.IMAP4_SSL(host, port, ssl_context=context, timeout=seconds)
        connection = imaplib.IMAP4(host, port, timeout=seconds)
        try:
            if not is_here(self._settings.imap):
                connection.starttls(context)
        except BaseException:
            connection.shutdown()
            raise
        return connection


class LdapLogin:
    """The site's directory: it is searched for the only entry of that name, which must accept the password."""

    def __init__(
        self,
        settings: LoginSettings,
        search: Callable[[LdapPlace, float], Any] = ldap_connection,
        bind: Callable[[LdapPlace, str, str, float], Any] = bound,
    ) -> None:
        self._errors = importlib.import_module("ldap3.core.exceptions")
        self._seconds = settings.login_timeout
        self._place = LdapPlace(
            url=settings.ldap, base=settings.ldap_base, filter=settings.ldap_filter, bind_dn=settings.ldap_bind_dn,
            password_file=settings.ldap_password_file, ca_file=settings.login_ca_file, timeout=settings.login_timeout,
            starttls=settings.ldap.startswith("ldap:") and not is_here(settings.ldap),
        )  # fmt: skip
        self._search = search
        self._bind = bind

    def accepts(self, name: str, password: str) -> bool:
        try:
            found = self._entry_of(name)
            # A missing entry takes as long as an existing one.
            entry = found or f"cn={secrets.token_hex(8)},{self._place.base}"
            return self._is_password_of(entry, password) and bool(found)
        except (self._errors.LDAPException, OSError, Unreadable) as error:
            raise Unavailable(f"LDAP: {type(error).__name__}: {error}") from error

    def _entry_of(self, name: str) -> str:
        """The distinguished name; "" if there is none or more than one: the password would be ambiguous."""
        local, _, domain = name.partition("@")
        connection = self._search(self._place, self._seconds)
        try:
            connection.search(
                self._place.base,
                filter_for(self._place.filter, Question(Mailbox(local, domain))),
                attributes=["1.1"],  # no attributes, RFC 4511 section 4.5.1.8
                size_limit=2,
                time_limit=max(1, int(self._seconds)),
            )
            found = [one["dn"] for one in connection.response or () if one.get("type") == "searchResEntry"]
        except self._errors.LDAPSizeLimitExceededResult:
            return ""
        finally:
            connection.unbind()
        return str(found[0]) if len(found) == 1 else ""

    def _is_password_of(self, entry: str, password: str) -> bool:
        errors = self._errors
        refusals = (
            errors.LDAPInvalidCredentialsResult,
            errors.LDAPNoSuchObjectResult,
            errors.LDAPInappropriateAuthenticationResult,  # it has no password
            errors.LDAPUnwillingToPerformResult,
            errors.LDAPConstraintViolationResult,  # locked
            errors.LDAPInsufficientAccessRightsResult,
        )
        try:
            self._bind(self._place, entry, password, self._seconds).unbind()
        except refusals:
            return False
        return True


class SiteLogins:
    """All login servers in order. Only a few queries run at once, so that strangers cannot open any number of
    connections.
    """

    def __init__(self, ways: Sequence[SiteLogin], seconds: float) -> None:
        self._ways = ways
        self._seconds = seconds
        self._free = threading.BoundedSemaphore(AT_ONCE)

    @classmethod
    def from_settings(cls, settings: LoginSettings) -> SiteLogins:
        """The login servers of the settings. Raises ImportError if the LDAP library is missing."""
        made: dict[str, Callable[[LoginSettings], SiteLogin]] = {By.IMAP: ImapLogin, By.LDAP: LdapLogin}
        return cls([made[way](settings) for way in settings.login_by if way in made], settings.login_timeout)

    def __bool__(self) -> bool:
        return bool(self._ways)

    def accept(self, name: str, password: str) -> bool:
        """Whether one of them accepts the password. One that is empty, or that no protocol can carry, is never right:
        LDAP would treat it as an anonymous login (RFC 4513 section 5.1.2). Raises Unavailable if none accepted it and
        one could not be queried.
        """
        if not 0 < len(password) <= MAX_PASSWORD or "\0" in password or not _is_text(password):
            return False
        failed = None
        with self._turn():
            for way in self._ways:
                try:
                    if way.accepts(name, password):
                        return True
                except Unavailable as error:
                    log.error("console: a login could not be checked: %s", for_log(str(error)))
                    failed = error
        if failed is not None:
            raise failed
        return False

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._free.acquire(timeout=self._seconds):
            raise Unavailable("too many logins at once")
        try:
            yield
        finally:
            self._free.release()


def _is_text(password: str) -> bool:
    """Whether the password can be encoded as UTF-8."""
    return not any(0xD800 <= ord(char) <= 0xDFFF for char in password)


def _file(path: Path | None) -> str | None:
    return str(path) if path is not None else None
