"""SQL databases and LDAP directories with the domains and addresses of a site's users.

The queries contain text from mail, which must never become part of a statement or a filter. SQL uses bound parameters
only; in an LDAP filter every octet other than a letter or digit is escaped (RFC 4515 section 3).
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import re
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import sqlalchemy as sa

from antispam.deadline import Deadline
from antispam.net.addresses import Mailbox
from antispam.settings.secret_files import password_in
from antispam.store.engine import Breaker, StoreError

PARAMETERS = frozenset({"address", "local", "domain", "sender", "login"})
POOL = 4  # connections to the SQL database that one worker may hold
_LDAP_FOUND = (0, 4)  # success, sizeLimitExceeded: more than the one that was asked for
_PLACEHOLDER = re.compile(r"%(.?)", re.DOTALL)


class Unreadable(ValueError):
    """The file of a password can't be read."""


class DirectoryError(Exception):
    """The directory cannot be queried now, or does not answer."""


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """The question whether an author is ours. `sender` is the envelope sender, `login` that of SMTP AUTH, "" without."""

    author: Mailbox
    sender: str = ""
    login: str = ""

    @property
    def values(self) -> dict[str, str]:
        """The values by the names that a query may use. Addresses are compared in lower case."""
        return {
            "address": str(self.author).lower(),
            "local": self.author.local.lower(),
            "domain": self.author.domain,
            "sender": self.sender.lower(),
            "login": self.login,
        }

    @property
    def sane(self) -> bool:
        """Whether such an address can exist. Databases reject some control characters, so no query is made for others."""
        return all(value.isprintable() for value in self.values.values())


class AuthorDirectory(Protocol):
    """A directory of the site's authors."""

    def known(self, questions: Sequence[Question], deadline: Deadline) -> list[bool]:
        """An answer to each question. Raises DirectoryError."""


@dataclasses.dataclass(frozen=True, slots=True)
class SqlPlace:
    """An SQL database and its query. A query that returns a row means yes."""

    url: str
    query: str
    timeout: float = 5.0

    def check(self) -> None:
        """Raises ValueError if the URL or the query cannot be valid."""
        try:
            sa.create_engine(self.url)
        except (sa.exc.ArgumentError, ImportError) as error:
            raise ValueError(f"sql_url: {str(error).splitlines()[0]}") from error
        used = set(sa.text(self.query).compile().params)
        if not used & {"address", "domain"}:
            raise ValueError("sql_query must ask for :address or :domain")
        if unknown := used - PARAMETERS:
            raise ValueError(f"sql_query may use :{', :'.join(sorted(PARAMETERS))}, but not :{sorted(unknown)[0]}")


class SqlDirectory:
    """The SQL directory; one for each worker. Connections are pooled. A database that keeps failing is not queried for
    some seconds.
    """

    def __init__(self, place: SqlPlace, breaker: Breaker | None = None) -> None:
        self._query = sa.text(place.query)
        self._used = set(self._query.compile().params)
        self._timeout = place.timeout
        self._breaker = breaker or Breaker()
        self._free = threading.BoundedSemaphore(POOL)
        self._engine = sa.create_engine(
            place.url,
            poolclass=sa.pool.QueuePool,
            pool_size=POOL,
            max_overflow=0,
            pool_timeout=place.timeout,
            pool_pre_ping=True,
            connect_args=_connect_args(place),
        )

    def known(self, questions: Sequence[Question], deadline: Deadline) -> list[bool]:
        with self._connection(deadline.at_most(self._timeout)) as connection:
            return [question.sane and self._has(connection, question) for question in questions]

    def close(self) -> None:
        self._engine.dispose()

    def _has(self, connection: sa.Connection, question: Question) -> bool:
        values = {name: value for name, value in question.values.items() if name in self._used}
        return connection.execute(self._query, values).first() is not None

    @contextmanager
    def _connection(self, deadline: Deadline) -> Iterator[sa.Connection]:
        """A connection whose statements end by the deadline."""
        try:
            self._breaker.admit()
        except StoreError as error:
            raise DirectoryError(str(error)) from error
        if not self._free.acquire(timeout=deadline.remaining()):
            raise DirectoryError("all connections to the SQL database of authors are in use")
        try:
            with self._engine.connect() as connection:
                _limit(connection, deadline)
                yield connection
        except sa.exc.SQLAlchemyError as error:
            # A rejected address does not mean that the database is down.
            if isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError | sa.exc.TimeoutError):
                self._breaker.failed()
            cause = getattr(error, "orig", None) or error
            raise DirectoryError(f"SQL: {type(cause).__name__}: {cause}".splitlines()[0][:200]) from error
        finally:
            self._free.release()
        self._breaker.succeeded()


