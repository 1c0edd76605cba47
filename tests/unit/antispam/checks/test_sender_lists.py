"""The sender on our lists."""

from __future__ import annotations

from typing import Any

import pytest

from antispam.checks._shared.bans import BanSettings
from antispam.checks.sender_lists import Finding, collect, decide, tidy
from antispam.mail.access_map import EMPTY
from antispam.mail.authors import is_whitelisted
from antispam.mail.connection import Connection
from antispam.mail.evidence import AuthFinding, ClientClass, ConnectionFinding, SpfFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Body, Message
from antispam.mail.verdicts import Action
from antispam.protocols.spf import Result, SpfResult
from antispam.store import Store
from antispam.store.lists import Kind, add, everything
from support.checking import services_of

NOW = 1_800_000_000.0
SENDER = "win@mail.spam.example"


def put(store: Store, kind: Kind, name: str, until: float | None = None) -> None:
    add(store, kind, name, reason="why", by="test", now=NOW, expires_at=until)


def message(*found: Any, sender: str = SENDER) -> Message:
    return Message("m", sender, 0.0, Body(1000), findings=Findings(None, found))


def found(store: Store, *findings: Any, sender: str = SENDER) -> Finding | None:
    services = services_of(BanSettings, store=store)
    return collect(Connection("c"), message(*findings, sender=sender), None, services)


def spf(result: Result) -> SpfFinding:
    return SpfFinding(mailfrom=SpfResult(result, "mailfrom", "mail.spam.example", "203.0.113.9", SENDER, "x.example"))


@pytest.mark.parametrize(
    ("kind", "name", "action"),
    [
        (Kind.BLACKLIST, SENDER, Action.REJECT),
        (Kind.BLACKLIST, "mail.spam.example", Action.REJECT),
        (Kind.BANNED_DOMAIN, "*.spam.example", Action.REJECT),
        (Kind.BANNED_DOMAIN, "spam.example", Action.CONTINUE),
        (Kind.WHITELIST, SENDER, Action.CONTINUE),
    ],
)
def test_what_an_entry_does(store: Store, kind: Kind, name: str, action: Action) -> None:
    put(store, kind, name)
    finding = found(store)
    assert finding is not None
    verdict = decide(finding, Findings(), BanSettings(), EMPTY)
    assert verdict.action is action
    assert verdict.demerits == (1 if action is Action.REJECT else 0)


def test_a_ban_goes_before_a_whitelist(store: Store) -> None:
    put(store, Kind.WHITELIST, SENDER)
    put(store, Kind.BANNED_DOMAIN, "*.spam.example")
    finding = found(store)
    assert finding is not None
    assert decide(finding, Findings(), BanSettings(), EMPTY).action is Action.REJECT


@pytest.mark.parametrize(
    ("finding", "counts"), [(spf(Result.PASS), True), (spf(Result.NEUTRAL), False), (spf(Result.FAIL), False)]
)
def test_the_whitelist_counts_for_a_proved_sender_only(finding: SpfFinding, counts: bool) -> None:
    assert is_whitelisted(message(Finding(whitelisted="ann wrote to it"), finding)) is counts


def test_nobody_is_whitelisted_who_stands_nowhere() -> None:
    assert not is_whitelisted(message(spf(Result.PASS)))
    assert not is_whitelisted(message(Finding(), spf(Result.PASS)))


@pytest.mark.parametrize("finding", [AuthFinding(login="ann"), ConnectionFinding(client=ClientClass.INTERNAL)])
def test_our_own_users_are_not_looked_for(store: Store, finding: Any) -> None:
    assert found(store, finding) is None


def test_the_null_sender_is_on_no_list(store: Store) -> None:
    assert found(store, sender="") is None


def test_without_a_database_a_finding_says_why(tmp_path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'empty.db'}")
    finding = found(store)
    assert finding is not None
    assert finding.error
    store.close()


def test_expired_entries_are_tidied_away(store: Store) -> None:
    put(store, Kind.WHITELIST, "a@b.example", until=NOW)
    services = services_of(BanSettings, store=store)
    assert [tidy(services), tidy(services)] == [True, False]
    assert everything(store) == []
