"""The greylist check: who has to wait, by which triplet, and what the client reads."""

from __future__ import annotations

import dataclasses

import pytest

from antispam.checks import greylist
from antispam.deadline import Deadline
from antispam.journey.services import Services
from antispam.mail.access_map import AccessMap
from antispam.mail.connection import Connection
from antispam.mail.evidence import AuthFinding, ClientClass, ConnectionFinding, SpfFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Body, Message, Recipient
from antispam.mail.verdicts import CONTINUE, Action
from antispam.protocols.spf import Result, SpfResult
from antispam.settings import default_settings
from antispam.store import StoreError
from support.dns import ScriptedResolver

T0 = 1_700_000_000.0


def services(store, now=T0, **changes):
    settings = default_settings([greylist.Settings])
    settings = settings.replaced(dataclasses.replace(settings[greylist.Settings], **changes))
    return Services(
        settings=settings,
        resolver=ScriptedResolver({}),
        store=store,
        access=AccessMap(),
        clock=lambda: now,
        deadline=Deadline.after(5),
    )


def collect(services, ip="192.0.2.1", mail_from="a@example.org", to="b@example.com", found=(), name=""):
    connection = Connection(ref="c", ip=ip, name=name)
    message = Message("m", mail_from, T0, Body(1000), findings=Findings(None, found))
    return greylist.collect(connection, message, Recipient(to), services)


def decide(finding):
    return greylist.decide(finding, Findings(), greylist.Settings(), None)


def test_a_client_seen_for_the_first_time_is_asked_to_come_back_in_minutes(store):
    verdict = decide(collect(services(store)))
    assert (verdict.action, verdict.code, verdict.enhanced) == (Action.TEMPFAIL, 451, "4.7.1")
    assert "try again in 5 minutes" in verdict.text


def test_its_retry_in_time_passes(store):
    collect(services(store))
    assert decide(collect(services(store, T0 + 300))) is CONTINUE


def test_neighbours_in_the_network_count_as_one_client(store):
    collect(services(store), ip="192.0.2.1")
    assert decide(collect(services(store, T0 + 300), ip="192.0.2.200")) is CONTINUE
    collect(services(store), ip="2001:db8::1")
    assert decide(collect(services(store, T0 + 300), ip="2001:db8::ffff:1")) is CONTINUE


def test_a_provider_s_pool_counts_as_one_client_where_spf_passes(store):
    passed = SpfFinding(
        mailfrom=SpfResult(Result.PASS, "mailfrom", "example.org", "192.0.2.1", "a@example.org", "helo")
    )
    collect(services(store), ip="192.0.2.1", found=[passed])
    assert decide(collect(services(store, T0 + 300), ip="198.51.100.7", found=[passed])) is CONTINUE


@pytest.mark.parametrize(
    "case",
    [
        {"found": [ConnectionFinding(client=ClientClass.INTERNAL)]},
        {"found": [ConnectionFinding(client=ClientClass.TRUSTED_RELAY)]},
        {"found": [AuthFinding(login="bob")]},
        {"to": "Postmaster@example.com"},
        {"ip": ""},
    ],
    ids=["internal", "trusted relay", "authenticated", "postmaster", "no address"],
)
def test_nobody_asks_our_own_people_to_wait(store, case):
    assert collect(services(store), **case) is None


def test_exempt_clients_are_named_by_network_or_verified_host(store):
    exempt = services(store, exempt_clients=("203.0.113.0/24", "*.bank.example"))
    assert collect(exempt, ip="203.0.113.9") is None
    assert collect(exempt, name="mail.bank.example") is None
    assert collect(exempt) is not None


def test_a_database_that_is_gone_is_evidence_not_an_exception():
    class Gone:
        def write(self, deadline=None, patience=None):
            raise StoreError("disk I/O error")

        def upsert(self, *args, **kwargs):
            return None

    finding = collect(services(Gone()))
    assert "disk I/O error" in finding.error