def _connect_args(place: SqlPlace) -> dict[str, Any]:
    seconds = max(1, int(place.timeout))
    url = sa.engine.make_url(place.url)
    backend = url.get_backend_name()
    if backend == "sqlite":
        return {"timeout": place.timeout, "check_same_thread": False}
    if backend in ("mysql", "mariadb"):
        return {"connect_timeout": seconds, "read_timeout": seconds, "write_timeout": seconds}
    if backend == "postgresql":
        # No prepared statements: behind PgBouncer the next statement may use another connection.
        pooled = {"prepare_threshold": None} if url.get_driver_name() == "psycopg" else {}
        return {"connect_timeout": seconds, **pooled}
    return {}


def _limit(connection: sa.Connection, deadline: Deadline) -> None:
    """Make the database abort a statement that takes too long."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {max(1, int(deadline.remaining() * 1000))}")
    elif connection.dialect.name == "sqlite":
        raw: Any = connection.connection.dbapi_connection
        raw.set_progress_handler(lambda: int(deadline.expired), 10_000)


@dataclasses.dataclass(frozen=True, slots=True)
class LdapPlace:
    """An LDAP directory and its search. A filter that finds an entry means yes.

    filter  with %s for the address, %u and %d for its two parts, %% for a percent sign
    """

    url: str
    base: str
    filter: str
    bind_dn: str = ""
    password_file: Path | None = None
    starttls: bool = False
    ca_file: Path | None = None
    timeout: float = 5.0

    def check(self) -> None:
        """Raises ValueError if it cannot be valid, or if the LDAP library is missing."""
        try:
            importlib.import_module("ldap3")
        except ImportError:
            raise ValueError("ldap_url needs the library ldap3: pip install 'bms-antispam[ldap]'") from None
        if not self.url.lower().startswith(("ldap://", "ldaps://")):
            raise ValueError("ldap_url: expected ldap://host or ldaps://host")
        if not (self.filter.startswith("(") and self.filter.count("(") == self.filter.count(")")):
            raise ValueError("ldap_filter: expected a filter in parentheses, such as (mail=%s)")
        codes = _PLACEHOLDER.findall(self.filter)
        if unknown := [code for code in codes if code not in ("s", "u", "d", "%")]:
            raise ValueError(f"ldap_filter: %{unknown[0]} is not one of %s, %u, %d and %%")
        if not {"s", "d"} & set(codes):
            raise ValueError("ldap_filter must ask for %s, the address, or %d, its domain")
        if bool(self.bind_dn) != bool(self.password_file):
            raise ValueError("ldap_bind_dn and ldap_password_file need one another")
        self.password()

    def password(self) -> str:
        """The first line of its file. Raises Unreadable, also where it is empty: that would be an anonymous bind."""
        if self.password_file is None:
            return ""
        try:
            return password_in(self.password_file)
        except OSError as error:
            raise Unreadable(f"ldap_password_file: {error}") from error


Connect = Callable[[LdapPlace, float], Any]
"""Opens a bound ldap3.Connection that raises exceptions, within so many seconds a step."""


class LdapDirectory:
    """An LDAP directory. Each message opens a new connection, because directories close idle ones."""

    def __init__(self, place: LdapPlace, connect: Connect | None = None, breaker: Breaker | None = None) -> None:
        self._place = place
        self._connect = connect or ldap_connection
        self._breaker = breaker or Breaker()
        self._error: type[Exception] = importlib.import_module("ldap3.core.exceptions").LDAPException

    def known(self, questions: Sequence[Question], deadline: Deadline) -> list[bool]:
        deadline = deadline.at_most(self._place.timeout)
        try:
            self._breaker.admit()
            found = self._ask(questions, deadline)
        except StoreError as error:
            raise DirectoryError(str(error)) from error
        except (self._error, OSError, Unreadable) as error:
            self._breaker.failed()
            raise DirectoryError(f"LDAP: {type(error).__name__}: {error}".splitlines()[0][:200]) from error
        self._breaker.succeeded()
        return found

    def _ask(self, questions: Sequence[Question], deadline: Deadline) -> list[bool]:
        connection = self._connect(self._place, max(0.1, deadline.remaining()))
        try:
            return [question.sane and self._has(connection, question, deadline) for question in questions]
        finally:
            connection.unbind()

    def _has(self, connection: Any, question: Question, deadline: Deadline) -> bool:
        if deadline.expired:
            raise DirectoryError("LDAP: no answer in time")
        connection.search(
            self._place.base,
            filter_for(self._place.filter, question),
            attributes=["1.1"],  # no attributes, RFC 4511 section 4.5.1.8
            size_limit=1,
            time_limit=max(1, int(deadline.remaining())),
        )
        if connection.result["result"] not in _LDAP_FOUND:
            raise DirectoryError(f"LDAP: {connection.result['description']}")
        return any(entry.get("type") == "searchResEntry" for entry in connection.response or ())


def filter_for(pattern: str, question: Question) -> str:
    """The filter with the question's values in it, with every special octet escaped."""
    values = question.values
    names = {"s": "address", "u": "local", "d": "domain"}
    return _PLACEHOLDER.sub(lambda match: escaped(values[names[match[1]]]) if match[1] in names else "%", pattern)


