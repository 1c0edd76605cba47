"""What the DNS says of a site, and what is advised."""

from __future__ import annotations

import pytest

from antispam.commands.site_dns import Server, State, addresses_of, examine
from antispam.deadline import Deadline
from support.dns import TIMEOUT, ScriptedResolver

ADDRESS = "93.184.216.34"
HOST = "mx.example.com"
SERVER = Server(HOST, (ADDRESS,))
REVERSE = "34.216.184.93.in-addr.arpa"
KEY = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
GOOD = {
    REVERSE: {"PTR": [HOST]},
    HOST: {"A": [ADDRESS]},
    "example.com": {"MX": [(10, HOST)], "TXT": ["v=spf1 mx -all", "unrelated"]},
    "_dmarc.example.com": {"TXT": ["v=DMARC1; p=reject"]},
    "mail._domainkey.example.com": {"TXT": [KEY]},
}


def found(changes=None, server=SERVER):
    resolver = ScriptedResolver(GOOD | (changes or {}))
    advice = examine(["example.com"], server, "pm@example.com", resolver, Deadline.after(60))
    return {one.about.split()[0]: one for one in advice}


def test_a_site_where_all_is_right_gets_no_advice():
    assert {(one.state, one.do) for one in found().values()} == {(State.RIGHT, "")}
    assert set(found()) == {"PTR", "MX", "SPF", "DMARC", "DKIM"}


@pytest.mark.parametrize(
    ("changes", "about", "state", "told"),
    [
        ({REVERSE: {"PTR": []}}, "PTR", State.WRONG, "name mx.example.com"),
        ({REVERSE: {"PTR": ["host.isp.example"]}}, "PTR", State.WRONG, "let host.isp.example have this address"),
        (
            {REVERSE: {"PTR": ["host.isp.example"]}, "host.isp.example": {"A": [ADDRESS]}},
            "PTR",
            State.BETTER,
            "the name that your MTA says in HELO",
        ),
        ({"example.com": {"TXT": ["v=spf1 mx -all"]}}, "MX", State.WRONG, "MX 10 mx.example.com."),
        ({"example.com": {"MX": [(5, "mx.other.example")]}}, "MX", State.BETTER, "trusted_relay"),
        ({"example.com": {"MX": [(10, HOST)]}}, "SPF", State.WRONG, "v=spf1 mx -all"),
        ({"example.com": {"TXT": ["v=spf1 mx -all"] * 2}}, "SPF", State.WRONG, "one of them"),
        ({"example.com": {"TXT": ["v=spf1 ip4:198.51.100.1 -all"]}}, "SPF", State.WRONG, f"ip4:{ADDRESS}"),
        ({"example.com": {"TXT": [f"v=spf1 ip4:{ADDRESS} ?all"]}}, "SPF", State.BETTER, "-all"),
        ({"_dmarc.example.com": {}}, "DMARC", State.WRONG, "rua=mailto:pm@example.com"),
        ({"_dmarc.example.com": {"TXT": ["v=DMARC1; p=none"]}}, "DMARC", State.BETTER, "p=quarantine, then p=reject"),
        ({"_dmarc.example.com": {"TXT": ["v=DMARC1; p=reject"] * 2}}, "DMARC", State.WRONG, "one of them"),
        ({"mail._domainkey.example.com": {}}, "DKIM", State.WRONG, "bms dkim keygen example.com mail FILE"),
        ({"mail._domainkey.example.com": {"TXT": ["v=DKIM1; p=!"]}}, "DKIM", State.WRONG, "the right record"),
    ],
)
def test_what_is_missing_or_wrong_is_told_with_what_to_do(changes, about, state, told):
    one = found(changes)[about]
    assert one.state is state
    assert told in one.do


@pytest.mark.parametrize("name", [REVERSE, "example.com", "_dmarc.example.com", "mail._domainkey.example.com"])
def test_silent_name_servers_are_told_and_raise_nothing(name):
    states = [one.state for one in found({name: TIMEOUT}).values()]
    assert State.UNKNOWN in states
    assert State.WRONG not in states


def test_what_the_dns_says_can_not_rewrite_the_terminal():
    shown = found({"example.com": {"TXT": ["v=spf1 \x1b[31m -all"]}})["SPF"].found
    assert "\x1b" not in shown


def test_only_public_addresses_count():
    resolver = ScriptedResolver({HOST: {"A": ["10.0.0.1", ADDRESS], "AAAA": ["fe80::1"]}})
    assert addresses_of(HOST, resolver, Deadline.after(60)) == (ADDRESS,)


def test_an_ipv6_address_is_looked_at_as_well():
    v6 = "2606:2800:220:1::1"
    reverse = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.0.2.2.0.0.0.8.2.6.0.6.2.ip6.arpa"
    changes = {reverse: {"PTR": [HOST]}, HOST: {"A": [ADDRESS], "AAAA": [v6]}}
    assert {one.state for one in found(changes, Server(HOST, (v6,))).values()} == {State.RIGHT}
