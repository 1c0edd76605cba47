"""Which tests of the score a message meets by the evidence of each check."""

from __future__ import annotations

import pytest

from antispam.checks import (
    author_domain,
    connection,
    dkim,
    dmarc,
    header_oddities,
    helo,
    languages,
    reputation,
    reputation_signed,
    sender_lists,
    spf,
    words,
)
from antispam.mail.evidence import (
    AuthorFinding,
    AuthorPolicy,
    ClientClass,
    ConnectionFinding,
    DkimFinding,
    DmarcFinding,
    Override,
    ReputationFinding,
    SenderListFinding,
    SignedReputationFinding,
    SpfFinding,
    WordsFinding,
)
from antispam.mail.findings import Findings
from antispam.mail.score_table import TABLE
from antispam.protocols.dkim import DkimResult, SignatureResult
from antispam.protocols.dmarc import Disposition, DmarcResult, Evaluation
from antispam.protocols.spf import Result, SpfResult
from antispam.settings import default_settings


def spf_result(result, identity="mailfrom", mailfrom="ann@example.org", **more):
    return SpfResult(result, identity, "example.org", "203.0.113.7", mailfrom, "mail.example.org", **more)


def signature(result, domain="example.org"):
    return SignatureResult(result=result, domain=domain)


def policy(result, asked=Disposition.NONE, override=None):
    found = Evaluation(domain="example.org", publisher="example.org", tag="p", result=result, asked=asked)
    return AuthorPolicy(found=found, override=override)


def listed(reason="bob wrote to it"):
    return SenderListFinding(sender="ann@example.org", whitelisted=reason)


PASSED = SpfFinding(mailfrom=spf_result(Result.PASS))
SIGNED = DkimFinding(signatures=(signature(DkimResult.PASS),), author="ann@example.org")
SIGNED_BY_ANOTHER = DkimFinding(signatures=(signature(DkimResult.PASS, "list.example"),), author="ann@example.org")
INSIDE = ConnectionFinding(client=ClientClass.INTERNAL, ip="10.0.0.1")
CASES = [
    (connection, ConnectionFinding(iprev="permerror", dynamic=True, ip="203.0.113.7"), [], {"RDNS_NONE"}),
    (connection, ConnectionFinding(iprev="fail", ip="203.0.113.7"), [], {"RDNS_NONE"}),
    (connection, ConnectionFinding(iprev="pass", dynamic=True, ip="203.0.113.7"), [], {"RDNS_DYNAMIC"}),
    (connection, ConnectionFinding(iprev="pass", ip="203.0.113.7"), [], set()),
    (connection, ConnectionFinding(iprev="temperror", ip="203.0.113.7"), [], set()),
    (connection, ConnectionFinding(client=ClientClass.TRUSTED_RELAY, ip="203.0.113.7"), [], set()),
    (connection, ConnectionFinding(), [], set()),  # a client without an address
    (helo, helo.Finding(name="192.0.2.1", form=helo.Form.NUMERIC), [], {"HELO_NUMERIC"}),
    (helo, helo.Finding(name="a b", form=helo.Form.INVALID), [], {"HELO_INVALID"}),
    (helo, helo.Finding(name="pc", form=helo.Form.UNQUALIFIED), [], {"HELO_NO_DOMAIN"}),
    (helo, helo.Finding(name="pc", form=helo.Form.UNQUALIFIED), [INSIDE], set()),
    (helo, helo.Finding(name="10.1.1.1", form=helo.Form.LITERAL, ip="203.0.113.7"), [], {"HELO_LITERAL_MISMATCH"}),
    (helo, helo.Finding(name="mx.example.com", own=("mx.example.com",), ip="203.0.113.7"), [], {"HELO_OURS"}),
    (helo, helo.Finding(name="mail.example.org"), [], set()),
    (spf, PASSED, [], set()),
    (spf, SpfFinding(mailfrom=spf_result(Result.FAIL)), [], {"SPF_FAIL"}),
    (spf, SpfFinding(mailfrom=spf_result(Result.FAIL)), [SIGNED], set()),  # forwarded
    (spf, SpfFinding(mailfrom=spf_result(Result.FAIL)), [SIGNED_BY_ANOTHER], {"SPF_FAIL"}),
    (spf, SpfFinding(mailfrom=spf_result(Result.SOFTFAIL)), [], {"SPF_SOFTFAIL"}),
    (spf, SpfFinding(mailfrom=spf_result(Result.NEUTRAL)), [], set()),
    (spf, SpfFinding(mailfrom=spf_result(Result.TEMPERROR)), [], set()),
    (spf, SpfFinding(mailfrom=spf_result(Result.NONE)), [], {"SPF_NONE"}),
    (spf, SpfFinding(mailfrom=spf_result(Result.NONE)), [SIGNED], {"SPF_NONE"}),
    (spf, SpfFinding(mailfrom=spf_result(Result.NONE, mailfrom="")), [], set()),
    (spf, SpfFinding(mailfrom=spf_result(Result.NONE, guess=Result.PASS)), [], set()),
    (spf, SpfFinding(mailfrom=spf_result(Result.PERMERROR, lax=Result.PASS)), [], set()),
    (spf, SpfFinding(mailfrom=spf_result(Result.PERMERROR)), [], {"SPF_PERMERROR"}),
    (spf, SpfFinding(mailfrom=None, forwarder="forwarder.example"), [], set()),
    (
        spf,
        SpfFinding(mailfrom=spf_result(Result.NONE), helo=spf_result(Result.FAIL, "helo")),
        [],
        {"SPF_NONE", "SPF_HELO_FAIL"},
    ),
    (sender_lists, listed(), [PASSED], {"KNOWN_CORRESPONDENT"}),
    (sender_lists, listed(), [SIGNED], {"KNOWN_CORRESPONDENT"}),
    (sender_lists, listed(), [SpfFinding(mailfrom=spf_result(Result.NONE))], set()),  # anybody can say that
    (sender_lists, listed(""), [PASSED], set()),
    (words, WordsFinding(where="subject", word="win", text="win"), [], {"SUBJECT_WORD"}),
    (words, WordsFinding(where="author", word="win", text="win"), [], {"FROM_WORD"}),
    (languages, languages.Finding(text="x", charset="gb2312"), [], {"UNREADABLE_SCRIPT"}),
    (languages, languages.Finding(text="x", share=30, scripts=("han",)), [], {"UNREADABLE_SCRIPT"}),
    (languages, languages.Finding(text="x", share=29, scripts=("han",)), [], set()),
    (languages, languages.Finding(text="x", mixed="раураl"), [], set()),
    (dkim, DkimFinding(), [], {"DKIM_NONE"}),
    (dkim, SIGNED, [], set()),
    (dkim, DkimFinding(signatures=(signature(DkimResult.FAIL),)), [], {"DKIM_INVALID"}),
    (dkim, DkimFinding(signatures=(signature(DkimResult.FAIL), signature(DkimResult.PASS, "b.example"))), [], set()),
    (dkim, DkimFinding(signatures=(signature(DkimResult.TEMPERROR),)), [], set()),
    (dmarc, DmarcFinding(authors=(policy(DmarcResult.PASS),)), [], set()),
    (dmarc, DmarcFinding(authors=(policy(DmarcResult.NONE),)), [], {"DMARC_MISSING"}),
    (dmarc, DmarcFinding(authors=(policy(DmarcResult.FAIL),)), [], {"DMARC_NONE"}),
    (dmarc, DmarcFinding(authors=(policy(DmarcResult.FAIL, Disposition.REJECT),)), [], {"DMARC_REJECT"}),
    (dmarc, DmarcFinding(authors=(policy(DmarcResult.FAIL, Disposition.QUARANTINE),)), [], {"DMARC_QUAR"}),
    (
        dmarc,
        DmarcFinding(authors=(policy(DmarcResult.FAIL, Disposition.REJECT, Override.MAILING_LIST),)),
        [],
        set(),
    ),
    (dmarc, DmarcFinding(authors=(policy(DmarcResult.TEMPERROR),)), [], set()),
    (dmarc, DmarcFinding(authors=(policy(DmarcResult.PASS),), ambiguous=True), [], {"FROM_AMBIGUOUS"}),
    (dmarc, DmarcFinding(), [], set()),
    (author_domain, AuthorFinding(foreign=("boss@example.com",), ip="203.0.113.7"), [], {"FROM_OURS"}),
    (author_domain, AuthorFinding(ours=True, foreign=("x@example.net",)), [], set()),
    (author_domain, AuthorFinding(authors=("boss@example.com",)), [], set()),
]


