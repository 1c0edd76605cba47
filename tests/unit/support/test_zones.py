"""Zones are completed, and answered in-process as nsd answers them."""

from __future__ import annotations

from collections.abc import Callable

import dns.message
import dns.query
import dns.rcode
import pytest

from support.mta import NameServer
from support.network import PrivateNetwork
from support.patience import PATIENCE
from support.zone_server import ZoneResponder
from support.zones import Zone, complete, quoted_text

ZONES = complete(
    [
        Zone(
            "example.org", "@ TXT one\n@ TXT two\nwww CNAME mail\nmail A 192.0.2.9\n*.wild A 192.0.2.8\na.deep TXT x\n"
        ),
        Zone("broken.example", None),
    ],
    {"192.0.2.1": "mx.example.org", "2001:db8::1": "mx.example.org", "192.0.2.2": "mail.example.org"},
)
CASES = [
    ("example.org", "TXT", "NOERROR", 2),
    ("www.example.org", "A", "NOERROR", 1),
    ("mx.example.org", "A", "NOERROR", 1),
    ("mx.example.org", "AAAA", "NOERROR", 1),
    ("mail.example.org", "A", "NOERROR", 1),
    ("any.wild.example.org", "A", "NOERROR", 1),
    ("deep.example.org", "A", "NOERROR", 0),
    ("nothing.example.org", "A", "NXDOMAIN", 0),
    ("example.net", "A", "NXDOMAIN", 0),
    ("x.broken.example", "A", "SERVFAIL", 0),
    ("1.2.0.192.in-addr.arpa", "PTR", "NOERROR", 1),
    ("9.2.0.192.in-addr.arpa", "PTR", "NXDOMAIN", 0),
]


def check(
    ask: Callable[[dns.message.Message], dns.message.Message], name: str, kind: str, code: str, count: int
) -> None:
    response = ask(dns.message.make_query(name, kind))
    found = [
        record for records in response.answer if records.rdtype == response.question[0].rdtype for record in records
    ]
    assert (dns.rcode.to_text(response.rcode()), len(found)) == (code, count)


@pytest.mark.parametrize(("name", "kind", "code", "count"), CASES)
def test_in_process(name: str, kind: str, code: str, count: int) -> None:
    responder = ZoneResponder(ZONES)
    check(lambda query: responder(query, False), name, kind, code, count)


@pytest.mark.servers
def test_nsd_says_the_same(network: PrivateNetwork) -> None:
    with NameServer(network, ZONES):
        for case in CASES:
            with network.entered():
                check(lambda query: dns.query.udp(query, "127.0.0.1", PATIENCE), *case)


def test_a_host_that_its_zone_mentions_gets_no_address_of_ours() -> None:
    zone = next(zone for zone in ZONES if zone.name == "example.org")
    assert "192.0.2.2" not in (zone.records or "")


def test_long_texts_are_split_into_strings() -> None:
    assert quoted_text('a"' + "b" * 300).count('" "') == 1
