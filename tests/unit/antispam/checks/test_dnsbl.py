"""The check of lists: what is asked about a message, and what the answers are worth."""

from __future__ import annotations

import dataclasses
import hashlib
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antispam.checks import dnsbl
from antispam.checks._shared.dnsbl.asking import Listed
from antispam.checks._shared.dnsbl.settings import DnsblSettings
from antispam.checks._shared.dnsbl.subjects import owned, seen_by_server
from antispam.checks.connection import Settings as ConnectionSettings
from antispam.checks.dnsbl import Finding, applies, declares, points
from antispam.checks.sender_domain import Settings as SenderDomainSettings
from antispam.deadline import Deadline
from antispam.mail.connection import Connection
from antispam.mail.evidence import ClientClass, ConnectionFinding, DkimFinding
from antispam.mail.findings import Findings
from antispam.mail.verdicts import Action
from antispam.memory import Memory
from antispam.protocols.dkim import DkimResult, SignatureResult
from antispam.settings import SettingsError, default_settings, load_text
from antispam.store import rates
from support.checking import NOW, message, services_of
from support.dns import TIMEOUT, ScriptedResolver

LIST = """
[dnsbl]
zones = test
[dnsbl test]
zone = bl.example
"""
CLIENT, HOP, RELAY = "198.51.100.7", "203.0.113.9", "192.0.2.9"


class Remembering(ScriptedResolver):
    """With the memory that the resolver of a worker has."""

    def __init__(self, zones=None):
        super().__init__(zones)
        self.conclusions = Memory(100)
        self.at = 0.0

    def now(self):
        return self.at


def settings_of(config):
    return load_text(config, [DnsblSettings])[DnsblSettings]


def services(config, resolver, **changes):
    given = load_text(config, [DnsblSettings, ConnectionSettings, SenderDomainSettings])
    made = services_of(DnsblSettings, resolver=resolver, clock=lambda: NOW, **changes)
    return dataclasses.replace(made, settings=given)


def asked(it, about, *, config="", ip=CLIENT, helo="mail.evil.example", more=""):
    """The names that are asked about a message, without the domain of the list."""
    resolver = ScriptedResolver()
    text = f"{config}{LIST}about = {about}\n{more}"
    dnsbl.collect(Connection("c", ip=ip, helo=helo), it, None, services(text, resolver))
    return [name.removesuffix(".bl.example") for name, rdtype in resolver.asked if rdtype == "A"]


def stranger(*fields, client=ClientClass.EXTERNAL, found=(), **how):
    return message(*fields, found=[ConnectionFinding(client=client, ip=CLIENT), *found], **how)


def listed(resolver_zones, about="client", it=None, more="", **changes):
    it = it or stranger("From: ann@evil.example")
    text = f"{LIST}about = {about}\n{more}"
    given = services(text, ScriptedResolver(resolver_zones), **changes)
    finding = dnsbl.collect(Connection("c", ip=CLIENT), it, None, given)
    return finding, given.settings[DnsblSettings]


def met(finding, settings):
    tests = {test.name: test.points for test in declares(settings)}
    return {hit.test: tests[hit.test] for hit in points(finding, Findings(), settings)}


LISTED = {"7.100.51.198.bl.example": {"A": ["127.0.0.2"]}}


def test_a_listed_client_meets_a_test_with_points():
    finding, settings = listed(LISTED, more="codes = 127.0.0.2 RCVD_IN_TEST 2.5")
    assert met(finding, settings) == {"RCVD_IN_TEST": 2.5}
    (hit,) = points(finding, Findings(), settings)
    assert hit.evidence == "The client 198.51.100.7 is on the list bl.example."
    assert type(finding).from_json(finding.to_json()) == finding


def test_without_codes_any_answer_is_one_point():
    assert met(*listed(LISTED)) == {"DNSBL_TEST": 1.0}


def test_what_is_not_listed_leaves_no_evidence():
    assert listed({})[0] is None


@pytest.mark.parametrize("answer", ["192.0.2.66", "127.0.0.9"])
def test_an_answer_that_means_nothing_lists_nobody(answer):
    zones = {"7.100.51.198.bl.example": {"A": [answer]}}
    assert listed(zones, more="codes = 127.0.0.2 RCVD_IN_TEST 2.5")[0] is None


