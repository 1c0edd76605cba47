"""Directories of authors: what is asked, that nothing of a mail becomes part of the question, and what failures are."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import ldap3
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from ldap3.core.exceptions import LDAPSocketOpenError

from antispam.checks._shared.author_directories import (
    DirectoryError,
    LdapDirectory,
    LdapPlace,
    Question,
    SqlDirectory,
    SqlPlace,
    escaped,
    filter_for,
)
from antispam.deadline import Deadline
from antispam.net.addresses import Mailbox, parse_mailbox
from antispam.store.engine import Breaker
from support.patience import PATIENCE, quickest, took

pytestmark = pytest.mark.every_database

SLOW = {
    "postgresql": "SELECT pg_sleep(30) WHERE :domain <> ''",
    "mysql": "SELECT SLEEP(30) FROM DUAL WHERE :domain <> ''",
}
HOSTILE = ["x' OR '1'='1", "*)(uid=*", "a\\2a", "a\x00b", "ann@example.com\n", "%s", ":domain", "é", "(", "\u202e"]


def ask(author: str, sender: str = "", login: str = "") -> Question:
    return Question(parse_mailbox(author), sender, login)


@pytest.fixture
def database(tmp_path: Path) -> str:
    file = tmp_path / "site.sqlite"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE TABLE domains (name TEXT)")
        connection.execute("INSERT INTO domains VALUES ('example.com')")
        connection.execute("CREATE TABLE aliases (alias TEXT, owner TEXT)")
        connection.execute("INSERT INTO aliases VALUES ('ann@example.com', 'ann')")
    connection.close()
    return f"sqlite:///{file}"


DOMAINS = "SELECT 1 FROM domains WHERE name = :domain"
ALIASES = "SELECT 1 FROM aliases WHERE alias = :address AND owner = :login"


Sql = Callable[..., SqlDirectory]


@pytest.fixture
def sql() -> Iterator[Sql]:
    """Makes directories, and closes them."""
    with contextlib.ExitStack() as stack:

        def make(url: str, query: str = DOMAINS, timeout: float = PATIENCE, **more: Any) -> SqlDirectory:
            return stack.enter_context(contextlib.closing(SqlDirectory(SqlPlace(url, query, timeout), **more)))

        yield make


def test_sql_answers_each_question(sql: Sql, database: str) -> None:
    questions = [ask("ann@Example.COM"), ask("ann@example.org"), ask("bob@example.com")]
    assert sql(database).known(questions, Deadline.after(60)) == [True, False, True]


def test_sql_can_ask_for_the_address_of_a_login(sql: Sql, database: str) -> None:
    questions = [ask("Ann@example.com", login="ann"), ask("ann@example.com", login="bob")]
    assert sql(database, ALIASES).known(questions, Deadline.after(60)) == [True, False]


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_in_an_address_becomes_sql(sql: Sql, database: str, text: str) -> None:
    questions = [Question(Mailbox(text, text), text, text), ask("ann@example.com")]
    assert sql(database).known(questions, Deadline.after(60)) == [False, True]


def test_a_database_without_the_table_is_an_error_and_no_answer(sql: Sql, tmp_path: Path) -> None:
    with pytest.raises(DirectoryError, match="no such table"):
        sql(f"sqlite:///{tmp_path}/empty.sqlite").known([ask("ann@example.com")], Deadline.after(60))


def test_a_statement_that_takes_too_long_is_given_up(sql: Sql, database: str) -> None:
    endless = """WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
        SELECT count(*) FROM n WHERE i <> :domain"""
    with pytest.raises(DirectoryError, match="interrupted"):
        sql(database, endless).known([ask("ann@example.com")], Deadline.after(0.2))


def test_a_database_that_fails_is_left_alone_for_a_while(sql: Sql, tmp_path: Path) -> None:
    breaker = Breaker(threshold=1)
    directory = sql(f"sqlite:///{tmp_path}/none/there.sqlite", breaker=breaker)
    for reason in ("unable to open", "waiting before the next try"):
        with pytest.raises(DirectoryError, match=reason):
            directory.known([ask("ann@example.com")], Deadline.after(60))


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (SqlPlace("nonsense", DOMAINS), "sql_url"),
        (SqlPlace("sqlite://", "SELECT 1"), "must ask for"),
        (SqlPlace("sqlite://", "SELECT 1 WHERE :domain = :password"), "not :password"),
    ],
)
def test_a_place_that_cannot_be_meant_is_told(place: SqlPlace, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        place.check()


LDAP = LdapPlace("ldap://directory.example", "dc=site", "(&(objectClass=mailUser)(mail=%s))")


def offline(place: LdapPlace, seconds: float) -> Any:
    """ldap3's own stand-in for a server."""
    connection = ldap3.Connection(
        ldap3.Server("fake"), user="cn=filter,dc=site", password="x", client_strategy=ldap3.MOCK_SYNC
    )
    entries = {"ann": "ann@example.com", "bob": "bob@example.com", "odd": "a*b@example.com"}
    connection.strategy.add_entry("cn=filter,dc=site", {"userPassword": "x", "sn": "filter"})
    for name, mail in entries.items():
        connection.strategy.add_entry(f"uid={name},dc=site", {"objectClass": "mailUser", "mail": mail, "sn": name})
    connection.bind()
    return connection


def test_ldap_answers_each_question() -> None:
    directory = LdapDirectory(LDAP, offline)
    questions = [ask("Ann@example.com"), ask("eve@example.com"), ask("a*b@example.com")]
    assert directory.known(questions, Deadline.after(60)) == [True, False, True]


