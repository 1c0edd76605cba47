"""Addresses of hosts and people: Milter.utils, pyip6, dynip, unsign."""

from __future__ import annotations

import doctest
import importlib
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from Milter import pyip6, utils
from Milter.dynip import is_dynip
from Milter.unsign import unsign


@pytest.mark.parametrize(
    "name", ["Milter._parameters", "Milter.utils", "Milter.pyip6", "Milter.dynip", "Milter.unsign"]
)
def test_examples_in_docstrings_hold(name: str) -> None:
    """They are what a reader tries first."""
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted
    assert not result.failed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("user@example.com", ["user", "example.com"]),
        ('"user@example.com"', ["user@example.com"]),
        ('"user@bar"@example.com', ["user@bar", "example.com"]),
        ("foo", ["foo"]),
        ("<>", [""]),
        ("@mx.example.com:user@example.com", ["user", "example.com"]),
        ("<@h1,@h2:j@s>", ["j", "s"]),
        ("@user@example.com", ["@user", "example.com"]),
        ('"', ['"']),
    ],
)
def test_parse_addr(text: str, expected: list[str]) -> None:
    """Local part and domain of an envelope address."""
    assert utils.parse_addr(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("user@example.com", ("", "user@example.com")),
        ('"Full Name" <foo@example.com>', ("Full Name", "foo@example.com")),
        ("spam@spammer.com <foo@example.com>", ("spam@spammer.com", "foo@example.com")),
        ("God@heaven <@hop1.org,@hop2.net:jeff@spec.org>", ("God@heaven", "jeff@spec.org")),
        ("Real Name ((comment)) <addr...@example.com>", ("Real Name (comment)", "addr...@example.com")),
        ('"a, b" <c@d>, e@f', ("a, b", "c@d")),
        ("A\tB  C <a@b>", ("A B C", "a@b")),
        ('A@B <"a b"@c.example>', ("A@B", '"a b"@c.example')),
        ("(" * 20000, ("", "")),
        ("", ("", "")),
    ],
)
def test_parseaddr(text: str, expected: tuple[str, str]) -> None:
    """Display name and address of a header."""
    assert utils.parseaddr(text) == expected


@pytest.mark.parametrize("name", ["Acme, Inc.", "Acme; Co", "Acme)", "A, B, C", "A:B;C, D", ":", "A\\,B", ",", 'A, "B'])
def test_a_name_that_should_have_been_quoted_hides_no_address(name: str) -> None:
    assert utils.parseaddr(f"{name} <news@acme.example>") == (name, "news@acme.example")


@pytest.mark.parametrize("text", ["a@b.example, c <d@e.example>", "a@b.example; c <d@e.example>"])
def test_of_several_addresses_the_first_is_returned(text: str) -> None:
    assert utils.parseaddr(text) == ("", "a@b.example")


@given(st.text(alphabet='<>@"\\(),;:=?ab \n\udce9'))
def test_parsing_addresses_never_raises(text: str) -> None:
    """Whatever a sender writes."""
    utils.parseaddr(text)
    assert len(utils.parse_addr(text)) in (1, 2)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("=?UTF-8?B?TGFzdCBGZXcgQ29sZHBsYXkgQWxidW0gQXJ0d29ya3MgQXZhaWxhYmxlAA?=", "Last Few Coldplay Album Artworks"),
        ("=?iso-8859-1?Q?Peter_=D8rum?= <orum@ditas.dk>", "Peter Ørum <orum@ditas.dk>"),
        ("=?utf-8?q?a?= =?utf-8?q?b?= c", "ab c"),
        ("=?utf-8?b?w4M=?=\n =?utf-8?b?wqk=?=", "Ã©"),
        ("=?utf-8?q?=C3?= =?utf-8?q?=A9?=", "é"),
        ("=?no-such-charset?q?x?= y", "x y"),
        ("=?no-such-charset?q?Caf=C3=A9?= y", "Café y"),
        ("=?no-such-charset?q?Caf=E9s?=", "Cafés"),
        ("=?hex?q?616263?=", "616263"),
        ("=?utf-8?q?what?now?=", "what?now"),
        ("=?utf-8?q?open =?utf-8?q?a?=", "=?utf-8?q?open a"),
        ("=?utf-8?b?A?= b", "=?utf-8?b?A?= b"),
        ("=?utf-8?q?=ff?=", "�"),
        (b"caf\xe9", "caf\udce9"),
    ],
)
def test_encoded_headers_are_decoded_as_far_as_they_can_be(value: str | bytes, expected: str) -> None:
    """Word by word; what is beyond repair stays."""
    assert utils.parse_header(value).startswith(expected)


@given(st.text() | st.text(alphabet="=?utf8qbB_-9\n "))
def test_decoding_headers_never_raises(value: str) -> None:
    """Whatever a sender writes."""
    utils.parse_header(value)