def test_the_lists_never_decide_alone():
    finding, settings = listed(LISTED)
    verdict = dnsbl.decide(finding, Findings(), settings, None)
    assert verdict.action is Action.CONTINUE
    assert verdict.reason == "DNSBL_TEST (198.51.100.7)"


def test_mail_of_our_own_users_is_not_asked_about():
    assert asked(stranger(client=ClientClass.INTERNAL), "client, links") == []


def test_a_test_is_met_once_by_the_most_telling_subject():
    it = stranger("From: ann@evil.example", body=b"http://a.example/ http://evil.example/\r\n")
    zones = {f"{name}.bl.example": {"A": ["127.0.0.2"]} for name in ("a.example", "evil.example")}
    finding, settings = listed(zones, "author, links", it)
    assert [one.subject for one in finding.listed] == ["evil.example", "evil.example", "a.example"]
    (hit,) = points(finding, Findings(), settings)
    assert hit.evidence == "The author's domain evil.example is on the list bl.example."


@pytest.mark.parametrize(
    ("about", "expected"),
    [
        ("client", ["7.100.51.198"]),
        ("sender", ["mailer.example"]),
        ("author", ["evil.example", "other.co.uk"]),
        ("reply_to", ["drop.example"]),
        ("helo", ["evil.example"]),
        ("links", ["phish.example", "shop.github.io", "xn--bcher-kva.example"]),
        ("link_addresses", ["66.2.0.192"]),
    ],
)
def test_each_kind_of_subject(about, expected):
    it = stranger(
        "From: a@news.evil.example, b@other.co.uk",
        "Reply-To: c@drop.example",
        "Content-Type: text/html; charset=utf-8",
        mail_from="bounce@x.mailer.example",
        body='<a href="http://login.phish.example/">x</a><a href="//shop.github.io">y</a>'
        '<a href="http://bücher.example">y</a><a href="https://www.google.com/">z</a><a href="http://3221226050/">z</a>'.encode(),
    )
    assert asked(it, about) == expected


def test_only_signers_whose_signature_passes_count():
    results = (DkimResult.PASS, "good.example"), (DkimResult.FAIL, "forged.example")
    signatures = tuple(SignatureResult(result=result, domain=domain, selector="s") for result, domain in results)
    assert asked(stranger(found=[DkimFinding(signatures=signatures)]), "signers") == ["good.example"]


def test_mailboxes_are_asked_for_by_their_hash():
    it = stranger("From: Ann+x@evil.example", "Reply-To: d.rop@gmail.com", body=b"write to me@box.example now\r\n")
    expected = [hashlib.sha1(one).hexdigest() for one in (b"ann@evil.example", b"drop@gmail.com", b"me@box.example")]
    assert asked(it, "emails") == expected
    assert asked(it, "emails", more="hash = md5\n")[0] == hashlib.md5(b"ann@evil.example").hexdigest()


HOPS = (
    f"Received: from mx2.example.com (mx2.example.com [{RELAY}]) by mx.example.com; x",
    f"Received: from evil (evil.example [{HOP}]) by mx2.example.com with ESMTP; x",
    "Received: from home (unknown [10.0.0.1]) by evil.example; x",
    "Received: by evil.example; x",
    "Received: from pc (pc.example [IPv6:2001:db8::1]) by evil.example; x",
)


def test_hops_before_the_client_are_asked_about_without_those_that_everybody_has():
    assert asked(stranger(*HOPS), "hops", more="")[:2] == ["9.2.0.192", "9.113.0.203"]


def test_what_a_trusted_relay_saw_is_the_client():
    config = f"[milter]\ntrusted_relay = {RELAY}, {CLIENT}\n"
    it = stranger(*HOPS, client=ClientClass.TRUSTED_RELAY)
    assert asked(it, "client", config=config) == ["9.113.0.203"]
    (hop,) = asked(it, "hops", config=config)
    assert hop.endswith(".8.b.d.0.1.0.0.2")


