"""Banned clients, and how one comes to be banned."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from antispam.checks import sender_domain
from antispam.checks._shared.bans import BanSettings, ban_client, ban_reported, ban_sender, our_domains, widened
from antispam.checks.banned import Finding, collect, decide, offended
from antispam.mail.access_map import EMPTY
from antispam.mail.connection import Connection
from antispam.mail.evidence import AuthFinding, ClientClass, ConnectionFinding, SenderListFinding, SpfFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Body, Message
from antispam.mail.verdicts import BAN, Action, reject
from antispam.protocols.spf import Result, SpfResult
from antispam.settings import load_text
from antispam.store import Store
from antispam.store.lists import Kind, add, everything, find
from antispam.store.schema import history
from support.checking import services_of

NOW = 1_800_000_000.0
DAY = 86400.0
REFUSED = reject("No.", "no user x@example.com", demerits=1)


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
    assert "temporarily blocked: 3 offences" in decision.verdict.text


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


@pytest.mark.parametrize(
    "ip", ["127.0.0.1", "10.1.2.3", "172.17.0.1", "192.168.1.1", "100.64.0.1", "::1", "fd00::1", "fe80::1"]
)
def test_a_private_address_that_may_stand_for_everybody_is_not_banned(store: Store, ip: str) -> None:
    """A proxy, or the gateway of a container: its connection is refused, but the next is somebody else's."""
    who = connection(demerits=9, ip=ip)
    conclude(store, who)
    assert banned(store) == []
    assert who.decisions[0].verdict.action is Action.REJECT


def spf(domain: str, result: Result = Result.PASS) -> SpfFinding:
    return SpfFinding(mailfrom=SpfResult(result, "mailfrom", domain, "203.0.113.9", f"x@{domain}", f"mail.{domain}"))


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("", [spf("gmail.com")]),
        ("mail-yw1-f43.google.com", []),
        ("", [SpfFinding(forwarder="careerbuilder.com")]),
        ("", [spf("example.org"), SenderListFinding(sender="x@example.org", whitelisted="ann wrote to it")]),
    ],
)
def test_who_has_many_users_is_not_taken_away_from_all_by_one(store: Store, name: str, found: list[Any]) -> None:
    """He tries unknown users by way of a provider, a forwarder, or a server that our users write to."""
    who = connection(demerits=9)
    who.name = name
    conclude(store, who, "max_demerits = 3", *found)
    assert banned(store) == []
    assert who.decisions == []


@pytest.mark.parametrize(
    "found",
    [
        [],
        [spf("gmail.example")],
        [spf("gmail.com", Result.FAIL)],
        [SenderListFinding(sender="x@example.org", whitelisted="ann wrote to it")],
        [SpfFinding(), SenderListFinding(sender="x@example.org", whitelisted="ann wrote to it")],
    ],
)
def test_a_name_that_nothing_proves_spares_nobody(store: Store, found: list[Any]) -> None:
    conclude(store, connection(demerits=9), "max_demerits = 3", *found)
    assert banned(store) == ["203.0.113.9"]


def test_the_line_of_a_providers_customer_is_no_server_of_many(store: Store) -> None:
    who = connection(demerits=9)
    who.name = "c-203-0-113-9.hsd1.ca.comcast.net"
    who.findings = Findings(None, [ConnectionFinding(client=ClientClass.EXTERNAL, dynamic=True)])
    conclude(store, who)
    assert banned(store) == ["203.0.113.9"]


def test_the_access_map_bans_a_server_of_many_too(store: Store) -> None:
    conclude(store, connection(demerits=BAN), "", spf("gmail.com"))
    assert banned(store) == ["203.0.113.9"]


def test_several_connections_at_once_are_one_ban(store: Store) -> None:
    for who in [connection(demerits=3) for _ in range(3)]:
        conclude(store, who)
    (entry,) = everything(store)
    assert (entry.offences, entry.expires_at) == (1, NOW + DAY)


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
        ("mx3.gmail.com", "", Kind.BANNED_DOMAIN, "mx3.gmail.com"),
        ("mail1.co.uk", "win@mail1.co.uk", Kind.BANNED_DOMAIN, "mail1.co.uk"),
    ],
)
def test_a_reported_sender(store: Store, proved: str, author: str, kind: Kind, name: str) -> None:
    assert ban_sender(store, BanSettings(), proved, author, "ann", NOW) == name
    assert [entry.kind for entry in find(store, [(kind, author if "@" in name else proved)], NOW)] == [kind]


@pytest.mark.parametrize(
    ("proved", "author"),
    [
        ("", "x@y.example"),
        ("com", "x@com"),
        ("gmail.com", "x@bank.example"),
        ("gmail.com", '""@gmail.com'),
        ("gmail.com", "@gmail.com"),
    ],
)
def test_who_is_not_proved_is_not_banned(store: Store, proved: str, author: str) -> None:
    assert ban_sender(store, BanSettings(), proved, author, "ann", NOW) == ""
    assert everything(store) == []


@pytest.mark.parametrize(
    ("domain", "name"),
    [
        ("smtp12.a.b.example", "*.a.b.example"),
        ("mx.spam.example", "mx.spam.example"),
        ("mx1.example", "mx1.example"),
        ("mx1.spam.co.uk", "*.spam.co.uk"),
    ],
)
def test_one_of_many_servers_stands_for_all(domain: str, name: str) -> None:
    assert widened(domain) == name


@pytest.mark.parametrize("domain", ["mx1.co.uk", "mail2.com.br", "smtp1.ne.jp", "mx7.gouv.fr"])
def test_nobody_gets_the_domain_of_a_registry_banned(domain: str) -> None:
    assert widened(domain) == domain


@pytest.mark.parametrize("listed", ["partner.example", "news@partner.example"])
def test_what_an_administrator_whitelisted_no_user_bans(store: Store, listed: str) -> None:
    add(store, Kind.WHITELIST, listed, reason="by hand", by="command", now=NOW)
    assert ban_sender(store, BanSettings(), "partner.example", "news@partner.example", "ann", NOW) == ""


def test_to_have_been_written_to_protects_from_no_ban(store: Store) -> None:
    add(store, Kind.WHITELIST, "win@spam.example", reason="ann wrote to it", by="x", now=NOW, expires_at=NOW + 60)
    assert ban_sender(store, BanSettings(), "spam.example", "win@spam.example", "ann", NOW) == "spam.example"


@pytest.mark.parametrize("sender", ["boss@example.com", "boss@mail.example.com"])
def test_nobody_gets_our_own_domain_banned(store: Store, sender: str) -> None:
    finding = spf(sender.partition("@")[2])
    row = dict.fromkeys(("node", "queue_id", "client_ip", "client_name", "helo", "mail_from", "action", "reason"), "")
    row |= {"ref": "ref", "received_at": NOW, "size": 0, "code": 0, "recipients": "[]", "decisions": "[]"}
    with store.write() as database:
        findings = Findings(None, [finding]).to_builtins()
        database.execute(sa.insert(history).values(**row, findings=msgspec.json.encode(findings).decode()))
    assert ban_reported(store, BanSettings(), "ref", "ann", NOW, ["example.com"]) == ""
    assert ban_reported(store, BanSettings(), "ref", "ann", NOW, []) != ""


def test_our_domains_are_known_from_whatever_section_has_them() -> None:
    settings = load_text("[milter]\ninternal_domains = Example.com, *.example.net", [sender_domain.Settings])
    assert our_domains(settings) == ("example.com", "example.net")