@pytest.mark.parametrize(
    ("address", "item", "expected"),
    [
        ("192.0.2.1", "192.0.2.0/24", True),
        ("192.0.2.1", "192.0.2.*", True),
        ("192.0.3.1", "192.0.2.0/24", False),
        ("192.0.2.1", "0.0.0.0/0", True),
        ("2001:610:779:0:223:6cff:fe9a:9cf3", "2001:610:779::/48", True),
        ("2001:DB8::1", "2001:db8:0::1", True),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::1", "192.0.2.0/24", False),
        ("192.0.2.1", "mail.example", True),
        ("192.0.2.9", "mail.example/28", True),
        ("192.0.2.99", "mail.example", False),
        ("192.0.2.1", "unknown.example", False),
        ("192.0.2.1", "not an address", False),
    ],
)
def test_iniplist(address: str, item: str, expected: bool) -> None:
    """Addresses, networks, wildcards and host names."""
    hosts = {"mail.example": ["2001:db8::2", "192.0.2.1"]}
    assert utils.iniplist(address, ["127.0.0.1", item], resolve=lambda name: hosts.get(name, [])) is expected


def test_iniplist_asks_dns_only_when_it_must() -> None:
    """A match before a name spares the look-up."""

    def fail(name: str) -> list[str]:
        raise AssertionError(name)

    assert utils.iniplist("192.0.2.1", ["192.0.2.1", "mail.example"], resolve=fail)


@pytest.mark.parametrize(("address", "items"), [("x", []), ("2G01::1", []), ("1.2.3.4", ["1.2.3.4/33"])])
def test_iniplist_raises_on_what_cannot_be(address: str, items: list[str]) -> None:
    """A wrong address, a wrong prefix length."""
    with pytest.raises(ValueError, match="Invalid"):
        utils.iniplist(address, items)


def test_addr2bin_reads_ipv6() -> None:
    assert utils.addr2bin("2001:db8::1") == 0x20010DB8 << 96 | 1
    with pytest.raises(OSError, match="Invalid IP6"):
        utils.addr2bin("2001:db8:1")


@pytest.mark.parametrize("text", ["1.2.3.4.5", "x", "256.1.1.1", "", "1.2.3.99999999999", "1.-1", "１.2.3.4"])
def test_addr2bin_refuses_what_is_no_address(text: str) -> None:
    """With OSError, as inet_aton does."""
    with pytest.raises(OSError, match="Invalid IP4"):
        utils.addr2bin(text)


@given(st.integers(0, utils.MASK))
def test_addr2bin_and_bin2addr_are_inverse(number: int) -> None:
    """For every address."""
    assert utils.addr2bin(utils.bin2addr(number)) == number


@given(st.binary(min_size=16, max_size=16))
def test_pyip6_agrees_with_the_system(packed: bytes) -> None:
    """There and back again."""
    text = pyip6.inet_ntop(packed)
    assert pyip6.inet_pton(text) == packed == socket.inet_pton(socket.AF_INET6, text)
    assert utils.ip6re.match(text)


@pytest.mark.parametrize("text", ["", "x", "1:2", "1:2:3:4:5:6:7:8:9", "::1::", "12345::", "::1.2.3.4.5"])
def test_pyip6_refuses_what_is_no_address(text: str) -> None:
    """The message is the text."""
    with pytest.raises(ValueError, match=f"^{text}$".replace(".", r"\.")):
        pyip6.inet_pton(text)
    assert not utils.ip6re.match(text)


@pytest.mark.parametrize(
    ("host", "address", "expected"),
    [
        ("post3.fabulousdealz.com", "69.60.99.112", False),
        ("adsl-69-208-201-177.dsl.emhril.ameritech.net", "69.208.201.177", True),
        ("[1.2.3.4]", "1.2.3.4", True),
        ("c-71-63-151-151.hsd1.mn.comcast.net", "71.63.151.151", True),
        ("4.3.2.1.example.com", "1.2.3.4", True),
        ("ip-c0000263.example.com", "192.0.2.99", True),
        ("host192000002099.example.com", "192.0.2.99", True),
        ("mail.example.com", "192.0.2.99", False),
        ("mx1.example.com", "1.1.1.1", False),
        ("smtp1.mail2.example.com", "10.0.1.2", False),
        ("mail.example.com", "2001:db8::1", False),
        ("", "192.0.2.99", False),
        ("host", "not an address", False),
    ],
)
def test_is_dynip(host: str, address: str, expected: bool) -> None:
    """Names that show the address are dynamic, chosen names are not."""
    assert is_dynip(host, address) is expected


@pytest.mark.parametrize(
    ("address", "original"),
    [
        ("SRS0=8Y3CZ=3U=jsconnor.com=bills@bmsi.com", "bills@jsconnor.com"),
        ("srs0+8Y3CZ=3U=jsconnor.com=b=ills@bmsi.com", "b=ills@jsconnor.com"),
        ("SRS1=XX=h.com==8Y=3U=js.com=bills@b.com", "bills@js.com"),
        ("SES=V2x=joe@x.com", "joe@x.com"),
        ("prvs=0123456789=joe@x.com", "joe@x.com"),
        ("btv1==0123==joe@x.com", "joe@x.com"),
        ("prvs-fan@x.com", "prvs-fan@x.com"),
        ("SRS0=short@x.com", "SRS0=short@x.com"),
        ("postmaster", "postmaster"),
    ],
)
def test_unsign(address: str, original: str) -> None:
    """The address behind a rewritten or signed one; any other stays."""
    assert unsign(address) == original