@pytest.mark.parametrize(
    ("received", "address"),
    [
        ("from mail.example.org (mail.example.org [192.0.2.1]) by mx; x", "192.0.2.1"),
        ("from x (IDENT:ann@host.example [192.0.2.1] (may be forged)) by mx (8.17/8.17) with ESMTP; x", "192.0.2.1"),
        ("from [203.0.113.66] (unknown [192.0.2.1]) by mx (Postfix) with ESMTP; x", "192.0.2.1"),
        ("from x([203.0.113.66]) (host [192.0.2.1])\n\t(using TLSv1.3) by mx; x", "192.0.2.1"),
        ("from [192.0.2.1] (helo=[203.0.113.66]) by mx with esmtp; x", "192.0.2.1"),
        ("from host.example ([192.0.2.1] helo=x) by mx; x", "192.0.2.1"),
        ("from x (h [IPv6:2001:db8::1]) by mx; x", "2001:db8::1"),
        ("from x by mx (proxy [203.0.113.66]); x", None),
        ("by mx (proxy [203.0.113.66]); x", None),
        ("from unknown (HELO x) (192.0.2.1) by mx; x", None),
        ("", None),
    ],
)
def test_the_address_that_a_server_saw_is_not_what_its_client_said(received, address):
    found = seen_by_server(" ".join(received.split()))
    assert (str(found) if found else None) == address


def test_our_own_domains_and_those_of_everybody_are_not_asked_about():
    it = stranger(
        "From: a@mail.ours.example", body=b"http://ours.example http://docs.google.com http://evil.example\r\n"
    )
    config = "[milter]\ninternal_domains = ours.example\n"
    assert asked(it, "author, links", config=config) == ["evil.example"]
    assert asked(it, "emails", config=config) == []


def test_a_message_costs_a_bounded_number_of_questions_the_most_telling_first():
    links = b"".join(b"http://evil%d.example/\r\n" % number for number in range(100))
    names = asked(stranger("From: a@evil.example", body=links), "client, author, links", config="")
    assert len(names) == 22
    resolver = ScriptedResolver()
    config = LIST.replace("zones = test", "zones = test\nmax_queries = 3")
    it = stranger("From: a@evil.example", body=links)
    dnsbl.collect(Connection("c", ip=CLIENT), it, None, services(f"{config}about = client, author, links", resolver))
    assert [name for name, _ in resolver.asked] == [
        "7.100.51.198.bl.example",
        "evil.example.bl.example",
        "evil0.example.bl.example",
    ]


def test_two_lists_in_one_zone_share_a_question():
    config = (
        LIST.replace("zones = test", "zones = test, other")
        + "[dnsbl other]\nzone = bl.example\ncodes = 127.0.0.2 OTHER 1"
    )
    resolver = ScriptedResolver(LISTED)
    given = services(config, resolver)
    finding = dnsbl.collect(Connection("c", ip=CLIENT), stranger(), None, given)
    assert met(finding, given.settings[DnsblSettings]) == {"DNSBL_TEST": 1.0, "OTHER": 1.0}
    assert len(resolver.asked) == 1


def test_a_list_that_does_not_serve_us_gives_no_points_and_is_told_once_a_day(store, caplog):
    resolver = Remembering({"7.100.51.198.bl.example": {"A": ["127.255.255.254"]}})
    for _ in range(2):  # the second worker, say, has another memory
        resolver.conclusions = Memory(10)
        for _ in range(2):
            finding = dnsbl.collect(Connection("c", ip=CLIENT), stranger(), None, services(LIST, resolver, store=store))
            assert finding.blocked == ("test",)
            assert points(finding, Findings(), settings_of(LIST)) == ()
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "bl.example does not answer our questions" in warnings[0]
    assert rates.used(store, "dnsbl blocked bl.example", NOW, 86400.0) == 2


def test_a_silent_list_costs_no_points_and_after_a_while_no_time(caplog):
    resolver = Remembering({"7.100.51.198.bl.example": {"A": TIMEOUT}})
    for _ in range(5):
        finding = dnsbl.collect(Connection("c", ip=CLIENT), stranger(), None, services(LIST, resolver))
        resolver.at += 1
    assert len(resolver.asked) == 3
    assert finding is None
    assert [record.getMessage() for record in caplog.records] == [
        "[dnsbl test]: bl.example does not answer; it is not asked for a minute"
    ]
    resolver.at += 60
    finding = dnsbl.collect(Connection("c", ip=CLIENT), stranger(), None, services(LIST, resolver))
    assert finding.silent == ("test",)


