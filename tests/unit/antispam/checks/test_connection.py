"""Who the client is to us, and what its reverse name tells."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from antispam.checks import connection as connection_check
from antispam.deadline import Deadline
from antispam.journey.services import Services
from antispam.mail.access_map import EMPTY, AccessMap
from antispam.mail.connection import Connection
from antispam.mail.evidence import ClientClass, ConnectionFinding
from antispam.mail.findings import Findings
from antispam.mail.verdicts import CONTINUE, Action
from antispam.settings import SettingsError, default_settings, load_text
from support.dns import ScriptedResolver


def services(**changes: Any) -> Services:
    settings = default_settings([connection_check.Settings])
    settings = settings.replaced(dataclasses.replace(settings[connection_check.Settings], **changes))
    return Services(
        settings=settings,
        resolver=ScriptedResolver({}),
        store=None,
        access=AccessMap(),
        clock=lambda: 0.0,
        deadline=Deadline.after(60),
    )


def collect(connection: Connection, **changes: Any) -> ConnectionFinding:
    return connection_check.collect(connection, None, None, services(**changes))


LISTS = {
    "internal_connect": ("192.168.0.0/16", "127.*", "2001:db8:1::/48", "*.inside.example"),
    "trusted_relay": ("192.168.7.25", "mx2.example.com"),
}


@pytest.mark.parametrize(
    ("ip", "name", "client"),
    [
        ("192.168.1.2", "", ClientClass.INTERNAL),
        ("127.0.0.1", "localhost", ClientClass.INTERNAL),
        ("2001:db8:1::5", "", ClientClass.INTERNAL),
        ("203.0.113.9", "pc.inside.example", ClientClass.INTERNAL),
        ("192.168.7.25", "", ClientClass.TRUSTED_RELAY),
        ("198.51.100.2", "mx2.example.com", ClientClass.TRUSTED_RELAY),
        ("203.0.113.9", "mail.example.org", ClientClass.EXTERNAL),
        ("", "", ClientClass.EXTERNAL),
    ],
)
def test_the_class_follows_the_lists_and_the_relay_wins(ip: str, name: str, client: ClientClass) -> None:
    assert collect(Connection("c", ip=ip, name=name), **LISTS).client is client


def test_a_name_that_only_the_clients_own_reverse_zone_says_opens_no_door() -> None:
    connection = Connection("c", ip="203.0.113.9", ptr="pc.inside.example", resolve="FORGED")
    assert collect(connection, **LISTS).client is ClientClass.EXTERNAL


def test_by_default_only_this_machine_is_internal() -> None:
    assert collect(Connection("c", ip="::1")).client is ClientClass.INTERNAL
    assert collect(Connection("c", ip="192.168.1.2")).client is ClientClass.EXTERNAL


@pytest.mark.parametrize(
    ("connection", "iprev"),
    [
        (Connection("c", ip="203.0.113.9", name="mail.example.org", resolve="OK"), "pass"),
        (Connection("c", ip="203.0.113.9", ptr="mail.example.org", resolve="FORGED"), "fail"),
        (Connection("c", ip="203.0.113.9", resolve="TEMP"), "temperror"),
        (Connection("c", ip="203.0.113.9", resolve="FAIL"), "permerror"),
        (Connection("c", ip="203.0.113.9", name="mail.example.org"), "pass"),
        (Connection("c", ip="203.0.113.9", ptr="mail.example.org"), "fail"),
        (Connection("c", ip="203.0.113.9"), "permerror"),
    ],
)
def test_iprev_is_what_the_mta_found(connection: Connection, iprev: str) -> None:
    assert collect(connection).iprev == iprev


@pytest.mark.parametrize(
    ("name", "resolve", "dynamic"),
    [
        ("mail.example.org", "OK", False),
        ("203-0-113-9.adsl.example.net", "OK", True),
        ("", "FAIL", True),
        ("", "TEMP", False),
    ],
)
def test_a_pooled_or_missing_name_is_dynamic_one_that_is_merely_late_is_not(
    name: str, resolve: str, dynamic: bool
) -> None:
    assert collect(Connection("c", ip="203.0.113.9", name=name, resolve=resolve)).dynamic is dynamic


def decide(connection: Connection, **changes: Any) -> Action:
    settings = services(**changes).settings[connection_check.Settings]
    finding = collect(connection, **changes)
    return connection_check.decide(finding, Findings(), settings, EMPTY).action


@pytest.mark.parametrize("ptr", ["localhost", "LOCALHOST.", "."])
def test_a_stranger_called_localhost_is_refused(ptr: str) -> None:
    assert decide(Connection("c", ip="203.0.113.9", ptr=ptr)) is Action.REJECT


def test_the_refusal_tells_what_to_do() -> None:
    finding = collect(Connection("c", ip="203.0.113.9", ptr="localhost"))
    verdict = connection_check.decide(finding, Findings(), connection_check.Settings(), EMPTY)
    assert "203.0.113.9" in verdict.text
    assert "proper host name" in verdict.text


def test_the_real_localhost_and_an_administrator_who_does_not_mind_are_not() -> None:
    assert decide(Connection("c", ip="127.0.0.1", ptr="localhost")) is Action.CONTINUE
    stranger = Connection("c", ip="203.0.113.9", ptr="localhost")
    assert decide(stranger, localhost_ptr=connection_check.Remedy.IGNORE) is Action.CONTINUE


def test_everybody_else_goes_on() -> None:
    finding = collect(Connection("c", ip="203.0.113.9", ptr="mail.example.org"))
    assert connection_check.decide(finding, Findings(), connection_check.Settings(), EMPTY) is CONTINUE


def test_upstreams_options_are_read_where_upstream_has_them() -> None:
    text = "[milter]\ninternal_connect = 192.168.0.0/16,127.*\ntrusted_relay = 1.2.3.4, 66.12.34.56\n"
    settings = load_text(text, [connection_check.Settings])[connection_check.Settings]
    assert settings.trusted_relay == ("1.2.3.4", "66.12.34.56")


def test_a_network_that_is_none_is_an_error_with_its_line() -> None:
    with pytest.raises(SettingsError, match=r"milter.cfg:2: .*10\.0\.0\.0/33"):
        load_text("[milter]\ninternal_connect = 10.0.0.0/33\n", [connection_check.Settings])


def test_the_finding_is_stored_and_read_back() -> None:
    finding = collect(Connection("c", ip="203.0.113.9", name="mail.example.org"))
    assert ConnectionFinding.from_json(finding.to_json()) == finding
