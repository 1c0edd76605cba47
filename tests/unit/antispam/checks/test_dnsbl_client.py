"""Lists that refuse a client as soon as it connects, and those that are asked ahead."""

from __future__ import annotations

import dataclasses

import pytest

from antispam.checks import dnsbl_client
from antispam.checks._shared.dnsbl.settings import DnsblSettings
from antispam.checks.dnsbl_client import applies, decide
from antispam.mail.connection import Connection
from antispam.mail.evidence import ClientClass, ConnectionFinding
from antispam.mail.findings import Findings
from antispam.mail.verdicts import Action
from antispam.settings import load_text
from support.checking import services_of
from support.dns import ScriptedResolver

CONFIG = """
[dnsbl]
zones = hard, soft, links
[dnsbl hard]
zone = hard.example
codes = 127.0.0.2 HARD 3, 127.0.0.3 GOOD -3
refuse = yes
[dnsbl soft]
zone = soft.example
[dnsbl links]
zone = links.example
about = links
"""


class Ahead(ScriptedResolver):
    def __init__(self, zones=None):
        super().__init__(zones)
        self.ahead = []

    def ask_all_ahead(self, questions, deadline):
        self.ahead += [name for name, _ in questions]


def judged(zones, client=ClientClass.EXTERNAL, ip="198.51.100.7", config=CONFIG):
    resolver = Ahead(zones)
    given = services_of(DnsblSettings, resolver=resolver)
    given = dataclasses.replace(given, settings=load_text(config, [DnsblSettings]))
    connection = Connection("c", ip=ip, findings=Findings(None, [ConnectionFinding(client=client, ip=ip)]))
    finding = dnsbl_client.collect(connection, None, None, given)
    verdict = decide(finding, Findings(), given.settings[DnsblSettings], None) if finding else None
    return resolver, verdict


def test_a_client_on_a_list_that_refuses_is_refused_with_its_name():
    _, verdict = judged({"7.100.51.198.hard.example": {"A": ["127.0.0.2"]}})
    assert (verdict.action, verdict.code, verdict.enhanced) == (Action.REJECT, 550, "5.7.1")
    assert "198.51.100.7 is on the block list hard.example" in verdict.text
    assert verdict.reason == "198.51.100.7 is on hard.example (HARD)"


def test_the_other_lists_are_asked_ahead_and_those_of_other_subjects_not():
    resolver, verdict = judged({"7.100.51.198.soft.example": {"A": ["127.0.0.2"]}})
    assert verdict is None
    assert resolver.ahead == ["7.100.51.198.soft.example"]
    assert resolver.asked == [("7.100.51.198.hard.example", "A")]


@pytest.mark.parametrize("answer", ["127.0.0.3", "127.0.0.1", "127.255.255.254", "192.0.2.66", "127.0.0.9"])
def test_a_good_word_a_refusal_to_serve_and_nonsense_refuse_nobody(answer):
    _, verdict = judged({"7.100.51.198.hard.example": {"A": [answer]}})
    assert verdict is None or verdict.action is Action.CONTINUE


@pytest.mark.parametrize("client", [ClientClass.INTERNAL, ClientClass.TRUSTED_RELAY])
def test_our_own_clients_are_not_asked_about(client):
    resolver, verdict = judged({"7.100.51.198.hard.example": {"A": ["127.0.0.2"]}}, client)
    assert (resolver.asked, resolver.ahead, verdict) == ([], [], None)


@pytest.mark.parametrize("ip", ["10.0.0.1", "127.0.0.1", "fe80::1", ""])
def test_addresses_that_everybody_has_are_not_asked_about(ip):
    resolver, _ = judged({}, ip=ip)
    assert (resolver.asked, resolver.ahead) == ([], [])


def test_silence_refuses_nobody():
    assert judged({"7.100.51.198.hard.example": "TIMEOUT"})[1] is None


def test_without_a_list_of_clients_there_is_nothing_to_ask():
    assert not applies(
        load_text("[dnsbl]\nzones = x\n[dnsbl x]\nzone = x.example\nabout = links", [DnsblSettings])[DnsblSettings]
    )