class Lasting(Remembering):
    """Its answers last for a minute."""

    def lookup(self, name, rdtype, deadline):
        return dataclasses.replace(super().lookup(name, rdtype, deadline), expires=self.at + 60)


def ask_about(resolver, *fields, config=LIST, ip=CLIENT, body=b"hello\r\n"):
    """The questions that one more message costs, and what was found."""
    resolver.asked.clear()
    finding = dnsbl.collect(Connection("c", ip=ip), stranger(*fields, body=body), None, services(config, resolver))
    return [name.removesuffix(".bl.example") for name, _ in resolver.asked], finding


def test_what_no_list_has_is_not_looked_up_again_until_the_answers_expire():
    resolver, client = Lasting(), "7.100.51.198"
    config = f"{LIST}about = client, author\n"
    assert ask_about(resolver, "From: ann@fine.example", config=config) == ([client, "fine.example"], None)
    assert ask_about(resolver, "From: ann@fine.example", config=config) == ([], None)
    assert ask_about(resolver, "From: ann@other.example", config=config) == (["other.example"], None)
    resolver.at = 60
    assert ask_about(resolver, "From: ann@fine.example", config=config) == ([client, "fine.example"], None)


def test_what_is_listed_is_looked_up_and_found_each_time():
    resolver = Lasting(LISTED)
    for _ in range(2):
        asked_for, finding = ask_about(resolver)
        assert len(asked_for) == 1
        assert finding.listed


def test_lists_that_were_not_asked_leave_nothing_known():
    resolver = Lasting()
    ask_about(resolver)
    config = LIST.replace("zones = test", "zones = test, other") + "[dnsbl other]\nzone = other.example\n"
    assert len(ask_about(resolver, config=config)[0]) == 2


def test_what_is_known_counts_among_the_questions_of_a_message():
    resolver = Lasting()
    config = LIST.replace("zones = test", "zones = test\nmax_queries = 2") + "about = client, author, links\n"
    for _ in range(2):  # what stands behind the limit is not asked about because the rest is known
        links = b"http://evil.example/\r\n"
        assert "evil.example" not in ask_about(resolver, "From: a@fine.example", config=config, body=links)[0]


class Cached(ScriptedResolver):
    """A resolver that has every answer already: it answers without time as well."""

    def lookup(self, name, rdtype, deadline):
        return super().lookup(name, rdtype, Deadline.after(60))


@pytest.mark.parametrize(("resolver", "expected"), [(ScriptedResolver, False), (Cached, True)])
def test_the_runner_is_told_whether_a_list_must_be_waited_for(resolver, expected):
    assert dnsbl.ready(Connection("c", ip=CLIENT), stranger(), services(LIST, resolver(LISTED))) is expected


def test_what_is_known_is_not_asked_again():
    it, resolver = stranger(), Cached(LISTED)
    given = services(LIST, resolver)
    assert dnsbl.ready(Connection("c", ip=CLIENT), it, given)
    asked_for = list(resolver.asked)
    assert dnsbl.collect(Connection("c", ip=CLIENT), it, None, given).listed
    assert resolver.asked == asked_for


def test_what_was_not_known_is_asked_with_the_time_of_the_message():
    it, given = stranger(), services(LIST, ScriptedResolver(LISTED))
    assert not dnsbl.ready(Connection("c", ip=CLIENT), it, given)
    assert dnsbl.collect(Connection("c", ip=CLIENT), it, None, given).listed


def test_mail_of_our_own_users_waits_for_no_list():
    resolver = ScriptedResolver(LISTED)
    assert dnsbl.ready(Connection("c", ip=CLIENT), stranger(client=ClientClass.INTERNAL), services(LIST, resolver))
    assert resolver.asked == []


def test_the_deadline_of_the_message_is_kept():
    given = services(LIST, ScriptedResolver(LISTED), deadline=Deadline.after(0))
    assert dnsbl.collect(Connection("c", ip=CLIENT), stranger(), None, given).listed == ()


