"""Reputation of the domain that signed the message."""

from __future__ import annotations

import pytest

from antispam.checks._shared.reputation.settings import GossipSettings
from antispam.checks._shared.reputation.votes import REACHED_END
from antispam.checks.reputation_signed import collect, signer
from antispam.mail.connection import Connection
from antispam.mail.evidence import DkimFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Body, Message
from antispam.protocols.dkim import DkimResult, SignatureResult
from antispam.store import Store
from gossip import SPAM, Records
from gossip.records import vote_row
from support.checking import services_of
from support.stores import make_store

NOW = 1_800_000_000.0


def signed(*domains: str, result: DkimResult = DkimResult.PASS) -> tuple[SignatureResult, ...]:
    return tuple(SignatureResult(result=result, domain=domain) for domain in domains)


@pytest.mark.parametrize(
    ("dkim", "expected"),
    [
        (DkimFinding(), ""),
        (DkimFinding(signatures=signed("evil.example", result=DkimResult.FAIL)), ""),
        (DkimFinding(signatures=signed("esp.example"), author="ann@example.org"), "esp.example"),
        (DkimFinding(signatures=signed("esp.example", "example.org"), author="ann@example.org"), "example.org"),
        (DkimFinding(signatures=signed("esp.example", "example.org"), author="ann@news.example.org"), "example.org"),
        (DkimFinding(signatures=signed("esp.example"), author=""), "esp.example"),
    ],
)
def test_the_authors_own_signature_counts_before_any_other(dkim, expected):
    assert signer(dkim) == expected


def test_a_signed_domain_is_known_apart_from_the_same_domain_by_spf(tmp_path):
    url = f"sqlite:///{tmp_path / 'test.db'}"
    make_store(url)
    store = Store(url)
    Records(store).note(vote_row("u", "example.org:DKIM", NOW - 10, vote=SPAM))
    Records(store).note(vote_row("v", "example.org:SPF", NOW - 10, vote=-SPAM))
    found = Findings(None, [DkimFinding(signatures=signed("example.org"), author="ann@example.org")])
    message = Message("m", "ann@example.org", NOW, Body(1000), findings=found)
    finding = collect(Connection("c"), message, None, services_of(GossipSettings, store=store))
    store.close()
    assert finding is not None
    assert (finding.how, finding.spam, finding.ham) == ("DKIM", 1, 0)


def test_an_unsigned_message_is_noted_as_having_come_to_its_end():
    message = Message("m", "ann@example.org", NOW, Body(1000))
    assert collect(Connection("c"), message, None, services_of(GossipSettings)) is None
    assert message.memo[REACHED_END]
