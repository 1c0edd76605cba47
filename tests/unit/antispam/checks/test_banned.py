"""Banned clients, and how one comes to be banned."""

from __future__ import annotations

from typing import Any

import pytest

from antispam.accessmap import EMPTY
from antispam.bans import BanSettings, ban_client, ban_sender, widened
from antispam.checks.banned import Finding, collect, decide, offended
from antispam.connection import Connection
from antispam.evidence import AuthFinding, ClientClass, ConnectionFinding
from antispam.findings import Findings
from antispam.message import Body, Message
from antispam.store import Store, migrate
from antispam.store.lists import Kind, everything, find
from antispam.verdicts import BAN, Action, reject
from support.checks import services_of

NOW = 1_800_000_000.0
DAY = 86400.0
REFUSED = reject("No.", "no user x@example.com", demerits=1)


@pytest.fixture
def store(tmp_path):
    url = f"sqlite:///{tmp_path / 'test.db'}"
    migrate(url)
    store = Store(url)
    yield store
    store.close()


def services(store: Store | None, config: str = "max_demerits = 3") -> Any:
    return services_of(BanSettings, "milter", config, store=store)


def connection(kind: ClientClass = ClientClass.EXTERNAL, demerits: int = 0, ip: str = "203.0.113.9") -> Connection:
    findings = Findings(None, [ConnectionFinding(client=kind)])
    return Connection("c", ip=ip, findings=findings, demerits=demerits)


def conclude(store: Store, who: Connection, config: str = "max_demerits = 3", *found: Any) -> None:
    message = Message("m", "x@example.org", 0.0, Body(1000), findings=Findings(who.findings, found))
    finding = collect(who, None, None, services(store, config))
    assert finding is not None
    offended(finding, who, message, REFUSED, services(store, config))


def banned(store: Store) -> list[str]:
    return [entry.name for entry in everything(store, [Kind.BANNED_IP])]


def test_a_client_with_enough_demerits_is_banned_and_refused_the_next_time(store: Store) -> None:
    conclude(store, connection(demerits=3))
    finding = collect(connection(), None, None, services(store))
    assert isinstance(finding, Finding)
    verdict = decide(finding, Findings(), BanSettings(), EMPTY)
    assert verdict.action is Action.REJECT
    assert "3 offences: no user x@example.com" in verdict.text


def test_what_follows_on_the_same_connection_is_refused_too(store: Store) -> None:
    who = connection(demerits=3)
    conclude(store, who)
    (decision,) = who.decisions
    assert decision.stops
    assert decision.verdict.action is Action.REJECT
    assert "shut out for a time: 3 offences" in decision.verdict.text


def test_fewer_demerits_are_forgiven(store: Store) -> None:
    conclude(store, connection(demerits=2))
    assert banned(store) == []


def test_without_a_limit_offences_ban_nobody_but_the_access_map_does(store: Store) -> None:
    conclude(store, connection(demerits=1_000), "")
    assert banned(store) == []
    conclude(store, connection(demerits=BAN), "")
    assert banned(store) == ["203.0.113.9"]


def test_who_authenticated_is_not_banned(store: Store) -> None:
    conclude(store, connection(demerits=9), "max_demerits = 3", AuthFinding(login="ann"))
    assert banned(store) == []


@pytest.mark.parametrize("kind", [ClientClass.INTERNAL, ClientClass.TRUSTED_RELAY])
def test_our_own_clients_are_never_asked_about(store: Store, kind: ClientClass) -> None:
    assert collect(connection(kind), None, None, services(store)) is None


def test_one_connection_is_banned_once_for_the_same_demerits(store: Store) -> None:
    who = connection(demerits=3)
    conclude(store, who)
    conclude(store, who)
    assert everything(store)[0].offences == 1


def test_each_ban_is_longer_than_the_one_before(store: Store) -> None:
    days = []
    for _ in range(6):
        ban_client(store, BanSettings(), "203.0.113.9", "why", "test", NOW)
        (entry,) = everything(store)
        assert entry.expires_at is not None
        days.append((entry.expires_at - NOW) / DAY)
    assert days == [1, 2, 4, 8, 8, 8]


def test_a_ban_ends(store: Store) -> None:
    ban_client(store, BanSettings(), "203.0.113.9", "why", "test", NOW - 2 * DAY)
    finding = collect(connection(), None, None, services(store))
    assert finding is not None
    assert decide(finding, Findings(), BanSettings(), EMPTY).action is Action.CONTINUE


def test_a_client_without_an_address_is_not_banned(store: Store) -> None:
    conclude(store, connection(demerits=9, ip=""))
    assert banned(store) == []


def test_without_a_database_a_finding_says_why(tmp_path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'empty.db'}")
    finding = collect(connection(), None, None, services(store))
    assert finding is not None
    assert finding.error
    store.close()


@pytest.mark.parametrize(
    ("proved", "author", "kind", "name"),
    [
        ("spam.example", "win@spam.example", Kind.BANNED_DOMAIN, "spam.example"),
        ("mx3.spam.example", "win@mx3.spam.example", Kind.BANNED_DOMAIN, "*.spam.example"),
        ("gmail.com", "win@gmail.com", Kind.BLACKLIST, "win@gmail.com"),
    ],
)
def test_a_reported_sender(store: Store, proved: str, author: str, kind: Kind, name: str) -> None:
    assert ban_sender(store, BanSettings(), proved, author, "ann", NOW) == name
    assert [entry.kind for entry in find(store, [(kind, author if "@" in name else proved)], NOW)] == [kind]


@pytest.mark.parametrize(("proved", "author"), [("", "x@y.example"), ("com", "x@com"), ("gmail.com", "x@bank.example")])
def test_who_is_not_proved_is_not_banned(store: Store, proved: str, author: str) -> None:
    assert ban_sender(store, BanSettings(), proved, author, "ann", NOW) == ""
    assert everything(store) == []


@pytest.mark.parametrize(
    ("domain", "name"),
    [("smtp12.a.b.example", "*.a.b.example"), ("mx.spam.example", "mx.spam.example"), ("mx1.example", "mx1.example")],
)
def test_one_of_many_servers_stands_for_all(domain: str, name: str) -> None:
    assert widened(domain) == name
