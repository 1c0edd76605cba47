"""Where links lead, as a browser reads them."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from antispam.net.addresses import Mailbox
from antispam.protocols.link_hosts import host_of, mailbox_of


@pytest.mark.parametrize(
    ("link", "host"),
    [
        ("http://evil.example/x", "evil.example"),
        ("HTTPS://Evil.EXAMPLE.:443/", "evil.example"),
        ("https://bank.example@evil.example/", "evil.example"),
        ("https://bank.example:x@evil.example", "evil.example"),
        ("http:\\\\evil.example\\x", "evil.example"),
        ("https:evil.example", "evil.example"),
        ("//evil.example/x", "evil.example"),
        ("www.evil.example", "www.evil.example"),
        ("https://evil.example?u=http://bank.example/", "evil.example"),
        ("https://evil.example#@bank.example", "evil.example"),
        ("ht\ntp://ev\til.example/", "evil.example"),
        ("http://%65vil.example/", "evil.example"),
        ("http://bücher.example/", "xn--bcher-kva.example"),
        ("http://evil。example/", "evil.example"),
        ("mailto:ann@example.org", None),
        ("javascript:alert(1)", None),
        ("/relative", None),
        ("http://localhost/", None),
        ("http://", None),
        ("", None),
    ],
)
def test_the_host_of_a_link(link, host):
    assert host_of(link) == host


@pytest.mark.parametrize(
    "link",
    ["http://192.0.2.1/", "http://3221225985/", "http://0xC0.0.513/", "http://0300.0.2.1:8080/", "http://192.0.2.1./"],
)
def test_an_address_is_an_address_however_it_is_written(link):
    assert host_of(link) == ipaddress.ip_address("192.0.2.1")


def test_an_address_of_version_6():
    assert host_of("http://[2001:db8::1]:80/") == ipaddress.ip_address("2001:db8::1")


@pytest.mark.parametrize(
    ("link", "mailbox"),
    [
        ("mailto:ann@example.org?subject=x", Mailbox("ann", "example.org")),
        ("MAILTO:a%6En@Example.org,bob@example.org", Mailbox("ann", "example.org")),
        ("mailto:", None),
        ("http://ann@example.org/", None),
    ],
)
def test_the_mailbox_of_a_link(link, mailbox):
    assert mailbox_of(link) == mailbox


@given(st.text(max_size=400))
@example("http://[")
@example("http://" + "9" * 400)
@example("http://\udc80")
def test_whatever_a_link_is_nothing_is_raised(link):
    for text in (link, f"http://{link}", f"mailto:{link}"):
        host_of(text)
        mailbox_of(text)
