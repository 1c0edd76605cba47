"""Lists in the DNS: names that are asked and answers that mean something (RFC 5782)."""

from __future__ import annotations

import hashlib
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antispam.net.addresses import Mailbox
from antispam.protocols.dnsbl import (
    Hash,
    Listing,
    address_label,
    domain_label,
    mailbox_label,
    parse_answer,
    parse_code,
    read_answer,
)

SBL = parse_code("127.0.0.2 SBL 3")
XBL = parse_code("127.0.0.4-7 XBL 3.5")
HIGH = parse_code("127.0.*.3 HIGH -3")
PHISH, MALWARE = parse_code("&8 PHISH 3"), parse_code("&16 MALWARE 3")


@pytest.mark.parametrize(
    ("address", "label"),
    [
        ("192.0.2.99", "99.2.0.192"),
        ("127.0.0.2", "2.0.0.127"),
        # RFC 5782 section 2.4
        (
            "2001:db8:1:2:3:4:567:89ab",
            "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2",
        ),
        ("::ffff:7f00:2", "2.0.0.0.0.0.f.7.f.f.f.f" + ".0" * 20),
    ],
)
def test_addresses_are_written_backwards(address, label):
    assert address_label(ipaddress.ip_address(address)) == label


@pytest.mark.parametrize(
    ("domain", "label"),
    [
        ("Evil.Example.", "evil.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("localhost", ""),
        ("", ""),
        ("a..b", ""),
    ],
)
def test_domains_are_asked_for_as_the_dns_has_them(domain, label):
    assert domain_label(domain) == label


@pytest.mark.parametrize(
    ("local", "domain", "meant"),
    [
        ("Ann", "Example.org", "ann@example.org"),
        ("ann+list", "example.org", "ann@example.org"),
        ("a.n.n+x", "googlemail.com", "ann@gmail.com"),
        ("a.nn", "example.org", "a.nn@example.org"),
    ],
)
def test_all_spellings_of_a_mailbox_have_one_hash(local, domain, meant):
    assert mailbox_label(Mailbox(local, domain), Hash.SHA1) == hashlib.sha1(meant.encode()).hexdigest()
    assert mailbox_label(Mailbox(local, domain), Hash.SHA256) == hashlib.sha256(meant.encode()).hexdigest()


@pytest.mark.parametrize(
    ("local", "domain"), [("", "example.org"), ("ann", ""), ("+x", "example.org"), ("ann", "localhost")]
)
def test_what_is_no_mailbox_has_none(local, domain):
    assert mailbox_label(Mailbox(local, domain), Hash.SHA1) == ""


@pytest.mark.parametrize(
    ("addresses", "tests"),
    [
        (["127.0.0.2"], ["SBL"]),
        (["127.0.0.4", "127.0.0.2"], ["XBL", "SBL"]),
        (["127.0.0.7"], ["XBL"]),
        (["127.0.0.8"], []),
        (["127.0.9.3"], ["HIGH"]),
        (["127.0.0.2", "127.0.0.2"], ["SBL"]),
    ],
)
def test_an_answer_means_what_the_list_says(addresses, tests):
    found = read_answer(addresses, (SBL, XBL, HIGH))
    assert ([code.test for code in found.codes], found.blocked) == (tests, False)


def test_each_bit_of_an_answer_means_something():
    assert read_answer(["127.0.0.24"], (PHISH, MALWARE)) == Listing((PHISH, MALWARE))
    assert read_answer(["127.0.0.64"], (PHISH, MALWARE)) == Listing()


@pytest.mark.parametrize("address", ["192.0.2.1", "10.0.0.2", "128.0.0.2", "0.0.0.0", "::1", "127.0.0.256", "", "x"])
def test_an_answer_elsewhere_is_none(address):
    assert read_answer([address], (SBL, PHISH, parse_code("127.*.*.* ANY 1"))) == Listing()


@pytest.mark.parametrize("address", ["127.255.255.252", "127.255.255.254", "127.255.255.255", "127.0.0.1"])
def test_one_that_does_not_serve_us_lists_nobody(address):
    assert read_answer(["127.0.0.2", address], (SBL, PHISH, parse_code("127.*.*.* ANY 1"))) == Listing(blocked=True)


def test_a_list_may_have_its_own_answer_for_not_serving_us():
    blocked = [parse_answer("127.0.0.255")]
    assert read_answer(["127.0.0.255"], (parse_code("127.0.*.* XX 1"),), blocked) == Listing(blocked=True)


@pytest.mark.parametrize("text", ["127.0.0.2 SBL 3", "127.0.0.4-7 XBL 3.5", "127.0.*.3 HIGH -3", "&8 PHISH 3"])
def test_a_code_is_shown_as_it_is_written(text):
    assert str(parse_code(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.2",
        "127.0.0.2 SBL",
        "127.0.0.2 sbl 3",
        "127.0.0.2 SBL x",
        "127.0.0.2 SBL nan",
        "127.0.0.2 SBL 1000",
        "127.0.0 SBL 3",
        "126.0.0.2 SBL 3",
        "127.0.0.300 SBL 3",
        "127.0.0.² SBL 3",
        "&3 SBL 3",
        "&0 SBL 3",
        "&256 SBL 3",
        "& SBL 3",
    ],
)
def test_a_code_that_means_nothing_is_an_error(text):
    with pytest.raises(ValueError, match=r"."):
        parse_code(text)


@given(st.lists(st.text(max_size=20), max_size=5))
def test_whatever_is_answered_nothing_is_raised(addresses):
    assert read_answer(addresses, (SBL, PHISH)).codes == ()


@given(st.text(max_size=300), st.text(max_size=300))
def test_whatever_a_mailbox_is_its_name_can_be_asked(local, domain):
    label = mailbox_label(Mailbox(local, domain), Hash.SHA256)
    assert label == "" or len(label) == 64
    assert "." in domain_label(domain) or domain_label(domain) == ""
