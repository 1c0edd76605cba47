"""SPF's terms ask the DNS at the same time, and nothing else changes by it."""

from __future__ import annotations

import threading

import dns.message
import dns.rcode
import dns.rrset
import pytest

from antispam.deadline import Deadline
from antispam.net.resolver import Resolver
from antispam.protocols.spf import Result, check_host
from antispam.protocols.spf.ahead import MOST

TOGETHER = 20.0  # seconds for which questions wait for each other


class Zones:
    """A name server; the questions named in `together` are answered once all of them are there."""

    def __init__(self, zones: dict[str, tuple[str, ...]], together: tuple[str, ...] = ()) -> None:
        self._zones = zones
        self._together = together
        self._all_there = threading.Barrier(max(1, len(together)))
        self.asked: list[str] = []

    def __call__(self, query: dns.message.Message, server: str, port: int, timeout: float) -> dns.message.Message:
        question = query.question[0]
        name = f"{question.name.to_text(omit_final_dot=True)} {question.rdtype.name}"
        self.asked.append(name)
        if name in self._together:
            self._all_there.wait(TOGETHER)
        response = dns.message.make_response(query)
        if name in self._zones:
            response.answer.append(dns.rrset.from_text(question.name, 300, "IN", question.rdtype, *self._zones[name]))
        else:
            response.set_rcode(dns.rcode.NXDOMAIN)
        return dns.message.from_wire(response.to_wire(max_size=65535))


def check(zones: Zones, ip: str = "192.0.2.1") -> Result:
    resolver = Resolver(["192.0.2.53"], exchange=zones)
    return check_host(ip, "mailfrom", "ann@example.org", "mail.example.org", resolver, Deadline.after(60)).result


ZONES = {
    "example.org TXT": ('"v=spf1 a:one.example mx:two.example include:three.example -all"',),
    "one.example A": ("198.51.100.1",),
    "two.example MX": ("10 h1.two.example.", "20 h2.two.example."),
    "h1.two.example A": ("198.51.100.2",),
    "h2.two.example A": ("198.51.100.3",),
    "three.example TXT": ('"v=spf1 include:four.example include:five.example -all"',),
    "four.example TXT": ('"v=spf1 a -all"',),
    "four.example A": ("198.51.100.4",),
    "five.example TXT": ('"v=spf1 ip4:192.0.2.1 -all"',),
}


@pytest.mark.parametrize(
    "together",
    [
        ("one.example A", "two.example MX", "three.example TXT"),
        ("h1.two.example A", "h2.two.example A", "four.example TXT", "five.example TXT"),
    ],
)
def test_the_terms_of_a_record_and_of_those_that_it_includes_are_asked_for_at_the_same_time(together):
    """One after the other they would wait for each other in vain. A message took 826 ms with name servers 100 ms away."""
    assert check(Zones(ZONES, together)) is Result.PASS


def test_each_question_is_asked_once():
    zones = Zones(ZONES)
    check(zones)
    assert len(zones.asked) == len(set(zones.asked))


def test_a_record_that_needs_no_look_up_asks_for_none():
    zones = Zones({"example.org TXT": ('"v=spf1 ip4:192.0.2.1 a:one.example include:two.example -all"',)})
    assert check(zones) is Result.PASS
    assert zones.asked == ["example.org TXT"]


def test_what_is_asked_ahead_does_not_count_and_is_bounded():
    """Ten terms may ask (RFC 7208 section 4.6.4); a record of more costs no more questions than it did."""
    record = f"v=spf1 {' '.join(f'a:h{number}.example' for number in range(200))} -all"
    strings = " ".join(f'"{record[start : start + 200]}"' for start in range(0, len(record), 200))
    zones = Zones(
        {"example.org TXT": (strings,)} | {f"h{number}.example A": ("198.51.100.1",) for number in range(200)}
    )
    assert check(zones) is Result.PERMERROR
    assert len(zones.asked) <= 1 + MOST


def test_two_void_terms_are_allowed_and_a_third_is_an_error_as_ever():
    voids = {"example.org TXT": ('"v=spf1 a:v1.example a:v2.example {} ip4:192.0.2.1 -all"',)}
    two = {name: (text[0].format(""),) for name, text in voids.items()}
    three = {name: (text[0].format("a:v3.example"),) for name, text in voids.items()}
    assert check(Zones(two)) is Result.PASS
    assert check(Zones(three)) is Result.PERMERROR


def test_terms_with_macros_are_left_to_the_evaluation():
    zones = Zones({"example.org TXT": ('"v=spf1 a:one.example exists:%{i}.x.example -all"',)})
    assert check(zones) is Result.FAIL
    assert "192.0.2.1.x.example A" in zones.asked
    assert not any("%" in name for name in zones.asked)


def test_records_that_include_each_other_come_to_an_end():
    zones = Zones(
        {
            "example.org TXT": ('"v=spf1 include:b.example -all"',),
            "b.example TXT": ('"v=spf1 include:example.org -all"',),
        }
    )
    assert check(zones) is Result.PERMERROR
    assert len(zones.asked) <= 2