def escaped(value: str) -> str:
    """`value` as an assertion value of a filter (RFC 4515 section 3)."""
    return "".join(
        chr(octet) if chr(octet).isascii() and chr(octet).isalnum() else f"\\{octet:02x}" for octet in value.encode()
    )


def ldap_connection(place: LdapPlace, seconds: float) -> Any:
    """A bound connection for searching."""
    return bound(place, place.bind_dn, place.password(), seconds)


def bound(place: LdapPlace, user: str, password: str, seconds: float) -> Any:
    """A connection bound as that user, "" for an anonymous one. Certificates are verified, referrals to other servers
    are not followed. Raises LDAPException and OSError.
    """
    ldap3 = importlib.import_module("ldap3")
    tls = ldap3.Tls(validate=ssl.CERT_REQUIRED, ca_certs_file=str(place.ca_file) if place.ca_file else None)
    server = ldap3.Server(place.url, tls=tls, get_info=ldap3.NONE, connect_timeout=seconds)
    connection = ldap3.Connection(
        server,
        user=user or None,
        password=password or None,
        auto_referrals=False,
        receive_timeout=max(1, int(seconds)),  # ldap3 takes whole seconds only
        read_only=True,
        raise_exceptions=True,
    )
    try:
        connection.open()
        if place.starttls:
            connection.start_tls()
        connection.bind()
    except BaseException:
        if connection.socket is not None:
            connection.socket.close()  # ldap3 leaves it to the garbage collector
        raise
    return connection


@functools.lru_cache(maxsize=8)
def directory(place: SqlPlace | LdapPlace) -> AuthorDirectory:
    """This worker's only directory for a place."""
    return SqlDirectory(place) if isinstance(place, SqlPlace) else LdapDirectory(place)
