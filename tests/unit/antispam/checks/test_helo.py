"""The rules for the HELO name."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antispam.checks import greeting, helo
from antispam.checks.helo import Form
from antispam.deadline import Deadline
from antispam.journey.services import Services
from antispam.mail.access_map import EMPTY, AccessMap
from antispam.mail.connection import Connection
from antispam.mail.evidence import ClientClass, ConnectionFinding
from antispam.mail.findings import Findings
from antispam.mail.remedies import Remedy
from antispam.mail.verdicts import Action, Verdict
from antispam.settings import default_settings, load_text
from support.dns import ScriptedResolver

SERVICES = Services(
    settings=default_settings([helo.Settings]),
    resolver=ScriptedResolver({}),
    store=None,
    access=AccessMap(),
    clock=lambda: 0.0,
    deadline=Deadline(1.0, clock=lambda: 0.0),  # never over, however long the run lasts
)


def judge(name: str, ip: str = "203.0.113.9", client: ClientClass = ClientClass.EXTERNAL, **rules: Any) -> Verdict:
    connection = Connection(
        "c", ip=ip, receiver="mx.example.com", helo=name, helos=1, macros={"{if_addr}": "192.0.2.25"}
    )
    finding = helo.collect(connection, None, None, SERVICES)
    found = Findings(None, [ConnectionFinding(client=client)])
    return helo.decide(finding, found, dataclasses.replace(helo.Settings(), **rules), EMPTY)


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("mail.example.org", Form.HOSTNAME),
        ("mail.example.org.", Form.HOSTNAME),
        ("mx_1.example.org", Form.HOSTNAME),
        ("bücher.example", Form.HOSTNAME),
        ("localhost", Form.UNQUALIFIED),
        ("[192.0.2.1]", Form.LITERAL),
        ("[IPv6:2001:db8::1]", Form.LITERAL),
        ("192.0.2.1", Form.NUMERIC),
        ("2001:db8::1", Form.NUMERIC),
        ("300.1.1.1", Form.NUMERIC),
        ("[192.0.2.1", Form.INVALID),
        ("[mail.example.org]", Form.INVALID),
        ("mail example.org", Form.INVALID),
        ("a..b", Form.INVALID),
        ("-a.example", Form.INVALID),
        ("", Form.INVALID),
        ("a\x00b.example", Form.INVALID),
        ("\udcff.example", Form.INVALID),
    ],
)
def test_the_form_of_a_name_is_recognised(name: str, form: Form) -> None:
    assert helo.classify(name) is form


@pytest.mark.parametrize(
    "name", ["192.0.2.1", "mail example.org", "mx.example.com", "MX.Example.COM.", "[192.0.2.25]", "-", ""]
)
def test_names_that_no_honest_server_says_are_refused_by_default(name: str) -> None:
    assert judge(name).action is Action.REJECT


@pytest.mark.parametrize("name", ["mail.example.org", "localhost", "WIN-PC7", "[203.0.113.9]", "[192.168.1.5]"])
def test_names_that_honest_servers_say_pass_by_default(name: str) -> None:
    assert judge(name).action is Action.CONTINUE


@pytest.mark.parametrize("name", ["example.com", "EXAMPLE.com.", "any.sub.example.net", "[66.12.34.56]", "66.12.34.56"])
def test_nobody_outside_has_a_name_of_the_blacklist(name: str) -> None:
    verdict = judge(name, hello_blacklist=("example.com", "*.example.net", "66.12.34.56"), numeric=Remedy.IGNORE)
    assert verdict.action is Action.REJECT
    assert "another that your server cannot have" in verdict.text


@pytest.mark.parametrize("client", [ClientClass.INTERNAL, ClientClass.TRUSTED_RELAY])
@pytest.mark.parametrize("name", ["192.0.2.1", "mx.example.com", "printer in the hall", "example.com"])
def test_clients_inside_call_themselves_what_they_like(name: str, client: ClientClass) -> None:
    assert judge(name, client=client, hello_blacklist=("example.com",)).action is Action.CONTINUE


@pytest.mark.parametrize("ip", ["192.0.2.25", "127.0.0.1", "127.3.2.1", "::1"])
def test_our_own_address_may_call_itself_by_our_name(ip: str) -> None:
    """Loopback is our own machine, also where a site does not call it internal."""
    assert judge("mx.example.com", ip=ip).action is Action.CONTINUE


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        ("own_name", "mx.example.com"),
        ("numeric", "192.0.2.1"),
        ("invalid", "a b"),
        ("literal_mismatch", "[192.0.2.1]"),
        ("unqualified", "localhost"),
    ],
)
@pytest.mark.parametrize(
    ("answer", "action"),
    [
        (Remedy.IGNORE, Action.CONTINUE),
        (Remedy.QUARANTINE, Action.QUARANTINE),
        (Remedy.TEMPFAIL, Action.TEMPFAIL),
        (Remedy.REJECT, Action.REJECT),
    ],
)
def test_each_rule_has_its_own_answer(rule: str, name: str, answer: Remedy, action: Action) -> None:
    assert judge(name, **{rule: answer}).action is action


def test_an_ignored_rule_leaves_the_next_one_its_say() -> None:
    verdict = judge("66.12.34.56", hello_blacklist=("66.12.34.56",), blacklisted=Remedy.IGNORE)
    assert "bare IP address" in verdict.text


def test_the_refusal_names_what_was_said_and_what_to_do() -> None:
    text = judge("192.0.2.1").text
    assert "203.0.113.9" in text
    assert "192.0.2.1" in text
    assert "its own full host name" in text


def test_a_mapped_client_address_matches_its_own_literal() -> None:
    assert judge("[203.0.113.9]", ip="::ffff:203.0.113.9", literal_mismatch=Remedy.REJECT).action is Action.CONTINUE


@given(st.text(alphabet=st.characters(codec=None), max_size=2000))
def test_no_name_makes_the_check_raise_or_the_reply_unsafe(name: str) -> None:
    """Control characters, lone surrogates, line ends."""
    for line in judge(name).reply_lines("ref"):
        assert line.isascii()
        assert line.isprintable()


def test_a_finding_with_undecodable_octets_can_be_stored() -> None:
    finding = helo.collect(Connection("c", ip="203.0.113.9", helo="\udcff\x00x"), None, None, SERVICES)
    assert helo.Finding.from_json(finding.to_json()) == finding


def test_upstreams_hello_blacklist_is_read_from_milter() -> None:
    text = "[milter]\nhello_blacklist = mycorp.com, 66.12.34.56\n[helo]\nunqualified = reject\n"
    settings = load_text(text, [helo.Settings, greeting.Settings])[helo.Settings]
    assert settings.hello_blacklist == ("mycorp.com", "66.12.34.56")
    assert settings.unqualified is Remedy.REJECT
