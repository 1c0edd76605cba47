"""The greylist check: who has to wait, by which triplet, and what the client reads."""

from __future__ import annotations

import dataclasses
import re

import pytest

from antispam.checks import greylist
from antispam.checks._shared.reputation.votes import REACHED_END
from antispam.deadline import Deadline
from antispam.journey.services import Services
from antispam.mail.access_map import AccessMap
from antispam.mail.connection import Connection
from antispam.mail.evidence import (
    AuthFinding,
    ClientClass,
    ConnectionFinding,
    ReputationFinding,
    SignedReputationFinding,
    SpfFinding,
)
from antispam.mail.findings import Findings
from antispam.mail.message import Body, Message, Recipient
from antispam.mail.verdicts import CONTINUE, Action, tempfail
from antispam.protocols.spf import Result, SpfResult
from antispam.settings import default_settings
from support.dns import ScriptedResolver
from support.gone import Gone

T0 = 1_700_000_000.0
HOUR, DAY = 3600.0, 86400.0


def services(store, now=T0, **changes):
    settings = default_settings([greylist.Settings])
    settings = settings.replaced(dataclasses.replace(settings[greylist.Settings], **changes))
    return Services(
        settings=settings,
        resolver=ScriptedResolver({}),
        store=store,
        access=AccessMap(),
        clock=lambda: now,
        deadline=Deadline.after(60),
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
    finding = collect(services(Gone()))
    assert "disk I/O error" in finding.error


HELO_PASSED = SpfFinding(
    mailfrom=SpfResult(Result.PASS, "mailfrom", "h1.example.org", "192.0.2.1", "", "h1.example.org")
)


def test_a_bounce_may_come_again_from_the_next_server_of_the_network(store):
    """SPF vouches for one host of it, by the name it gave at HELO."""
    collect(services(store), ip="192.0.2.1", mail_from="", found=[HELO_PASSED])
    assert decide(collect(services(store, T0 + 300), ip="192.0.2.2", mail_from="")) is CONTINUE


@pytest.mark.parametrize(
    ("first", "again"),
    [
        ("prvs=1234aaaaaa=ann@example.org", "prvs=1235bbbbbb=ann@example.org"),
        ("bounces+1-bob=example.com@example.org", "bounces+2-bob=example.com@example.org"),
        ("SRS0=aaaa=JN=a.example=ann@example.org", "SRS0=bbbb=JO=a.example=ann@example.org"),
    ],
)
def test_a_sender_that_changes_with_each_message_is_known_again(store, first, again):
    collect(services(store), mail_from=first)
    assert decide(collect(services(store, T0 + 300), mail_from=again)) is CONTINUE


def returned(store, times, every=HOUR, ip="192.0.2.1", **changes):
    """The client comes with another sender each time, and comes back."""
    for number in range(times):
        sender = f"{'abcdefghi'[number]}@example.net"
        collect(services(store, T0 + number * every, **changes), ip=ip, mail_from=sender)
        collect(services(store, T0 + number * every + 300, **changes), ip=ip, mail_from=sender)


def test_a_network_that_came_back_five_times_waits_no_more_for_any_sender(store):
    returned(store, 4)
    assert collect(services(store, T0 + DAY), mail_from="new@example.org").state == "new"
    returned(store, 5)
    later = services(store, T0 + 6 * HOUR)
    assert collect(later, ip="192.0.2.9", mail_from="other@example.org", to="c@example.com").state == "client"
    assert collect(later, ip="198.51.100.1", mail_from="other@example.org").state == "new"


def test_returns_within_one_hour_count_as_one(store):
    returned(store, 9, every=60)
    assert collect(services(store, T0 + DAY), mail_from="new@example.org").state == "new"


def test_known_client_0_lets_each_sender_wait_for_itself(store):
    returned(store, 9, known_client=0)
    assert collect(services(store, T0 + DAY, known_client=0), mail_from="new@example.org").state == "new"


GOOD_SPF = ReputationFinding(domain="example.org", how="SPF", trusted=True)
GOOD_DKIM = SignedReputationFinding(domain="example.org", how="DKIM", trusted=True)


def test_a_domain_of_good_reputation_does_not_wait(store):
    assert decide(collect(services(store), found=[GOOD_SPF])) is CONTINUE


def conclude(store, found, verdict=CONTINUE, ended=True):
    message = Message("m", "a@example.org", T0, Body(1000), findings=Findings(None, found))
    message.memo.update({REACHED_END: True} if ended else {})
    finding = greylist.Finding(client="192.0.2.0/24", state="known")
    greylist.concluded(finding, Connection(ref="c", ip="192.0.2.1"), message, verdict, services(store))


@pytest.mark.parametrize("found", [GOOD_SPF, GOOD_DKIM], ids=["SPF", "DKIM"])
def test_its_network_waits_no_more_for_any_sender(store, found):
    conclude(store, [found])
    assert collect(services(store), mail_from="other@example.net").state == "client"


@pytest.mark.parametrize(
    "case",
    [
        {"found": [GOOD_DKIM], "verdict": tempfail("later", "a reason")},
        {"found": [GOOD_SPF], "ended": False},
        {"found": [ReputationFinding(domain="example.org", how="SPF")]},
    ],
    ids=["not taken", "given up", "no reputation"],
)
def test_nothing_is_concluded_of_mail_that_was_not_taken_or_is_of_nobody_we_know(store, case):
    conclude(store, **case)
    assert collect(services(store), mail_from="other@example.net").state == "new"


def test_a_retry_after_a_day_is_in_time(store):
    """Some servers try again in widening intervals, up to two days."""
    collect(services(store))
    assert decide(collect(services(store, T0 + 47 * HOUR))) is CONTINUE


def test_the_reply_says_why_and_claims_nothing_that_need_not_be_so(store):
    """The server may be known for years; only this triplet is not."""
    new = decide(collect(services(store))).text
    assert "not recently sent mail from this sender to this recipient" in new
    early = decide(collect(services(store, T0 + 60))).text
    assert re.search(r"came back earlier .* in 4 minutes", early)
    assert not re.search(r"don't know your server|[Ee]very mail server", new + early)
