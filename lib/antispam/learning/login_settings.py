"""[web]: the methods of login to the console, and the mailboxes of people who have only an account of the site."""

from __future__ import annotations

import enum
import unicodedata
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from antispam.learning.people import Addresses
from antispam.net.addresses import is_hostname, parse_ip, parse_network
from antispam.settings import option, section
from antispam.settings.secret_files import password_in
from antispam.settings.values import choice, duration, names, positive

MAX_LOGIN = 255


class By(enum.StrEnum):
    """A method of login."""

    PASSWORD = "password"  # the password of one of our accounts
    IMAP = "imap"  # the site's mailbox server checks name and password
    LDAP = "ldap"  # the site's directory does
    HEADER = "header"  # a proxy before the console has authenticated them


_read_way = choice(By)


def _ways(text: str) -> tuple[str, ...]:
    return tuple(str(_read_way(word)) for word in names(text))


def _proxies(items: tuple[str, ...]) -> None:
    """Check the addresses of proxies. Names are refused, because they do not prove who connects."""
    for item in items:
        if parse_network(item) is None:
            raise ValueError(f"{item}: expected addresses and networks, such as 127.0.0.1, 192.0.2.0/28")


def _domain(text: str) -> None:
    if text and not is_hostname(text.lower()):
        raise ValueError("expected a domain such as example.com")


def _url(*schemes: str) -> Callable[[str], None]:
    def check(text: str) -> None:
        if not text:
            return
        parts = urlsplit(text)
        port = parts.port  # raises ValueError for an invalid port
        bad = (
            parts.scheme not in schemes
            or not parts.hostname
            or parts.username
            or parts.path not in ("", "/")
            or port == 0
        )
        if bad or parts.query or parts.fragment:
            raise ValueError(f"expected {' or '.join(f'{scheme}://host' for scheme in schemes)}, with :port if need be")

    return check


def is_here(url: str) -> bool:
    """Whether the server of a URL is on this machine, so that nobody can eavesdrop."""
    host = urlsplit(url).hostname or ""
    address = parse_ip(host)
    return host == "localhost" or (address is not None and address.is_loopback)


@section("web")
class LoginSettings:
    """[web]: the methods of login (docs/web.md)."""

    login_by: tuple[str, ...] = option(
        ("password",),
        "by what people log in: password (of `bms web account`), imap, ldap (name and password of the site), header (a proxy "
        "that has asked them); several are tried in this order",
        parse=_ways,
    )
    login_domain: str = option(
        "", "the domain of login names of the site that have none: ann is ann@example.com", check=_domain
    )
    imap: str = option(
        "",
        "the site's IMAP server: imaps://mail.example.com, or imap:// for STARTTLS; without TLS on this machine only",
        check=_url("imaps", "imap"),
    )
    ldap: str = option(
        "",
        "the site's directory: ldaps://ldap.example.com, or ldap:// for STARTTLS; without TLS on this machine only",
        check=_url("ldaps", "ldap"),
    )
    ldap_base: str = option("", "where people are in it: ou=people,dc=example,dc=com")
    ldap_filter: str = option(
        "(uid=%u)",
        "which of them it is: %u stands for the name before the @, %d for the domain, %s for the whole address",
    )
    ldap_bind_dn: str = option("", "who looks for them in it; empty is nobody in particular")
    ldap_password_file: Path | None = option(None, "the password of ldap_bind_dn: the first line of this file")
    login_ca_file: Path | None = option(
        None, "the authorities whose certificates these servers may have; empty uses the system's"
    )
    login_timeout: float = option(
        10.0, "how long to wait for each of their answers", parse=duration("s"), check=positive
    )
    proxies: tuple[str, ...] = option(
        (), "addresses and networks of the proxies whose header is believed, nobody else's: 127.0.0.1", check=_proxies
    )
    header: str = option("X-Remote-User", "the header field in which they name who has logged in")

    def __post_init__(self) -> None:
        for way, option_name, value in (
            ("imap", "imap", self.imap),
            ("ldap", "ldap", self.ldap),
            ("ldap", "ldap_base", self.ldap_base),
            ("header", "proxies", self.proxies),
            ("header", "header", self.header),
        ):
            if way in self.login_by and not value:
                raise ValueError(f"[web] login_by = {way} needs [web] {option_name}")
        if not self.login_by:
            raise ValueError("[web] login_by is empty: nobody could log in")

    @property
    def warnings(self) -> tuple[str, ...]:
        """Problems that prevent logins but do not affect mail."""
        if self.ldap_password_file is not None:
            try:
                password_in(self.ldap_password_file)
            except OSError as error:
                return (f"[web] ldap_password_file: {error}",)
        return ()


def login_name(text: str) -> str:
    """A name of the site in canonical form; "" if it is invalid or may mean several people to the server that is asked."""
    name = unicodedata.normalize("NFKC", text).lower()
    if not 0 < len(name) <= MAX_LOGIN or not name.isprintable() or name.startswith("."):
        return ""
    return "" if any(char.isspace() or char in '*?%"\\/,;<>()|&=+' for char in name) else name


def mailbox_of(name: str, settings: LoginSettings, addresses: Addresses) -> str:
    """The mailbox of a name of the site: the user of the filter with that name or address, else the address itself, in
    login_domain for a name without an @. A user who has a whole domain stands for many people and is nobody's mailbox.
    """
    address = name if "@" in name or not settings.login_domain else f"{name}@{settings.login_domain.lower()}"
    for login in (name, address):
        user = addresses.user_of_login(login)
        if user is not None and all("@" in one[1:] for one in addresses.users[user]):
            return user
    return address
