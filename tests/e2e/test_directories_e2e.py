"""Authors are looked up in a real LDAP directory (slapd) and in an SQL database; the rest of the way is a real MTA's."""

from __future__ import annotations

import contextlib
import dataclasses
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from antispam.checks._shared.author_directories import DirectoryError, LdapDirectory, LdapPlace, Question
from antispam.deadline import Deadline
from antispam.learning.login_settings import LoginSettings
from antispam.net.addresses import Mailbox, parse_mailbox
from antispam.settings import load_text
from antispam.web.site_logins import SiteLogins
from support.filter_process import FilterProcess
from support.mta import NameServer, Postfix, Sendmail
from support.network import Network, PrivateNetwork
from support.patience import PATIENCE
from support.peers import UnavailableError
from support.sink import Sink
from support.slapd import ADMIN, BASE, PASSWORD, Slapd

pytestmark = pytest.mark.servers

KNOWN = ("ann@example.com", "a*b@example.com", "o'neil@example.com")
FILTER = "(&(objectClass=inetOrgPerson)(mail=%s))"


@contextlib.contextmanager
def slapd(network: Network, *, anonymous: bool = True) -> Iterator[Slapd]:
    try:
        server = Slapd(network, KNOWN, anonymous=anonymous)
    except UnavailableError as error:
        pytest.skip(str(error))
    with server:
        yield server


@pytest.fixture(scope="module")
def place() -> Iterator[LdapPlace]:
    with slapd(Network()) as server:
        yield LdapPlace(server.url, BASE, FILTER)


def known(place: LdapPlace, *authors: Mailbox) -> list[bool]:
    return LdapDirectory(place).known([Question(author) for author in authors], Deadline.after(PATIENCE))


def test_a_directory_knows_those_who_are_in_it(place: LdapPlace) -> None:
    authors = [
        parse_mailbox(text) for text in ("Ann@EXAMPLE.com", "a*b@example.com", "o'neil@example.com", "eve@example.com")
    ]
    assert known(place, *authors) == [True, True, True, False]


@pytest.mark.parametrize("text", ["*", "a*", "*)(mail=*", "ann)(|(mail=*", "ann\\2a", "\\", "é", "(", "ann\x00"])
def test_nothing_in_an_address_becomes_part_of_the_search(place: LdapPlace, text: str) -> None:
    assert known(place, Mailbox(text, "example.com")) == [False]


@pytest.mark.parametrize(
    ("name", "password", "right"),
    [
        ("ann@example.com", PASSWORD, True),
        ("ann@example.com", "wrong", False),
        ("eve@example.com", PASSWORD, False),
        ("*@example.com", PASSWORD, False),
        ("*)(mail=ann@example.com", PASSWORD, False),
        ("ann@example.com", "", False),
    ],
)
def test_a_directory_lets_people_in_to_the_console(place: LdapPlace, name: str, password: str, right: bool) -> None:
    options = f"[web]\nlogin_by = ldap\nldap = {place.url}\nldap_base = {BASE}\nldap_filter = (mail=%s)\n"
    logins = SiteLogins.from_settings(load_text(options, [LoginSettings])[LoginSettings])
    assert logins.accept(name, password) == right


def test_a_directory_that_wants_a_password_gets_it(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    file.chmod(0o600)
    with slapd(Network(), anonymous=False) as server:
        anonymous = LdapPlace(server.url, BASE, FILTER)
        bound = dataclasses.replace(anonymous, bind_dn=ADMIN, password_file=file)
        assert known(bound, parse_mailbox("ann@example.com")) == [True]
        with pytest.raises(DirectoryError):
            known(anonymous, parse_mailbox("ann@example.com"))
        file.write_text("wrong\n")
        with pytest.raises(DirectoryError, match="invalidCredentials"):
            known(bound, parse_mailbox("ann@example.com"))


def test_a_directory_without_the_base_is_an_error_and_no_answer(place: LdapPlace) -> None:
    with pytest.raises(DirectoryError, match="noSuchObject"):
        known(dataclasses.replace(place, base="dc=elsewhere"), parse_mailbox("ann@example.com"))


@contextlib.contextmanager
def directory(kind: str, network: PrivateNetwork, folder: Path) -> Iterator[str]:
    """The options of [author_domain] for it."""
    if kind == "ldap":
        with slapd(network) as server:
            yield f"ldap_url = {server.url}\nldap_base = {BASE}\nldap_filter = {FILTER}\n"
        return
    with contextlib.closing(sqlite3.connect(folder / "site.sqlite")) as connection, connection:
        connection.execute("CREATE TABLE people (mail TEXT)")
        connection.executemany("INSERT INTO people VALUES (?)", [(address,) for address in KNOWN])
    yield f"sql_url = sqlite:///{folder}/site.sqlite\nsql_query = SELECT 1 FROM people WHERE mail = :address\n"


@pytest.mark.parametrize(("mta_kind", "kind"), [("postfix", "ldap"), ("sendmail", "sql")])
def test_our_users_may_name_the_authors_whom_a_directory_knows(
    mta_kind: str, kind: str, world: tuple[PrivateNetwork, NameServer], tmp_path: Path
) -> None:
    network, nameserver = world
    nameserver.load([])
    with directory(kind, network, tmp_path) as options, Sink(network) as sink:
        config = f"internal_connect = 192.0.2.7\n[author_domain]\nremedy = reject\n{options}"
        with FilterProcess(network, config) as program:
            with (
                contextlib.closing(
                    Postfix(network, sink, [f"unix:{program.socket}"])
                    if mta_kind == "postfix"
                    else Sendmail(network, sink, [f"local:{program.socket}"])
                ) as mta,
                mta.client("192.0.2.7") as client,
            ):
                client.greet()
                client.command("EHLO desk.example.com")
                letter = b"From: %s\r\nTo: bob@example.org\r\nSubject: s\r\nDate: Mon, 2 Nov 2026 12:00:00 +0000\r\n\r\nHi\r\n"
                codes = {
                    author: client.message("ann@example.com", ["bob@example.org"], letter % author.encode()).code
                    for author in (*KNOWN[::2], "eve@example.com", "*@example.com")
                }
            log = program.log()
    assert list(codes.values()) == [250, 250, 550, 550], log
    assert "Traceback" not in log