def hits(check, finding, found=()):
    settings = default_settings([check.Settings])[check.Settings]
    return check.points(finding, Findings(own=[finding, *found]), settings)


@pytest.mark.parametrize(("check", "finding", "found", "tests"), CASES)
def test_the_tests_that_follow_from_evidence(check, finding, found, tests):
    met = hits(check, finding, found)
    assert {hit.test for hit in met} == tests
    for hit in met:
        assert hit.evidence.endswith(".")
        assert hit.evidence[:1] == hit.evidence[:1].upper()


@pytest.mark.parametrize("odd", header_oddities.Oddity)
def test_each_oddity_of_the_header_is_a_test(odd):
    (hit,) = hits(header_oddities, header_oddities.Finding(odd=(odd,), seen=("x",)))
    assert TABLE[hit.test].check == "header_oddities"


@pytest.mark.parametrize(
    ("check", "kind"), [(reputation, ReputationFinding), (reputation_signed, SignedReputationFinding)]
)
@pytest.mark.parametrize(
    ("how", "value", "confidence", "expected"),
    [
        ("SPF", -100.0, 100.0, [("REPUTATION_BAD", 2.0)]),
        ("softfail", -50.0, 50.0, [("REPUTATION_BAD", 0.5)]),
        ("DKIM", 100.0, 100.0, [("REPUTATION_GOOD", -1.5)]),
        ("softfail", 100.0, 100.0, []),  # nothing proves that it is that domain's
        ("HELO", 100.0, 100.0, []),
        ("SPF", -100.0, 1.0, []),
        ("SPF", 0.0, 0.0, []),
        ("SPF", -1e9, 1e9, [("REPUTATION_BAD", 2.0)]),  # another node's word
    ],
)
def test_a_reputation_counts_as_far_as_it_is_known(check, kind, how, value, confidence, expected):
    finding = kind(domain="example.org", how=how, reputation=value, confidence=confidence)
    assert [(hit.test, hit.points) for hit in hits(check, finding)] == expected