@pytest.mark.parametrize("author", ["*@example.com", "a*@example.com", "*)(mail=*@example.com", "ann\\2a@example.com"])
def test_nothing_in_an_address_becomes_a_filter(author: str) -> None:
    assert LdapDirectory(LDAP, offline).known([ask(author)], Deadline.after(60)) == [False]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_nobody_can_be_called_is_not_searched_for(text: str) -> None:
    assert LdapDirectory(LDAP, offline).known([Question(Mailbox(text, text))], Deadline.after(60)) == [False]


def test_ldap_that_is_down_is_an_error_and_then_left_alone() -> None:
    def refused(place: LdapPlace, seconds: float) -> Any:
        raise LDAPSocketOpenError("connection refused")

    directory = LdapDirectory(LDAP, refused, Breaker(threshold=1))
    for reason in ("connection refused", "waiting before the next try"):
        with pytest.raises(DirectoryError, match=reason):
            directory.known([ask("ann@example.com")], Deadline.after(60))


def test_nobody_listens_at_the_address() -> None:
    place = dataclasses.replace(LDAP, url="ldap://127.0.0.1:1")
    with pytest.raises(DirectoryError, match="LDAPSocketOpenError"):
        LdapDirectory(place).known([ask("ann@example.com")], Deadline.after(60))


def test_a_server_that_hangs_up_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = dataclasses.replace(LDAP, url=f"ldap://127.0.0.1:{server.getsockname()[1]}")
        hanging_up = threading.Thread(target=lambda: server.accept()[0].close())
        hanging_up.start()
        with pytest.raises(DirectoryError, match="LDAPS"):
            LdapDirectory(place).known([ask("ann@example.com")], Deadline.after(2.5))
        hanging_up.join()


def test_a_password_that_can_not_be_read_any_more_is_an_error_of_the_directory() -> None:
    """The configuration was read by root, and this is a worker who may not."""
    place = dataclasses.replace(LDAP, bind_dn="cn=x", password_file=Path("/nonexistent/password"))
    with pytest.raises(DirectoryError, match="cannot be read"):
        LdapDirectory(place).known([ask("ann@example.com")], Deadline.after(60))


def test_a_search_that_the_server_refuses_is_an_error_and_no_answer() -> None:
    class Refusing:
        result = {"result": 50, "description": "insufficientAccessRights"}  # noqa: RUF012
        response = None

        def search(self, *args: Any, **more: Any) -> None:
            pass

        def unbind(self) -> None:
            pass

    with pytest.raises(DirectoryError, match="insufficientAccessRights"):
        LdapDirectory(LDAP, lambda place, seconds: Refusing()).known([ask("ann@example.com")], Deadline.after(60))


def test_a_filter_gets_the_parts_of_the_address_escaped() -> None:
    question = ask("a(b*@example.com")
    assert filter_for("(|(m=%s)(u=%u)(d=%d)(p=100%%))", question) == (
        r"(|(m=a\28b\2a\40example\2ecom)(u=a\28b\2a)(d=example\2ecom)(p=100%))"
    )


@given(st.text(max_size=50).filter(lambda text: not any(0xD800 <= ord(char) <= 0xDFFF for char in text)))
def test_an_escaped_value_has_nothing_that_means_something_in_a_filter(text: str) -> None:
    assert not set(escaped(text)) - set("\\0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"url": "http://x"}, "ldap_url"),
        ({"filter": "mail=%s"}, "parentheses"),
        ({"filter": "(mail=ann)"}, "must ask for"),
        ({"filter": "(mail=%x%s)"}, "%x is not one of"),
        ({"bind_dn": "cn=x"}, "need one another"),
        ({"bind_dn": "cn=x", "password_file": Path("/nonexistent/password")}, "cannot be read"),
        ({"bind_dn": "cn=x", "password_file": Path("/dev/null")}, "not a regular file"),
    ],
)
def test_an_ldap_place_that_cannot_be_meant_is_told(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(LDAP, **changes).check()


def test_without_the_library_the_configuration_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ValueError, match=r"bms-antispam\[ldap\]"):
        LDAP.check()


def test_servers_are_limited_to_the_time_that_is_left(sql: Sql, database: str) -> None:
    """A connection that others hold is waited for no longer than that."""
    directory = sql(database)
    held = [directory._free.acquire(blocking=False) for _ in range(4)]
    assert all(held)
    with pytest.raises(DirectoryError, match="in use"):
        directory.known([ask("ann@example.com")], Deadline.after(0.05))


def test_the_query_is_a_constant(sql: Sql, database: str) -> None:
    assert isinstance(sql(database)._query, sa.TextClause)


def test_every_database_of_the_store_can_be_asked_and_gives_a_slow_statement_up(
    sql: Sql, empty_database_url: str
) -> None:
    engine = sa.create_engine(empty_database_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE domains (name VARCHAR(255))")
        connection.exec_driver_sql("INSERT INTO domains VALUES ('example.com')")
    engine.dispose()
    SqlPlace(empty_database_url, DOMAINS).check()
    asked = [ask("ann@example.com"), ask("ann@example.org"), *(Question(Mailbox(text, text)) for text in HOSTILE)]
    assert sql(empty_database_url).known(asked, Deadline.after(60)) == [True, *[False] * (len(asked) - 1)]
    slow = SLOW.get(engine.dialect.name)
    if slow is not None:
        directory = sql(empty_database_url, slow, timeout=1.0)

        def give_up() -> None:
            with pytest.raises(DirectoryError):
                directory.known(asked[:1], Deadline.after(PATIENCE))

        assert quickest(lambda: took(give_up), limit=5) < 5