def test_a_message_can_be_decided_again_when_the_list_is_gone_or_worth_something_else():
    finding = Finding(
        listed=(Listed("test", "client", CLIENT, ("127.0.0.2",)), Listed("gone", "client", CLIENT, ("127.0.0.2",)))
    )
    assert met(finding, settings_of(f"{LIST}codes = 127.0.0.2 NEW_NAME 4")) == {"NEW_NAME": 4.0}


def test_the_shipped_lists_are_in_order():
    settings = default_settings([DnsblSettings])[DnsblSettings]
    assert applies(settings)
    assert [one.domain for one in settings.lists][:2] == ["zen.spamhaus.org"] * 2
    names = [test.name for test in settings.tests]
    assert len(names) == len(set(names))
    everything = settings_of(f"[dnsbl]\nzones = {', '.join(settings.known)}")
    assert all(one.codes for one in everything.lists)


def test_no_list_without_anybodys_account_is_asked_by_default():
    asked_by_default = {one.name for one in default_settings([DnsblSettings])[DnsblSettings].lists}
    assert asked_by_default.isdisjoint({"abusix", "barracuda", "msbl-ebl"})


def test_a_section_changes_a_shipped_list_and_leaves_the_rest_of_it():
    settings = settings_of("[dnsbl]\nzones = spamhaus\n[dnsbl spamhaus]\nzone = key.zen.dq.spamhaus.net")
    (one,) = settings.lists
    assert one.domain == "key.zen.dq.spamhaus.net"
    assert "RCVD_IN_XBL" in {code.test for code in one.codes}


def test_a_list_that_is_described_and_not_asked_is_doubted():
    assert "has no effect" in settings_of("[dnsbl mine]\nzone = bl.example").doubts[0]
    assert settings_of(LIST).doubts == ()


def test_empty_is_off():
    assert not applies(settings_of("[dnsbl]\nzones ="))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[dnsbl]\nzones = spamhous", r":2: \[dnsbl\] zones: there is no list spamhous; did you mean spamhaus\?"),
        ("[dnsbl]\nzones = mine", r":2: .*describe it in a section \[dnsbl mine\]"),
        ("[dnsbl x]\nabout = client", r":2: \[dnsbl x\] zone: is missing"),
        ("[dnsbl x]\nzone = a.example\nrefus = yes", r":3: .*did you mean refuse\?"),
        ("[dnsbl x]\nzone = a.example\nabout = link", r":3: .*'link' is not one of client, sender"),
        ("[dnsbl x]\nzone = a.example\ncodes = 127.0.0.2 y 1", r":3: .*name of a test"),
        ("[dnsbl x]\nzone = a.example\nabout = links\nrefuse = yes", r":4: .*only clients can be refused"),
        ("[dnsbl x]\nzone = nodots", r":2: .*expected the domain of a list"),
        ("[dnsbl x]\nzone = a.example\nblocked = 192.0.2.1", r":3: .*expected an answer"),
        ("[dnsbls x]\nzone = a.example", r":2: there is no section \[dnsbls x\]"),
    ],
)
def test_what_can_not_be_meant_is_an_error_with_its_line(text, said):
    with pytest.raises(SettingsError, match=said):
        settings_of(text)


@pytest.mark.parametrize(
    ("domain", "registered"),
    [
        ("a.b.example.co.uk", "example.co.uk"),
        ("co.uk", ""),
        ("evil.example", "evil.example"),
        ("x.blogspot.com", "x.blogspot.com"),
        ("[192.0.2.1]", ""),
        ("192.0.2.1", ""),
        ("localhost", ""),
        ("", ""),
    ],
)
def test_the_domain_that_somebody_registered(domain, registered):
    assert owned(domain) == registered


@given(st.text(max_size=300), st.text(max_size=300))
def test_whatever_a_message_says_nothing_is_raised(name, text):
    it = stranger(
        b"From: " + name.encode("utf-8", "replace"),
        b"Received: from x [" + name.encode("utf-8", "replace") + b"]; x",
        mail_from=name,
        body=f"http://{name} {text}".encode("utf-8", "replace"),
    )
    asked(it, "client, sender, author, reply_to, helo, links, link_addresses, emails, hops", helo=name)
